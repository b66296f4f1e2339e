-- A small database with one object of (nearly) every class that pg_dump knows.
-- The .dump files beside this were made from it by pg_dump -Fc -Z0 of each major version, to a pipe.
\set ON_ERROR_STOP on
CREATE ROLE fixture_owner;
CREATE ROLE "fixture reader";
GRANT CREATE ON DATABASE :"DBNAME" TO fixture_owner;
COMMENT ON DATABASE :"DBNAME" IS 'the books';
ALTER DATABASE :"DBNAME" SET work_mem = '7MB';
ALTER ROLE fixture_owner IN DATABASE :"DBNAME" SET search_path = ledger, public;

CREATE EXTENSION pg_trgm;
CREATE SCHEMA ledger AUTHORIZATION fixture_owner;
CREATE SCHEMA "Odd ""schema""";
GRANT USAGE ON SCHEMA ledger TO "fixture reader";
ALTER DEFAULT PRIVILEGES FOR ROLE fixture_owner IN SCHEMA ledger GRANT SELECT ON TABLES TO "fixture reader";

SET ROLE fixture_owner;
CREATE TYPE ledger.mood AS ENUM ('ok', 'it''s bad');
CREATE DOMAIN ledger.positive AS numeric CHECK (VALUE > 0);
CREATE FUNCTION ledger.next_code() RETURNS text LANGUAGE sql AS $$ SELECT 'code'::text $$;
CREATE FUNCTION ledger.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;

CREATE TABLE ledger.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL DEFAULT ledger.next_code(),
    mood ledger.mood DEFAULT 'ok',
    balance numeric NOT NULL DEFAULT 0,
    doubled numeric GENERATED ALWAYS AS (balance * 2) STORED,
    note text
);
COMMENT ON TABLE ledger.account IS 'accounts; with a semicolon';
COMMENT ON COLUMN ledger.account.code IS E'two\nlines';
CREATE INDEX account_code ON ledger.account (code);
COMMENT ON INDEX ledger.account_code IS 'an index';
CREATE STATISTICS ledger.account_stats ON code, mood FROM ledger.account;
CREATE TABLE ledger.entry (
    id serial PRIMARY KEY,
    account bigint NOT NULL REFERENCES ledger.account,
    amount ledger.positive NOT NULL
);
CREATE TRIGGER entry_touch BEFORE UPDATE ON ledger.entry FOR EACH ROW EXECUTE FUNCTION ledger.touch();
ALTER TABLE ledger.account ENABLE ROW LEVEL SECURITY;
RESET ROLE;
CREATE POLICY only_ok ON ledger.account TO "fixture reader" USING (mood = 'ok');
GRANT SELECT (id, code) ON ledger.account TO "fixture reader";
REVOKE ALL ON ledger.entry FROM fixture_owner;
GRANT SELECT, INSERT ON ledger.entry TO fixture_owner WITH GRANT OPTION;

CREATE TABLE public.event (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE public.event_2025 PARTITION OF public.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE public.event_rest PARTITION OF public.event DEFAULT;
CREATE INDEX event_at ON public.event (at);
CREATE TABLE "Odd ""schema"""."Table with spaces; and more" ("select" int, "Ümlaut" text);
CREATE TABLE public.nothing ();
CREATE TABLE public.empty (a int);
CREATE TABLE public.parent (a int);
CREATE TABLE public.child (b int) INHERITS (public.parent);
CREATE UNLOGGED TABLE public.scratch (a int);

INSERT INTO ledger.account (code, mood, balance, note)
    SELECT 'A' || i, CASE WHEN i % 7 = 0 THEN 'it''s bad' ELSE 'ok' END::ledger.mood, i,
           CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN E'tab\tnewline\nbackslash\\ end' WHEN 2 THEN '\.' ELSE repeat('x', i) END
    FROM generate_series(1, 200) i;
INSERT INTO ledger.entry (account, amount) SELECT 1 + i % 200, i FROM generate_series(1, 300) i;
INSERT INTO public.event SELECT date '2025-06-01' + i, 'e' || i FROM generate_series(1, 400) i;
INSERT INTO "Odd ""schema"""."Table with spaces; and more" VALUES (1, 'Größe'), (NULL, '');
INSERT INTO public.nothing DEFAULT VALUES;
INSERT INTO public.nothing DEFAULT VALUES;
INSERT INTO public.parent VALUES (1);
INSERT INTO public.child VALUES (2, 3);
INSERT INTO public.scratch VALUES (4);

CREATE VIEW public.rich AS SELECT * FROM ledger.account WHERE balance > 100;
CREATE RULE rich_delete AS ON DELETE TO public.rich DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW public.totals AS SELECT account, sum(amount) AS total FROM ledger.entry GROUP BY account;
CREATE UNIQUE INDEX totals_account ON public.totals (account);
CREATE MATERIALIZED VIEW public.aatotals AS SELECT count(*) FROM public.totals;
CREATE MATERIALIZED VIEW public.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE SEQUENCE public.counter START 10;
SELECT nextval('public.counter'), nextval('public.counter');

SELECT lo_from_bytea(4000001, 'a large object'), lo_from_bytea(4000002, decode(repeat('00ff', 5000), 'hex')), lo_create(4000003);
COMMENT ON LARGE OBJECT 4000001 IS 'a comment';
GRANT SELECT ON LARGE OBJECT 4000001 TO "fixture reader";
ALTER LARGE OBJECT 4000002 OWNER TO fixture_owner;

CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION public.on_ddl();
CREATE PUBLICATION books FOR TABLE ledger.account (id, code);
CREATE SUBSCRIPTION feed CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
