-- A database with one object of each class at least, and with expressions that read differently after a dump and restore.
-- Needs the roles alice and bob and a superuser.
CREATE SCHEMA ledger AUTHORIZATION alice;
CREATE SCHEMA "My ""Schema""";
GRANT USAGE ON SCHEMA ledger TO bob WITH GRANT OPTION;
COMMENT ON SCHEMA ledger IS 'double entry';
-- A newer pg_dump does not bring this back into an older server, which gives it by default.
-- From 15 on:
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
-- All:
COMMENT ON SCHEMA public IS 'changed';

CREATE EXTENSION hstore WITH SCHEMA ledger;
CREATE EXTENSION citext;
REVOKE EXECUTE ON FUNCTION citext_eq(citext, citext) FROM PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO bob;

-- Types
CREATE TYPE ledger.status AS ENUM ('open', 'closed', 'it''s void');
CREATE TYPE ledger.pair AS (a int, b text COLLATE "C");
CREATE TYPE ledger.money_range AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN ledger.amount AS numeric(14, 2) DEFAULT 0 CONSTRAINT not_huge CHECK (VALUE < 1000000000 AND VALUE > '-1e9'::numeric)
  CHECK (VALUE IN (VALUE, 1, 2.5));
CREATE TYPE ledger.label;
CREATE FUNCTION ledger.label_in(cstring) RETURNS ledger.label LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION ledger.label_out(ledger.label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE ledger.label (INPUT = ledger.label_in, OUTPUT = ledger.label_out, LIKE = text, CATEGORY = 'S');
CREATE CAST (ledger.label AS text) WITHOUT FUNCTION AS ASSIGNMENT;
GRANT USAGE ON TYPE ledger.status TO bob;
REVOKE USAGE ON TYPE ledger.pair FROM PUBLIC;
ALTER TYPE ledger.pair OWNER TO alice;
CREATE COLLATION ledger.plain (locale = 'C');
CREATE DEFAULT CONVERSION ledger.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;

-- Tables
CREATE TABLE ledger.company (
  id int GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 3) PRIMARY KEY,
  code varchar(10) NOT NULL UNIQUE,
  kind varchar(5) CHECK (kind IN ('a', 'b', 'c d')),
  status ledger.status DEFAULT 'open' NOT NULL,
  name text COLLATE "C" DEFAULT 'x'::varchar || 'y',
  founded date DEFAULT ('2020-01-01'::date + interval '1 day')::date,
  note text,
  upper_name text GENERATED ALWAYS AS (upper(name) || ' (' || kind || ')') STORED,
  tags ledger.hstore DEFAULT 'a=>1',
  CHECK ((founded > '1900-01-01' AND founded < 'infinity') OR (kind IS NULL AND NOT (code = ANY ('{a,b}'::text[])))),
  CONSTRAINT "weird name" CHECK (length(code) BETWEEN 1 AND 10)
) WITH (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE ledger.company OWNER TO alice;
ALTER TABLE ledger.company ALTER note SET STATISTICS 77, ALTER note SET (n_distinct = 5), ALTER note SET STORAGE EXTERNAL;
-- From 14 on:
ALTER TABLE ledger.company ALTER name SET COMPRESSION pglz;
-- All:
ALTER TABLE ledger.company ADD dropped int;
ALTER TABLE ledger.company DROP dropped, ADD extra int DEFAULT 3;
GRANT SELECT, UPDATE (name, note) ON ledger.company TO bob;
GRANT SELECT ON ledger.company TO PUBLIC;
COMMENT ON TABLE ledger.company IS 'who we work for';
COMMENT ON COLUMN ledger.company.code IS 'short';
COMMENT ON CONSTRAINT "weird name" ON ledger.company IS 'constraint';
CREATE INDEX company_partial ON ledger.company (lower(name), (extra + 1) DESC NULLS LAST) INCLUDE (kind)
  WHERE kind IN ('a', 'b') AND status <> 'closed' AND (code || '') NOT LIKE 'x%';
CREATE UNIQUE INDEX company_unique ON ledger.company USING btree (code text_pattern_ops, id) WITH (fillfactor = 50);
COMMENT ON INDEX ledger.company_partial IS 'partial';
ALTER INDEX ledger.company_partial ALTER COLUMN 2 SET STATISTICS 500;
ALTER TABLE ledger.company REPLICA IDENTITY USING INDEX company_code_key;
ALTER TABLE ledger.company CLUSTER ON company_unique;
CREATE STATISTICS ledger.company_stats (ndistinct, mcv) ON code, name FROM ledger.company;
-- From 14 on:
CREATE STATISTICS ledger.expression_stats ON (lower(name)), code FROM ledger.company;
-- All:
ALTER STATISTICS ledger.company_stats SET STATISTICS 33;
COMMENT ON STATISTICS ledger.company_stats IS 'statistics';

CREATE TABLE ledger.entry (
  id bigserial, company int NOT NULL, day date NOT NULL, amount ledger.amount NOT NULL, pair ledger.pair,
  PRIMARY KEY (id, day),
  CONSTRAINT entry_company FOREIGN KEY (company) REFERENCES ledger.company ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  CHECK (amount <> 0)
) PARTITION BY RANGE (day);
CREATE TABLE ledger.entry_2025 PARTITION OF ledger.entry FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE ledger.entry_2026 (day date NOT NULL, company int NOT NULL, amount ledger.amount NOT NULL CHECK (amount <> 0), pair ledger.pair,
  id bigint NOT NULL, CONSTRAINT entry_amount_check CHECK (amount <> 0));
ALTER TABLE ledger.entry ATTACH PARTITION ledger.entry_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE ledger.entry_rest PARTITION OF ledger.entry DEFAULT PARTITION BY HASH (id int8_ops) ;
CREATE INDEX ON ledger.entry (company) WHERE amount > 0;
CREATE INDEX entry_only ON ONLY ledger.entry (amount);
ALTER TABLE ledger.entry_2025 SET UNLOGGED;
ALTER TABLE ledger.entry_2025 ALTER amount SET DEFAULT 5;

CREATE TABLE ledger.parent (a int, b text);
CREATE TABLE ledger.child (c int) INHERITS (ledger.parent);
ALTER TABLE ledger.parent ADD later int DEFAULT 5, ADD CONSTRAINT positive CHECK (a > 0) NO INHERIT;
ALTER TABLE ledger.child ADD CONSTRAINT later_key FOREIGN KEY (later) REFERENCES ledger.company (id) NOT VALID;
CREATE TABLE ledger.typed OF ledger.pair (a PRIMARY KEY);
CREATE TABLE ledger.empty_row ();
CREATE UNLOGGED TABLE ledger.cache (k text, v bytea, EXCLUDE USING gist (int4range(length(k), length(k) + 1) WITH &&) WHERE (k IS NOT NULL));
CREATE TABLE "My ""Schema"""."Größe % tab" ("a b" int, "Ü" text, "select" int CHECK ("select" > (1 + 2) * 3));

-- Sequences
CREATE SEQUENCE ledger.number AS smallint START 5 INCREMENT -2 MINVALUE -100 MAXVALUE 5 CACHE 3 CYCLE;
SELECT nextval('ledger.number');
SELECT setval('ledger.entry_id_seq', 42, false);
ALTER SEQUENCE ledger.number OWNED BY ledger.parent.a;
GRANT USAGE ON SEQUENCE ledger.entry_id_seq TO bob;

-- Views
CREATE VIEW ledger.open_companies WITH (security_barrier) AS
  SELECT c.*, c.code || '!' AS loud, e.total, (c.status)::text IN ('open', 'x') AS is_open, row_number() OVER (PARTITION BY kind ORDER BY id)
  FROM ledger.company c LEFT JOIN (SELECT company, sum(amount) FILTER (WHERE amount > 0) AS total FROM ledger.entry GROUP BY 1) e ON e.company = c.id
  WHERE c.kind IN ('a', 'b') AND c.founded BETWEEN '2000-01-01' AND now() AND EXISTS (SELECT 1 FROM ledger.entry WHERE company = c.id)
  ORDER BY CASE WHEN c.kind = 'a' THEN 1 ELSE 2 END;
CREATE VIEW ledger.checked AS SELECT id, code, kind FROM ledger.company WHERE kind = 'a'::bpchar::varchar WITH LOCAL CHECK OPTION;
ALTER VIEW ledger.checked ALTER kind SET DEFAULT 'a';
ALTER VIEW ledger.checked RENAME COLUMN code TO short;
CREATE RECURSIVE VIEW ledger.numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE VIEW ledger.joins AS SELECT * FROM (ledger.entry JOIN ledger.child ON id = c AND company IN (1, later)) NATURAL LEFT JOIN ledger.empty_row, LATERAL generate_series(1, 3) WITH ORDINALITY g(x, y), unnest(ARRAY[1, 2], ARRAY['a']) u(l, m);
CREATE MATERIALIZED VIEW ledger.totals AS SELECT company, sum(amount)::numeric(20, 4) AS total, 'k'::varchar(3) AS k FROM ledger.entry GROUP BY company;
CREATE UNIQUE INDEX totals_key ON ledger.totals (company);
CREATE MATERIALIZED VIEW ledger.unfilled AS SELECT 1 AS one WITH NO DATA;
COMMENT ON VIEW ledger.checked IS 'view';
COMMENT ON MATERIALIZED VIEW ledger.totals IS 'matview';
CREATE RULE forward AS ON INSERT TO ledger.numbers DO INSTEAD INSERT INTO ledger.parent (a) VALUES (new.n) ;
CREATE RULE quiet AS ON UPDATE TO ledger.parent WHERE (old.a IN (1, 2)) DO ALSO NOTHING;
ALTER TABLE ledger.parent DISABLE RULE quiet;
COMMENT ON RULE quiet ON ledger.parent IS 'rule';

-- Routines
CREATE FUNCTION ledger.add(a int, b int DEFAULT 3 + 4, VARIADIC rest text[] DEFAULT '{x,y}') RETURNS int
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 7 SET search_path = ledger, pg_temp SET work_mem = '4MB' AS $$ SELECT a + b $$;
-- From 14 on:
CREATE FUNCTION ledger.atomic(kind_wanted text) RETURNS SETOF ledger.company STABLE ROWS 12
  BEGIN ATOMIC SELECT * FROM ledger.company WHERE kind = kind_wanted OR kind IN ('a', 'b'); END;
-- All:
CREATE FUNCTION ledger.changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
begin
  -- White   space and (parentheses) in here count.
  return new;
end $$;
CREATE PROCEDURE ledger.act(INOUT x ledger.status) LANGUAGE plpgsql AS 'begin x := ''closed''; end';
CREATE FUNCTION ledger.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end';
CREATE FUNCTION ledger.same(ledger.pair, ledger.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'select ($1).a = ($2).a';
CREATE FUNCTION ledger.less(ledger.pair, ledger.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'select ($1).a - ($2).a';
CREATE FUNCTION ledger.to_int(ledger.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'select ($1).a';
CREATE AGGREGATE ledger.total(numeric) (SFUNC = numeric_add, STYPE = numeric, INITCOND = '0', PARALLEL = SAFE, COMBINEFUNC = numeric_add);
CREATE AGGREGATE ledger.middle(float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = mode_final);
GRANT EXECUTE ON FUNCTION ledger.same(ledger.pair, ledger.pair) TO bob;
REVOKE EXECUTE ON PROCEDURE ledger.act(ledger.status) FROM PUBLIC;
COMMENT ON FUNCTION ledger.same(ledger.pair, ledger.pair) IS 'function';
COMMENT ON AGGREGATE ledger.total(numeric) IS 'aggregate';
CREATE OPERATOR ledger.=== (LEFTARG = ledger.pair, RIGHTARG = ledger.pair, FUNCTION = ledger.same, COMMUTATOR = OPERATOR(ledger.===), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES);
CREATE OPERATOR FAMILY ledger.pairs USING btree;
CREATE OPERATOR CLASS ledger.pair_ops FOR TYPE ledger.pair USING btree FAMILY ledger.pairs AS OPERATOR 3 ledger.===, FUNCTION 1 ledger.less(ledger.pair, ledger.pair);
CREATE CAST (ledger.pair AS int) WITH FUNCTION ledger.to_int(ledger.pair) AS IMPLICIT;
COMMENT ON CAST (ledger.pair AS int) IS 'cast';
COMMENT ON OPERATOR ledger.=== (ledger.pair, ledger.pair) IS 'operator';

-- Triggers and policies
CREATE TRIGGER touch BEFORE UPDATE OF name, note ON ledger.company FOR EACH ROW
  WHEN (old.kind IS DISTINCT FROM new.kind AND new.kind IN ('a', 'b')) EXECUTE FUNCTION ledger.changed('x  y', '(z)');
CREATE TRIGGER spread AFTER INSERT ON ledger.entry FOR EACH ROW EXECUTE FUNCTION ledger.changed();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger.parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.changed();
ALTER TABLE ledger.company ENABLE ALWAYS TRIGGER touch;
ALTER TABLE ledger.entry_2026 DISABLE TRIGGER spread;
COMMENT ON TRIGGER touch ON ledger.company IS 'trigger';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION ledger.on_ddl();
ALTER EVENT TRIGGER watch ENABLE REPLICA;
COMMENT ON EVENT TRIGGER watch IS 'event trigger';
ALTER TABLE ledger.company ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger.company AS RESTRICTIVE FOR UPDATE TO bob, alice USING (kind IN ('a', 'b')) WITH CHECK ((code = current_user));
CREATE POLICY everybody ON ledger.company USING (true);
COMMENT ON POLICY own ON ledger.company IS 'policy';

-- Text search, foreign data, replication
CREATE TEXT SEARCH DICTIONARY ledger.simple_dict (TEMPLATE = simple, stopwords = english, accept = false);
CREATE TEXT SEARCH CONFIGURATION ledger.config (COPY = english);
ALTER TEXT SEARCH CONFIGURATION ledger.config ALTER MAPPING FOR word, asciiword WITH ledger.simple_dict, english_stem;
CREATE TEXT SEARCH TEMPLATE ledger.template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH PARSER ledger.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
COMMENT ON TEXT SEARCH CONFIGURATION ledger.config IS 'config';
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (a 'b');
CREATE SERVER elsewhere TYPE 'x' VERSION '1' FOREIGN DATA WRAPPER nothing OPTIONS (host 'h', port '1');
CREATE USER MAPPING FOR bob SERVER elsewhere OPTIONS (user 'u', password 'secret');
CREATE FOREIGN TABLE ledger.remote (a int OPTIONS (column_name 'b') NOT NULL, b text) SERVER elsewhere OPTIONS (table_name 't');
GRANT USAGE ON FOREIGN SERVER elsewhere TO bob;
CREATE PUBLICATION chosen FOR TABLE ledger.company WITH (publish = 'insert', publish_via_partition_root);
-- From 15 on:
ALTER PUBLICATION chosen SET TABLE ledger.company (id, code, kind) WHERE (code = 'a' OR (code > 'b'));
-- All:
-- From 15 on:
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA "My ""Schema""", ledger;
-- All:
CREATE PUBLICATION all_tables FOR ALL TABLES;
CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere password=secret' PUBLICATION p2, p1 WITH (connect = false, slot_name = 'slot');
CREATE FUNCTION ledger.from_sql(internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT AS 'prsd_lextype';
CREATE TRANSFORM FOR ledger.pair LANGUAGE sql (FROM SQL WITH FUNCTION ledger.from_sql(internal));
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE ledger.on_heap2 (a int) USING heap2;
CREATE FUNCTION ledger.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE other HANDLER ledger.handler;
GRANT USAGE ON LANGUAGE other TO bob;

-- Privileges by default
ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA ledger GRANT SELECT ON TABLES TO bob;
ALTER DEFAULT PRIVILEGES FOR ROLE alice REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Large objects
SELECT lo_from_bytea(100001, 'hello'), lo_from_bytea(100002, ''), lo_from_bytea(100003, decode(repeat('00ff', 5000), 'hex'));
SELECT lo_put(100001, 10000, 'after a gap');
ALTER LARGE OBJECT 100001 OWNER TO alice;
GRANT SELECT ON LARGE OBJECT 100003 TO bob;
COMMENT ON LARGE OBJECT 100001 IS 'large object';

-- Rows
INSERT INTO ledger.company (code, kind) SELECT 'c' || i, 'a' FROM generate_series(1, 5) i;
INSERT INTO ledger.entry (company, day, amount) SELECT 7, '2025-05-05', 2 FROM generate_series(1, 10);
INSERT INTO ledger.entry (company, day, amount) SELECT 10, '2026-05-05', 3 FROM generate_series(1, 10);
REFRESH MATERIALIZED VIEW ledger.totals;
