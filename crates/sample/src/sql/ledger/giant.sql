-- The ledger, by request: one row of which one value has 100 MB.

-- step: the giant value
create table edge.giant (id integer primary key, value text);
alter table edge.giant alter column value set storage external;
insert into edge.giant
select 1, string_agg(md5(g::text || :seed), '') from generate_series(1, 3125000) g;
