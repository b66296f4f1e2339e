-- A seeded choice, for this session: the hash is hashint8extended, which cannot change between releases because hash
-- partitions depend on it.

-- step: a seeded choice
create function pg_temp.pick(n bigint, salt integer, choices bigint) returns bigint
  language sql immutable
  as 'select (hashint8extended(n, :seed * 1000 + salt) & 9223372036854775807) % choices';
