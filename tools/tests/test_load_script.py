"""load.sh with programs that only write down how they were called: what it runs, in which order, and how it quotes.

That the real programs accept it is shown by a test that restores a real backup (crates/cli/tests/recover.rs).
"""

import subprocess

from tools.tests.running import RecoverTest
from tools.tests.sealing import COLUMNS, SCHEMA, TABLE

# Each call becomes one record of NUL-separated arguments, ended by two NULs.
WRITE_DOWN = r"""
printf '%s\0' "${0##*/}" "$@" >> "$CALLS"
printf '\0' >> "$CALLS"
"""
FAKES = {
    "createdb": WRITE_DOWN,
    "pg_restore": 'case $1 in --version) echo "pg_restore (PostgreSQL) ${CLIENT:-15.4 (Debian 15)}" && exit ;; esac\n'
    + WRITE_DOWN
    + 'case "$*" in *"$FAILING"*) exit 1 ;; esac\n',
    "psql": 'case "$*" in *server_version_num*) echo "${SERVER:-150018}" && exit ;; esac\n'
    + WRITE_DOWN
    + r"""
case "$*" in
    *string_agg*) printf '%s' "$MISSING" ;;
    *'-f -'*) cat >> "$CALLS.sql" ;;
    *) lines=$(wc -l) && printf 'SET\nCOPY %s\n' $((lines - ${LOST:-0})) ;;
esac
""",
}


class LoadScript(RecoverTest):
    def setUp(self):
        super().setUp()
        self.programs = self.directory / "bin"
        self.programs.mkdir()
        for name, text in FAKES.items():
            (self.programs / name).write_text("#!/bin/sh\n" + text)
            (self.programs / name).chmod(0o755)

    def recovered(self, change=None):
        self.sample(change=change)
        done = self.run_recover()
        self.assertEqual(done.returncode, 0, done.stderr)

    def load(self, *arguments, **variables):
        """Runs load.sh; returns how it ended, and the calls that it made."""
        calls = self.directory / "calls"
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin", "CALLS": str(calls), "FAILING": "never", **variables}
        command = [str(self.output / "load.sh"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", check=False)
        recorded = calls.read_bytes().decode().split("\0\0") if calls.exists() else []
        return done, [call.split("\0") for call in recorded if call]

    def test_definitions_rows_and_indexes_come_in_this_order(self):
        self.recovered()
        done, calls = self.load("new")
        self.assertEqual(done.returncode, 0, done.stderr)
        programs = [call[0] for call in calls]
        self.assertEqual(programs, ["createdb", "pg_restore", "pg_restore", "psql", "psql", "pg_restore"])
        sections = [word for call in calls for word in call if word.startswith("--section")]
        self.assertEqual(sections, ["--section=pre-data", "--section=data", "--section=post-data"])
        for call in calls:
            if call[0] == "pg_restore":
                self.assertIn("--exit-on-error", call)
            if call[0] == "psql":
                self.assertIn("ON_ERROR_STOP=1", call)
                self.assertIn("row_security = off", call[call.index("-c") + 1])

    def test_names_reach_the_server_as_they_are(self):
        self.recovered()
        _done, calls = self.load("new")
        statement = [call for call in calls if call[0] == "psql"][0][-1]
        doubled = [name.replace('"', '""') for name in (SCHEMA, TABLE, *COLUMNS)]
        expected = 'COPY "{}"."{}" ("{}", "{}", "{}") FROM STDIN (FORMAT text, ENCODING \'UTF8\')'.format(*doubled)
        self.assertEqual(statement, expected)

    def test_a_table_without_columns_has_no_column_list(self):
        self.recovered()
        _done, calls = self.load("new")
        statement = [call for call in calls if call[0] == "psql"][1][-1]
        self.assertEqual(statement, 'COPY "public"."none" FROM STDIN (FORMAT text, ENCODING \'UTF8\')')

    def test_the_name_of_the_database_is_never_a_connection_string(self):
        self.recovered()
        for name in ("host=evil dbname=x", "postgres://evil/x", "o'dd \\ \"name\"", "-x", "two words"):
            done, calls = self.load(name)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(calls[-6][-2:], ["--", name])
            escaped = name.replace("\\", "\\\\").replace("'", "\\'")
            self.assertIn(f"--dbname=dbname='{escaped}'", calls[-5])

    def test_hostile_names_stay_names(self):
        mark = self.directory / "mark"
        evil = f"x'; touch {mark}; '$(touch {mark})`touch {mark}`\n\ttouch {mark}\n#\\"

        def rename(manifest):
            manifest["logical"]["tables"][0].update(schema=evil, name=evil, columns=[evil])
            manifest["streams"][3]["table"] = {"schema": evil, "name": evil}
            manifest["logical"].update(encoding=evil, database=evil)

        self.recovered(rename)
        done, calls = self.load("new")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(mark.exists())
        literal = "'" + evil.replace("'", "''") + "'"
        statement = f'COPY "{evil}"."{evil}" ("{evil}") FROM STDIN (FORMAT text, ENCODING {literal})'
        self.assertIn(statement, [call[-1] for call in calls])

    def test_it_stops_at_the_first_error(self):
        self.recovered()
        done, calls = self.load("new", FAILING="--section=data")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual([call[0] for call in calls], ["createdb", "pg_restore", "pg_restore"])

    def test_a_lost_row_is_noticed(self):
        self.recovered()
        done, calls = self.load("new", LOST="1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("rows/1.copy should have loaded 43 rows", done.stderr)
        self.assertEqual(calls[-1][0], "psql")

    PROPERTIES = {
        "name": "books",
        "owner": "o'wner \"x\"",
        "encoding": "UTF8",
        "collate": "de_DE.UTF-8",
        "ctype": "C",
        "locale_provider": "libc",
        "locale": None,
        "icu_rules": None,
        "tablespace": "pg_default",
        "connection_limit": 7,
        "comment": "it's\n:\"db\" \\q",
        "privileges": [{"grantor": "o", "grantee": None, "privilege": "CONNECT", "grantable": False}],
        "settings": [
            {"name": "search_path", "value": '"$user", "a ""b"", c",x'},
            {"role": "auditor", "name": "my.setting", "value": "it's"},
        ],
    }

    def with_properties(self, **changes):
        def change(manifest):
            manifest["logical"]["properties"] = {**self.PROPERTIES, **changes}
            manifest["logical"]["roles"] = [{"name": "o'wner \"x\""}, {"name": "auditor"}]

        self.recovered(change)

    def sql(self):
        path = self.directory / "calls.sql"
        return path.read_text() if path.exists() else ""

    def test_the_database_is_made_like_the_source(self):
        self.with_properties()
        done, calls = self.load("new")
        self.assertEqual(done.returncode, 0, done.stderr)
        create = next(call for call in calls if call[0] == "createdb")
        expected = ["--locale-provider=libc", "--owner=o'wner \"x\"", "--template=template0", "--encoding=UTF8"]
        self.assertEqual(create[2:], [*expected, "--lc-collate=de_DE.UTF-8", "--lc-ctype=C", "--", "new"])
        self.assertEqual(self.sql().splitlines()[0], "COMMENT ON DATABASE :\"db\" IS 'it''s")
        for statement in (
            "ALTER DATABASE :\"db\" SET \"search_path\" TO '$user', 'a \"b\", c', 'x';",
            "ALTER ROLE \"auditor\" IN DATABASE :\"db\" SET \"my\".\"setting\" TO 'it''s';",
            'REVOKE ALL ON DATABASE :"db" FROM PUBLIC;',
            'SET SESSION AUTHORIZATION "o";GRANT CONNECT ON DATABASE :"db" TO PUBLIC;RESET SESSION AUTHORIZATION;',
            'ALTER DATABASE :"db" CONNECTION LIMIT 7;',
        ):
            self.assertIn(statement, self.sql())

    def test_an_older_server_is_not_asked_for_a_provider(self):
        self.with_properties()
        _done, calls = self.load("new", SERVER="140020")
        self.assertNotIn("--locale-provider=libc", next(call for call in calls if call[0] == "createdb"))

    def test_programs_too_new_for_the_server_are_refused_before_anything_is_made(self):
        self.recovered()
        done, calls = self.load("new", CLIENT="17.2", SERVER="160004")
        self.assertEqual((done.returncode, calls), (1, []))
        self.assertIn("pg_restore 17 cannot restore into a server of version 16", done.stderr)
        for client, server in (("17.2", "170002"), ("18beta1", "180000"), ("16.9", "130001")):
            done, _calls = self.load("new", CLIENT=client, SERVER=server)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_other_providers_have_their_locale(self):
        self.with_properties(locale_provider="icu", locale="de-u-co-phonebk", icu_rules="&a<b", tablespace="fast")
        _done, calls = self.load("new")
        create = next(call for call in calls if call[0] == "createdb")
        expected = {"--locale-provider=icu", "--icu-locale=de-u-co-phonebk", "--icu-rules=&a<b", "--tablespace=fast"}
        self.assertLessEqual(expected, set(create))

    def test_missing_roles_are_named_before_anything_is_made(self):
        self.with_properties()
        done, calls = self.load("new", MISSING="auditor")
        self.assertEqual(done.returncode, 1)
        self.assertIn("these roles do not exist: auditor", done.stderr)
        self.assertEqual([call[0] for call in calls], ["psql"])
        self.assertIn("unnest(ARRAY['o''wner \"x\"', 'auditor']::text[])", calls[0][-1])

    def test_without_owner_and_privileges_no_role_is_needed(self):
        self.with_properties()
        done, calls = self.load("new", "--no-owner", "--no-privileges", MISSING="auditor")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse([word for call in calls for word in call if word.startswith("--owner")])
        for word in ("auditor", "REVOKE", "SESSION"):
            self.assertNotIn(word, self.sql())
        self.assertIn("search_path", self.sql())

    def test_options_reach_pg_restore(self):
        self.recovered()
        _done, calls = self.load("new", "--no-owner", "--no-privileges")
        restores = [call for call in calls if call[0] == "pg_restore"]
        self.assertTrue(all("--no-owner" in call and "--no-privileges" in call for call in restores))

    def test_without_a_name_it_explains_itself(self):
        self.recovered()
        done, calls = self.load()
        self.assertEqual((done.returncode, calls), (2, []))
        self.assertIn("usage", done.stderr)
