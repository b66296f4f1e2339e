-- Extensions: their types in columns and indexes, in schemas of their own, with rights and members that changed since.
-- Lines between `-- with NAME` and `-- end` are for servers that have that extension.

create schema ext;
create schema "ext ""2""";
create table ext.always (id integer);
insert into ext.always values (1);

-- with hstore
create extension hstore schema ext;
create table ext.pairs (id integer primary key, p ext.hstore, q ext.hstore default 'a=>1');
insert into ext.pairs values (1, 'a=>"x, y", "b c"=>NULL', '"\"quoted\""=>"back\\slash"'), (2, '', null);
create index on ext.pairs using gin (p);
create index on ext.pairs ((p operator(ext.->) 'a'));
create view ext.keys as select id, ext.akeys(p) as keys from ext.pairs;
revoke execute on function ext.akeys(ext.hstore) from public;
comment on extension hstore is 'not the comment that it came with';
-- end

-- with citext
create extension citext schema "ext ""2""";
create table ext.caseless (name "ext ""2""".citext primary key, list "ext ""2""".citext[]);
insert into ext.caseless values ('Case', '{A,a,"NULL"}'), ('other', null);
create domain ext.email as "ext ""2""".citext check (value ~ '@');
create table ext.emails (e ext.email unique);
insert into ext.emails values ('A@example.org');
-- end

-- with btree_gist
create extension btree_gist with schema ext;
create table ext.rooms (room integer, during tsrange, exclude using gist (room with =, during with &&));
insert into ext.rooms values (1, '[2022-01-01,2022-01-02)'), (2, '[2022-01-01,2022-01-02)');
-- end

-- with pg_trgm
create extension pg_trgm;
create table ext.texts (t text);
insert into ext.texts values ('trigrams are of three');
create index on ext.texts using gist (t gist_trgm_ops (siglen = 32));
create index on ext.texts using gin (lower(t) gin_trgm_ops);
-- end

-- with ltree
create extension ltree schema ext;
create table ext.trees (path ext.ltree, query ext.lquery);
insert into ext.trees values ('top.middle.leaf', 'top.*{1,2}.!x|y');
create index on ext.trees using gist (path);
-- end

-- with cube
create extension cube schema ext;
create table ext.cubes (c ext.cube default '(1,2),(3,4)');
insert into ext.cubes values ('(0.1,-0),(1e300,2)'), (default);
-- end

-- with pgcrypto
create extension pgcrypto;
create table ext.digests (body text, digest bytea generated always as (public.digest(body, 'sha256')) stored);
insert into ext.digests (body) values ('x'), ('é');
-- end

-- with unaccent
create extension unaccent schema ext;
create text search configuration ext.accents (copy = simple);
alter text search configuration ext.accents alter mapping for hword, hword_part, word with ext.unaccent, simple;
create table ext.indexed (body text);
insert into ext.indexed values ('Hôtel');
create index on ext.indexed using gin (to_tsvector('ext.accents', body));
-- end

-- with postgres_fdw
create extension postgres_fdw schema ext;
create server loopback foreign data wrapper postgres_fdw options (dbname 'nowhere', fetch_size '7');
create user mapping for current_user server loopback options (user 'nobody');
create foreign table ext.far (id integer, t text options (column_name 'T')) server loopback options (schema_name 'public', table_name 'far');
create table ext.near (id integer, t text) partition by list (id);
create table ext.near_1 partition of ext.near for values in (1);
create foreign table ext.near_2 partition of ext.near for values in (2) server loopback;
insert into ext.near values (1, 'here');
-- end

-- with file_fdw
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table ext.file (line text) server files options (filename '/nonexistent/file', format 'text', delimiter E'\x1f');
-- end

-- with tablefunc
-- A function of ours needs a type of the extension.
create extension tablefunc schema ext;
create function ext.ours(a ext.tablefunc_crosstab_2) returns text language sql as 'select ($1).row_name';
-- end
