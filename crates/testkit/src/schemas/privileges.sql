-- Who owns what and who may do what; names of every shape; comments on everything; what hangs on the database or the cluster.
-- Roles are `stress_…` and made if they are missing. Lines between `-- since N` and `-- end` are for PostgreSQL N and newer.

do $roles$
declare
  wanted name;
begin
  foreach wanted in array array['stress_owner', 'stress_reader', 'stress_writer', 'stress_Ünï "quoted" ''role''', 'stress_unused', 'stress_with space'] loop
    begin
      execute format('create role %I', wanted);
    exception
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$roles$;
grant stress_reader to stress_writer;

-- Schemas: of other owners, with and without rights, and the one that every database begins with.
create schema owned authorization stress_owner;
create schema "stress 'q' ""d""";
create schema closed;
revoke all on schema closed from current_user;
grant usage on schema owned to stress_reader with grant option;
grant all on schema owned to "stress_Ünï ""quoted"" 'role'";
-- since 15
-- A pg_dump of 15 and later takes it for granted that PUBLIC may not create here, and so loses that from an older server.
alter schema public owner to stress_owner;
revoke all on schema public from public;
grant usage on schema public to public;
grant create on schema public to stress_writer;
-- end
comment on schema public is 'not the comment that it came with';
comment on schema owned is E'two\nlines -- and a \\restrict';

-- Chains of grants, column grants, revoked rights.
set role stress_owner;
create table owned.accounts (id integer primary key, owner_name name, secret text, "select" text, amount numeric);
create sequence owned.numbers;
create function owned.by_owner() returns integer language sql security definer as 'select 1';
reset role;
insert into owned.accounts values (1, 'stress_reader', 's', 'x', 1), (2, 'stress_writer', 't', 'y', 2);
set role stress_owner;
grant select, insert on owned.accounts to stress_writer with grant option;
grant select (id, "select"), update (amount), references (id) on owned.accounts to stress_reader with grant option;
grant usage on sequence owned.numbers to public;
grant all on owned.accounts to "stress_Ünï ""quoted"" 'role'";
revoke delete, truncate on owned.accounts from "stress_Ünï ""quoted"" 'role'";
grant usage on schema owned to stress_writer;
set role stress_writer;
grant select on owned.accounts to stress_reader with grant option;
set role stress_reader;
grant select on owned.accounts to "stress_with space";
grant select (id) on owned.accounts to public;
reset role;
revoke all on owned.accounts from stress_owner;
grant select on owned.accounts to stress_owner;
revoke execute on function owned.by_owner() from public;
grant execute on function owned.by_owner() to stress_reader with grant option;
create type owned.kind as enum ('a');
revoke all on type owned.kind from public;
grant usage on type owned.kind to stress_reader;
create domain owned.number as integer;
grant usage on domain owned.number to stress_writer;
revoke usage on language plpgsql from public;
grant usage on language plpgsql to stress_writer;
create table closed.nobody (id integer);
insert into closed.nobody values (1);
revoke all on closed.nobody from current_user;
grant all on closed.nobody to public;
create view owned.of_owner as select id from owned.accounts;
alter view owned.of_owner owner to stress_owner;
grant select, update (id) on owned.of_owner to stress_reader;
create materialized view owned.filled as select count(*) as n from owned.accounts;
alter materialized view owned.filled owner to stress_owner;
grant select on owned.filled to public;
create procedure owned.run() language sql as '';
create aggregate owned.count_all(*) (sfunc = int8inc, stype = bigint, initcond = '0');
alter aggregate owned.count_all(*) owner to stress_owner;
revoke all on function owned.count_all() from public;
alter procedure owned.run() owner to stress_writer;
grant execute on procedure owned.run() to stress_owner;
-- Rights on the catalogs are part of a database too.
grant select on pg_catalog.pg_authid to stress_reader;
revoke execute on function pg_catalog.pg_sleep(double precision) from public;
grant execute on function pg_catalog.pg_read_file(text) to stress_writer;
revoke select (setting) on pg_catalog.pg_settings from stress_reader;

-- since 15
create view owned.as_invoker with (security_invoker = true, security_barrier) as select * from owned.accounts;
grant set on parameter "stress.parameter" to stress_reader;
-- end

-- Default privileges: of roles, of schemas, for each kind of object; widened and narrowed.
alter default privileges for role stress_owner in schema owned grant select, insert on tables to stress_reader;
alter default privileges for role stress_owner in schema owned grant execute on functions to stress_writer with grant option;
alter default privileges for role stress_owner grant usage on sequences to stress_writer;
alter default privileges for role stress_owner revoke execute on functions from public;
alter default privileges for role stress_writer revoke all on types from public;
alter default privileges for role stress_writer grant usage on schemas to stress_reader;
alter default privileges for role "stress_with space" revoke all on tables from "stress_with space";

-- Row security: for roles, for commands, restrictive, forced, with and without being enabled.
create table owned.secrets (id integer, owner_name name default current_user, body text);
insert into owned.secrets values (1, 'stress_reader', 'hidden from most'), (2, 'nobody', 'hidden from all');
alter table owned.secrets owner to stress_owner;
alter table owned.secrets enable row level security, force row level security;
create policy mine on owned.secrets to stress_reader, "stress_with space" using (owner_name = current_user) with check (id > 0);
create policy "only selects" on owned.secrets as restrictive for select to public using (exists (select from owned.accounts a where a.id = secrets.id));
create policy inserts on owned.secrets for insert with check (body is not null);
create policy deletes on owned.secrets for delete to stress_writer using (false);
create policy asleep on owned.accounts using (true);
create table owned.nothing_passes (id integer);
insert into owned.nothing_passes values (1), (2), (3);
alter table owned.nothing_passes enable row level security;
comment on policy mine on owned.secrets is 'own rows';

-- Large objects: owners, rights, comments, one of nothing, one of more than a page, one with a hole.
select lo_from_bytea(700001, 'small'), lo_create(700002), lo_from_bytea(700003, decode(repeat('00ff5c0a', 20000), 'hex'));
select lo_create(700004), lo_put(700004, 100000, 'far away');
alter large object 700001 owner to stress_owner;
grant select, update on large object 700001 to stress_reader with grant option;
grant select on large object 700002 to public;
revoke all on large object 700003 from current_user;
comment on large object 700003 is 'with ''quotes''';

-- Names of every shape.
create table "stress 'q' ""d"""."Ta""ble; drop schema x; --" ("a b" integer, "A B" text, "%I" integer, "$1" text, E text, "é" integer, "\" text, " " text);
insert into "stress 'q' ""d"""."Ta""ble; drop schema x; --" values (1, 'x', 2, 'y', 'z', 3, E'\\', ' ');
create table "stress 'q' ""d"""."with
a new line" ("col
umn" integer, "tab	bed" text);
insert into "stress 'q' ""d"""."with
a new line" values (1, 'x');
create index "in
dex" on "stress 'q' ""d"""."with
a new line" ("col
umn");
comment on table "stress 'q' ""d"""."with
a new line" is E'first\n\\.\nsecond\r\n-- third';

create table "stress 'q' ""d"""."sixty-three bytes: äöüßäöüßäöüßäöüßäöüßäöüß, and so on" ("sixty-three bytes: äöüßäöüßäöüßäöüßäöüßäöüß, and so on" integer primary key);
create table "stress 'q' ""d"""."table" ("user" integer, "table" text, "order" boolean, "analyze" integer, "left" integer check ("left" > 0));
create table "stress 'q' ""d"""."$dollar$" (a integer default 0);
create table "stress 'q' ""d"""."a.b" ("c.d" integer);
create table "stress 'q' ""d""".pg_not_a_system_table (id integer);
create table "stress 'q' ""d"""."TOC Entry; Type: TABLE; Schema: x; Owner: -" (id integer);
create table "stress 'q' ""d"""."🔒" ("‮right to left" text, "nul-like ␀" text);
create table "stress 'q' ""d"""."${HOME} $(id) `id` %s %n {}" (":colon" integer, "::double" text, ":'q'" text);
create function "stress 'q' ""d"""."fünc ""x"""("Ärg" integer, "b'c" text default 'x''y') returns integer language sql as $fünc$ select 1 $fünc$;
create type "stress 'q' ""d"""."ty""pe" as ("at""tr" integer, "select" text);
create domain "stress 'q' ""d"""."do main" as text constraint "con""straint" check (value <> 'it''s');
create sequence "stress 'q' ""d"""."se""quence";
create collation "stress 'q' ""d"""."col""lation" from "C";
create operator "stress 'q' ""d""".|/|| (leftarg = integer, rightarg = integer, function = int4pl);
alter table "stress 'q' ""d"""."table" add column uses "stress 'q' ""d"""."do main" default 'd' collate "stress 'q' ""d"""."col""lation";

-- Foreign data: only the definitions are ours, the rows are elsewhere.
create foreign data wrapper stress_wrapper options (debug 'true', "odd option" 'it''s');
create foreign data wrapper stress_no_handler no handler no validator;
create server stress_server type 'x' version '1.0' foreign data wrapper stress_wrapper options (host 'elsewhere', "sp ace" 'a"b');
create server "stress ""server""" foreign data wrapper stress_no_handler;
alter server stress_server owner to current_user;
create user mapping for stress_reader server stress_server options (user 'u', password 'not a secret: it''s a test');
create user mapping for public server stress_server options (user 'p');
create foreign table owned.elsewhere (id integer options (column_name 'ID') not null, body text default 'x', constraint c check (id > 0))
  server stress_server options (table_name 'a "b"');
create foreign table owned.elsewhere_child () inherits (owned.elsewhere) server stress_server;
grant usage on foreign data wrapper stress_wrapper to stress_owner with grant option;
grant usage on foreign server stress_server to stress_reader;
grant select (id) on owned.elsewhere to stress_reader;
comment on foreign data wrapper stress_wrapper is 'wraps nothing';
comment on server stress_server is 'elsewhere';
comment on foreign table owned.elsewhere is 'not here';

-- Event triggers: after DDL, before it, on drops, disabled, with tags.
create schema watch;
create table watch.seen (what text);
create function watch.saw() returns event_trigger language plpgsql as $$ begin insert into watch.seen values (tg_event || ' ' || tg_tag); end $$;
create function watch.refuse() returns event_trigger language plpgsql as $$ begin raise exception 'no % here', tg_tag; end $$;
create event trigger watch_start on ddl_command_start when tag in ('CREATE TABLE', 'CREATE INDEX', 'CREATE TRIGGER', 'CREATE EXTENSION') execute function watch.saw();
create event trigger watch_drop on sql_drop execute function watch.saw();
create event trigger watch_rewrite on table_rewrite execute function watch.saw();
create event trigger "watch ""quoted""" on ddl_command_end when tag in ('CREATE TYPE', 'CREATE VIEW', 'CREATE POLICY', 'CREATE STATISTICS') execute function watch.refuse();
create event trigger watch_asleep on ddl_command_end execute function watch.refuse();
alter event trigger watch_asleep disable;
alter event trigger watch_drop enable replica;
alter event trigger watch_rewrite owner to current_user;

-- Publications and a subscription that does not connect.
create publication stress_all for all tables;
create publication stress_some for table owned.accounts, "stress 'q' ""d"""."table" with (publish = 'insert, delete', publish_via_partition_root = true);
create publication "stress ""empty""";
alter publication stress_some owner to current_user;
comment on publication stress_all is 'all';
create subscription stress_subscription connection 'dbname=nowhere password=not-a-secret' publication stress_some, "x ""y"""
  with (connect = false, enabled = false, create_slot = false, slot_name = none, synchronous_commit = 'off');
comment on subscription stress_subscription is 'to nowhere';

-- since 15
create publication stress_filtered for table owned.accounts (id, amount) where (id > 5 and amount is not null);
create publication stress_schemas for tables in schema watch, closed, table owned.nothing_passes;
-- end

-- Comments and labels on what has none yet.
comment on table owned.accounts is '';
comment on column owned.accounts.secret is E'\ttab\\ ''quote'' "double" $$dollar$$ é 🔑';
comment on sequence owned.numbers is 'numbers';
comment on function owned.by_owner() is 'one';
comment on view owned.of_owner is 'a view';
comment on materialized view owned.filled is 'filled';
comment on type owned.kind is 'a kind';
comment on role stress_reader is 'reads';
comment on constraint "con""straint" on domain "stress 'q' ""d"""."do main" is 'not it''s';
comment on column "stress 'q' ""d"""."ty""pe"."at""tr" is 'an attribute';
comment on operator "stress 'q' ""d""".|/|| (integer, integer) is 'adds';
comment on procedure owned.run() is 'runs';
comment on extension plpgsql is 'not the comment that it came with';
