# Chronavault: everything that one does from a shell, the same here and in CI.
# `make` alone prints this list.

SHELL := /bin/bash
SEED ?=
COUNT ?= 1000
TIME ?= 60

.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing on a Debian machine that has Rust
	@scripts/setup.sh

.PHONY: check
check: ## The quick part of the gate: format, clippy, unit tests (no set-up, under 3 minutes when warm)
	@scripts/gate.sh check

.PHONY: test
test: ## The whole gate: set-up, check, all tests, docs, rooms, recover.py, dependency policy
	@scripts/setup.sh
	@scripts/gate.sh test

.PHONY: demo
demo: ## Set-up, release build, then the whole story on a throwaway cluster
	@scripts/setup.sh
	cargo build --release --locked --package chronavault-cli
	target/release/chronavault demo

.PHONY: bench
bench: ## Time and size against the usual tools; writes docs/benchmarks*.md
	@scripts/bench.sh

.PHONY: soak
soak: ## Kill backups at COUNT random points, and restores at some: make soak SEED=42 COUNT=1000
	@scripts/setup.sh
	@scripts/soak.sh "$(SEED)" "$(COUNT)"

.PHONY: fuzz
fuzz: ## Feed every parser of foreign bytes with made-up ones, TIME seconds each: make fuzz TIME=600
	@scripts/fuzz.sh "$(TIME)"

.PHONY: test-versions
test-versions: ## The round trip on every server version from 13 to 18 (fetches them once)
	@scripts/setup.sh
	@scripts/test-versions.sh

.PHONY: deny
deny: ## Install cargo-deny if it is missing and check licences, advisories, sources and duplicates
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	@scripts/deny.sh

.PHONY: clean
clean: ## Remove what the build made
	cargo clean
