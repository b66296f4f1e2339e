# Chronavault with PostgreSQL's programs, for the daemon and for single commands:
#
#   docker build -t chronavault .
#   docker run --rm -v backups:/var/lib/chronavault -v key:/etc/chronavault/key chronavault init

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package chronavault-cli

FROM debian:bookworm-slim
# pg_dump reads servers of its own major version and older ones; a physical backup is proven by a server of the same one. Of each
# major version that is backed up, the server is needed.
ARG POSTGRES_MAJORS="15 16 17 18"
RUN set -eu; \
    apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates curl postgresql-common tini; \
    sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf; \
    /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y; \
    for major in $POSTGRES_MAJORS; do \
        apt-get install --yes --no-install-recommends "postgresql-$major" "postgresql-client-$major"; \
    done; \
    rm -rf /var/lib/apt/lists/*; \
    groupadd --gid 10001 chronavault; \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/chronavault --shell /usr/sbin/nologin chronavault; \
    install -d -o chronavault -g chronavault -m 700 /var/lib/chronavault /etc/chronavault/key
COPY contrib/docker/chronavault.toml /etc/chronavault/chronavault.toml
COPY --from=build /source/target/release/chronavault /usr/bin/chronavault

# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
WORKDIR /var/lib/chronavault
VOLUME ["/var/lib/chronavault", "/etc/chronavault/key"]
EXPOSE 9187
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["curl", "--fail", "--silent", "--show-error", "http://127.0.0.1:9187/health"]
# tini collects the servers of a sandbox whose parent has gone.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/bin/chronavault"]
CMD ["serve"]
