-- Types, functions, operators, and everything that depends on them in an order that is hard to find.
-- Lines between `-- since N` and `-- end` are for PostgreSQL N and newer; those after `-- with icu` for servers that have ICU.

create schema kinds;
create schema code;

-- Types that need other types.
create type kinds.mood as enum ('sad', 'ok', 'happy');
alter type kinds.mood add value 'Größe ''x''' after 'sad';
create type kinds.empty as enum ();
create type kinds.nothing as ();
create type kinds.pair as (a integer, b text collate "C");
create type kinds.nested as (one kinds.pair, many kinds.pair[], m kinds.mood);
alter type kinds.nested add attribute late numeric(8,3);
alter type kinds.nested drop attribute m;
create domain kinds.positive as integer check (value > 0);
create domain kinds.small as kinds.positive constraint below_hundred check (value < 100) default 7;
create domain kinds.tags as text[] not null default '{}' check (array_length(value, 1) is null or array_length(value, 1) < 5);
create domain kinds.whole_pair as kinds.pair check (value is null or (value).a is not null);
create domain kinds.unproven as integer;
alter domain kinds.unproven add constraint later check (value <> 13) not valid;
create type kinds.float_range as range (subtype = double precision, subtype_diff = float8mi);
comment on type kinds.pair is 'two things';
comment on column kinds.pair.a is 'the first';
comment on domain kinds.small is 'small and positive';
comment on constraint below_hundred on domain kinds.small is 'fewer than a hundred';

-- A base type of our own, with its input and output borrowed from text.
create type kinds.label;
create function kinds.label_in(cstring) returns kinds.label language internal immutable strict as 'textin';
create function kinds.label_out(kinds.label) returns cstring language internal immutable strict as 'textout';
create type kinds.label (input = kinds.label_in, output = kinds.label_out, like = text, category = 'S', delimiter = ';');
create type kinds.shell_only;

-- since 14
create type kinds.text_range as range (subtype = text, collation = "C", multirange_type_name = kinds.text_ranges);
-- end

-- Functions of every form.
create function code.plain(a integer, b integer default 2, variadic rest integer[] default '{}') returns integer
  language sql immutable parallel safe leakproof cost 3 as $$ select a + b + coalesce(array_length(rest, 1), 0) $$;
create function code.plain(a text) returns text language sql as $_$ select $1 || '$$' $_$;
create function code."Überladen ""x"""("in" integer, out "out" integer, inout "both" text) language plpgsql as
  $body$ begin "out" := "in"; "both" := "both" || E'\\n'; end $body$;
create function code.rows(n integer) returns table (i integer, square bigint) language sql rows 10
  as 'select g, g::bigint * g from generate_series(1, n) g';
create function code.pairs() returns setof kinds.pair language sql stable as $$ values (row(1, 'x')::kinds.pair) $$;
create function code.any_of(anyelement, anyarray) returns boolean language sql immutable as 'select $1 = any($2)';
create function code.configured() returns text language sql
  set search_path = kinds, pg_temp set datestyle = 'German, DMY' set work_mem = '1MB' as 'select current_setting(''datestyle'')';
create function code.no_arguments_no_result() returns void language sql security definer as '';
create procedure code.twice(inout n integer) language plpgsql as 'begin n := n * 2; end';
create function code.strict_sum(numeric, numeric) returns numeric language sql immutable strict as 'select $1 + $2';
create function code.window_rank() returns bigint language internal window immutable as 'window_rank';
comment on function code.plain(text) is E'It''s\nplain';
comment on procedure code.twice(integer) is 'doubles';

-- since 14
create function code.parsed(a integer) returns table (x integer) language sql stable
  begin atomic select g from generate_series(1, a) as g; end;
create function code.short(a integer) returns integer language sql immutable return a * 2 + code.plain(a, 1);
create procedure code.with_out(a integer, out b integer) language sql begin atomic select a + 1; end;
-- end

-- Aggregates: plain, ordered-set, moving, polymorphic.
create aggregate code.total(numeric) (sfunc = code.strict_sum, stype = numeric, initcond = '0', sortop = >);
create aggregate code.total_of_all(variadic numeric[]) (sfunc = array_cat, stype = numeric[]);
create aggregate code.percentile(double precision order by anyelement) (
  sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
create aggregate code.moving(double precision) (
  sfunc = float8pl, stype = double precision, initcond = '0',
  msfunc = float8pl, minvfunc = float8mi, mstype = double precision, minitcond = '0', parallel = safe);
comment on aggregate code.total(numeric) is 'a sum';

-- Operators, operator classes and families, casts.
create function code.pair_less(kinds.pair, kinds.pair) returns boolean language sql immutable as 'select ($1).a < ($2).a';
create function code.pair_equal(kinds.pair, kinds.pair) returns boolean language sql immutable as 'select ($1).a = ($2).a';
create function code.pair_order(kinds.pair, kinds.pair) returns integer language sql immutable
  as 'select case when ($1).a < ($2).a then -1 when ($1).a = ($2).a then 0 else 1 end';
create operator code.<<< (leftarg = kinds.pair, rightarg = kinds.pair, function = code.pair_less,
  commutator = operator(code.>>>), restrict = scalarltsel, join = scalarltjoinsel);
create function code.pair_greater(kinds.pair, kinds.pair) returns boolean language sql immutable as 'select ($1).a > ($2).a';
create operator code.>>> (leftarg = kinds.pair, rightarg = kinds.pair, function = code.pair_greater, commutator = operator(code.<<<));
create operator code.=== (leftarg = kinds.pair, rightarg = kinds.pair, function = code.pair_equal, commutator = operator(code.===), merges);
create function code.negated(kinds.pair) returns kinds.pair language sql immutable as 'select row(-($1).a, ($1).b)::kinds.pair';
create operator code.!! (rightarg = kinds.pair, function = code.negated);
comment on operator code.<<< (kinds.pair, kinds.pair) is 'smaller';
create operator family code.pair_family using btree;
create operator class code.pair_ops for type kinds.pair using btree family code.pair_family as
  operator 1 code.<<<, operator 3 code.===, operator 5 code.>>>, function 1 code.pair_order(kinds.pair, kinds.pair);
comment on operator class code.pair_ops using btree is 'by the first';
create operator family code.empty_family using gist;
create function code.pair_text(kinds.pair) returns text language sql immutable as 'select ($1).b';
create cast (kinds.pair as text) with function code.pair_text(kinds.pair) as assignment;
create cast (kinds.label as text) without function as implicit;
create cast (text as kinds.label) without function;
create cast (integer as kinds.mood) with inout;
comment on cast (kinds.label as text) is 'the same bytes';

-- Tables that use them everywhere.
create table code.users_of_types (
  id integer primary key,
  m kinds.mood not null default 'ok',
  p kinds.pair default row(1, 'default')::kinds.pair,
  n kinds.nested,
  s kinds.small,
  t kinds.tags,
  w kinds.whole_pair,
  r kinds.float_range default '[0,1)',
  l kinds.label default 'label',
  u kinds.unproven,
  doubled integer generated always as (code.plain(id, id)) stored,
  constraint not_too_sad check (m > 'sad' or code.plain(id) > 3)
);
insert into code.users_of_types (id, m, p, n, s, t, w, r, l, u) values
  (1, 'happy', row(5, 'a,"b')::kinds.pair, row(row(1, null), array[row(2, 'x')]::kinds.pair[], 1.5)::kinds.nested, 5, '{a,NULL,"b,c"}',
   row(1, '')::kinds.pair, '(,3.5]', E'tab\\there', 12),
  (2, 'Größe ''x''', null, null, null, '{}', null, 'empty', null, null),
  (3, 'sad', row(null, null)::kinds.pair, row(null, '{}', null)::kinds.nested, 99, '{x}', row(2, null)::kinds.pair, '[infinity,NaN)', '', 1);
create index by_function on code.users_of_types (code.plain(id, 5), (upper((p).b)) desc) where code.any_of(id, array[1, 2, 3]);
create index by_class on code.users_of_types (p code.pair_ops);
create table code.of_type of kinds.pair (a with options primary key, b default 'typed');
insert into code.of_type values (1, 'x'), (2, default);
create table code.row_of_a_table (id integer, whole code.of_type, list code.of_type[]);
insert into code.row_of_a_table values (1, row(1, 'x'), array[row(1, 'x')::code.of_type, null]);

-- since 14
create table code.ranges (m kinds.text_ranges, i nummultirange, c text compression pglz);
insert into code.ranges values ('{[a,b),[d,"e,f")}', '{(,-1.5],[2,)}', repeat('compressible ', 1000));
-- end

-- A function returns rows of a view that calls another function: a circle of views, their row types and functions.
create view code.first as select 1 as one, 'a'::text as two;
create function code.of_first() returns setof code.first language sql stable as 'select * from code.first';
create view code.second with (security_barrier) as select f.*, code.plain(f.one) as three from code.of_first() f;
create or replace view code.first as
  select one, two from code.of_first() where one > 1 union all select 1, 'a' where exists (select from code.users_of_types);
-- A view that names all columns of a grouped table depends on its primary key, and so on an index.
create view code.grouped as select u.*, count(*) as matches from code.users_of_types u left join code.of_type o on o.a = u.id group by u.id;
create view code.on_grouped as select id, matches from code.grouped where matches > 0;
create view code.window_and_with as
  with recursive walk(n) as (select 1 union all select n + 1 from walk where n < 3)
  select n, sum(n) over w as running, lag(n) over w from walk window w as (order by n rows between 1 preceding and current row);
-- Two views that read each other.
create view code.left_half as select 1 as x;
create view code.right_half as select x from code.left_half;
create or replace view code.left_half as select 1 as x where exists (select from code.right_half);
create rule first_insert as on insert to code.first do instead
  insert into code.of_type (a, b) values (new.one, new.two) returning a, b;
create rule "also, notify" as on update to code.of_type do also notify changed, 'payload';
alter table code.of_type disable rule "also, notify";
create view code.updatable as select a, b from code.of_type where a > 0 with cascaded check option;
create function code.instead() returns trigger language plpgsql as 'begin return null; end';
create trigger instead instead of insert or update or delete on code.updatable
  for each row execute function code.instead('x', 'it''s', E'\\\\');

-- Collations, conversions, text search, languages, access methods.
create collation kinds.plain_c (lc_collate = 'C', lc_ctype = 'C');
create collation kinds.copied from "C";
comment on collation kinds.plain_c is 'by bytes';
create table code.collated (d text collate kinds.plain_c unique);
insert into code.collated values ('x'), ('X');
create index on code.collated (d collate "POSIX", lower(d) collate kinds.copied);
-- with icu
create collation kinds.german (provider = icu, locale = 'de-u-co-phonebk');
create collation kinds.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
comment on collation kinds.german is 'as in the phone book';
create table code.collated_by_icu (g text collate kinds.german, c text collate kinds.caseless unique);
insert into code.collated_by_icu values ('Ärger', 'CASE'), ('Ader', 'other');
create index on code.collated_by_icu (g collate "C", c collate kinds.german);
-- end
create conversion code.latin_to_utf for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search dictionary code.simple_english (template = snowball, language = english, stopwords = english);
create text search configuration code.notes (parser = default);
alter text search configuration code.notes add mapping for asciiword, word with code.simple_english, simple;
alter text search configuration code.notes add mapping for numword with simple;
create text search parser code.own_parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
create text search template code.own_template (init = dsimple_init, lexize = dsimple_lexize);
create text search dictionary code.own_dictionary (template = code.own_template, accept = false);
comment on text search configuration code.notes is 'for notes';
create table code.searched (body text, words tsvector generated always as (to_tsvector('code.notes', coalesce(body, ''))) stored);
insert into code.searched values ('The quick brown foxes'), (null);
create index on code.searched using gin (words);
create function code.again_handler() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create function code.again_inline(internal) returns void language c strict as '$libdir/plpgsql', 'plpgsql_inline_handler';
create function code.again_validator(oid) returns void language c strict as '$libdir/plpgsql', 'plpgsql_validator';
create trusted language again handler code.again_handler inline code.again_inline validator code.again_validator;
comment on language again is 'plpgsql by another name';
create function code.in_own_language() returns integer language again as 'begin return 1; end';
create transform for integer language sql (from sql with function prsd_lextype(internal), to sql with function int4recv(internal));
create access method own_heap type table handler heap_tableam_handler;
create table code.on_own_heap (a integer) using own_heap;
insert into code.on_own_heap values (1), (2);
