-- The ledger, part 4: names and values that break careless tools.

-- step: awkward names
create table edge."Größe" ("Länge" integer primary key, "naïve ☃" text default 'ß');
insert into edge."Größe" select g, repeat('ü', g) from generate_series(1, 5) g;
create table edge."select" ("from" integer, "where" text, "order" boolean, "user" name);
insert into edge."select" values (1, 'group by', true, 'table'), (2, null, null, null);
create table edge."with space" (" leading" text, "trailing " text, "a.b" text);
insert into edge."with space" values ('1', '2', '3');
create table edge."quote""d" ("say ""hi""" text, "it's" text, "back\slash" text, "dollar$$body$$" text);
insert into edge."quote""d" values ('"', '''', E'\\', '$$'), ('""', '''''', E'\\\\', '$1');
create table edge."📒" ("💶" numeric, "percent%s" text, "semi;colon--" text);
insert into edge."📒" values (1.10, '%s', '; drop table "📒"; --');
create table edge."a name of exactly sixty-three bytes which is the longest one…" (value integer);
insert into edge."a name of exactly sixty-three bytes which is the longest one…" values (63);
create table edge."UPPER" ("Id" integer, id integer, "ID" integer);
insert into edge."UPPER" values (1, 2, 3);
create schema "Schéma ""q"" 'x'";
create table "Schéma ""q"" 'x'"."público" (id integer, "value" text);
insert into "Schéma ""q"" 'x'"."público" values (1, 'año');

-- step: tables without columns, without rows
create table edge.no_columns ();
insert into edge.no_columns default values;
insert into edge.no_columns default values;
insert into edge.no_columns default values;
create table edge.empty_table (id integer, note text);
-- Only generated columns are left to copy: COPY has an empty column list.
create table edge.only_generated (two integer generated always as (1 + 1) stored);
insert into edge.only_generated default values;

-- step: text that looks like something else
create table edge.texts (id integer, value text, note text);
insert into edge.texts values
  (1, null, 'null'),
  (2, '', 'the empty string'),
  (3, '\N', 'looks like COPY''s null'),
  (4, 'NULL', 'looks like CSV''s null'),
  (5, '\.', 'looks like COPY''s end'),
  (6, E'\\.\n\\.\n', 'the same on its own lines'),
  (7, E'tab\tnewline\nreturn\rboth\r\nfeed\fback\bvertical\x0b', 'every escape that COPY writes'),
  (8, E'\\', 'a backslash'),
  (9, E'ends with \\', 'a backslash before the delimiter'),
  (10, E'\\\\N \\t \\x41 \\101', 'things that look like escapes'),
  (11, E'\u0001\u007f\u0085\u00a0\u2028\ufeff', 'control and invisible characters'),
  (12, 'e' || U&'\0301' || ' is not é', 'not in normal form'),
  (13, '𝕌𝕟𝕚𝕔𝕠𝕕𝕖 🧾', 'four bytes a character'),
  (14, '-- comment', 'SQL'),
  (15, E'\\restrict x\n\\! false\n\\connect nowhere', 'psql commands'),
  (16, ' padded ', 'spaces'),
  (17, repeat(E'\n', 3000), 'lines that compress away in storage'),
  (18, repeat('wide', 100000), 'out of line');

-- step: numbers and times at the edge
create table edge.numbers (id integer, n numeric, d double precision, r real, i smallint, b bigint);
insert into edge.numbers values
  (1, 'NaN', 'NaN', 'NaN', -32768, -9223372036854775808),
  (2, null, 'infinity', 'infinity', 32767, 9223372036854775807),
  (3, 0.00, '-infinity', '-infinity', 0, 0),
  (4, 0.10, 0.1, 0.1, null, null),
  (5, 1.000000000000000000000000000001, 1.0::double precision / 3, 1.0::real / 3, 1, 1),
  (6, 1e300, 5e-324, 1e-45, 1, 1),
  (7, -1e-300, '-0', '-0', 1, 1),
  (8, 99999999999999999999999999999999999999, 1.7976931348623157e308, 3.4028235e38, 1, 1);
create table edge.times (id integer, at timestamptz, local timestamp, day date, t time, tz timetz, span interval);
insert into edge.times values
  (1, 'infinity', 'infinity', 'infinity', '24:00', '24:00+15:59', '178000000 years'),
  (2, '-infinity', '-infinity', '-infinity', '00:00', '00:00-15:59', '-178000000 years'),
  (3, '4713-01-02 00:00+00 BC', '4713-01-02 00:00 BC', '4713-01-02 BC', '12:34:56.789012', '12:34:56.789012+05:30', '1 year -2 months 3 days -04:05:06.7'),
  (4, '294276-12-31 23:59:59.999999+00', '294276-12-31 23:59:59.999999', '5874897-12-31', null, null, '0'),
  (5, '2022-03-04 05:06:07+00', '2022-04-03 02:30', '2022-03-04', '01:02', '01:02+00', '-1 day +1 hour');

-- step: infinite numerics (since 14)
create table edge.infinite_numerics (id integer, n numeric);
insert into edge.infinite_numerics values (1, 'infinity'), (2, '-infinity'), (3, 'NaN');

-- step: ranges of ranges (since 14)
create table edge.multiranges (id integer, m int4multirange, t tstzmultirange);
insert into edge.multiranges values (1, '{}', '{}'), (2, '{[1,3),[5,)}', '{(,"2022-01-01 00:00+00"]}');

-- step: other types
create table edge.kinds (
  id integer, bytes bytea, flag boolean, one "char", fixed character(6), bits bit(5), more bit varying, address macaddr8,
  net cidr, document json, path jsonpath, words tsvector, asked tsquery, spot point, shape polygon, grid integer[],
  nested text[], people public.postal_address[], span int8range, stretch tstzrange, lsn pg_lsn, thing regclass, kind regtype
);
insert into edge.kinds values
  (1, (select decode(string_agg(lpad(to_hex(b), 2, '0'), '' order by b), 'hex') from generate_series(0, 255) b), true, 'x', 'ab', '10101', '1',
   '08:00:2b:01:02:03:04:05', '10.0.0.0/8', '{"b": 1,  "a": 2, "b": 3.0}', '$.a[*] ? (@ > 1)', 'a:1A b:2', '''fat'' & ''rat'':*', '(1.5,-0)',
   '((0,0),(1,1),(2,0))', '[-1:1]={1,NULL,3}', '{{a,"NULL"},{NULL,"\"q\" \\\\ {}"}}',
   array[row('a "b", c', null, 'DE')::public.postal_address, null], 'empty', '[2022-01-01 00:00+00,)', '16/B374D848',
   'public.companies', 'public.postal_address'),
  (2, '', false, '', '', '00000', '', null, null, '""', null, '', null, null, null, '{}', '{}', '{}', '(,)', null, null, 'edge."Größe"', 'text[]'),
  (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);

-- step: sequences that were never read, and that were
select setval('edge.countdown', -7);
create sequence edge.never_read start with 42 cache 5;
create sequence edge.set_uncalled;
select setval('edge.set_uncalled', 9, false);

-- step: an unlogged table
create unlogged table edge.scratch (id integer, note text);
insert into edge.scratch values (1, 'gone after a crash, kept by a logical backup');
