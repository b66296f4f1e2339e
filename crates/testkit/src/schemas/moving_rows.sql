-- Rows that belong into another partition after a restore: an enum is hashed by the number of its label, and another
-- database numbers its labels anew. Only the table above the partitions has the same rows before and after.

create schema moving;
create type moving.colour as enum ('red', 'green', 'blue', 'white', 'black', 'brown', 'pink', 'grey');
create table moving.by_colour (c moving.colour not null, n integer, primary key (c, n)) partition by hash (c);
create table moving.by_colour_0 partition of moving.by_colour for values with (modulus 4, remainder 0);
create table moving.by_colour_1 partition of moving.by_colour for values with (modulus 4, remainder 1);
create table moving.by_colour_2 partition of moving.by_colour for values with (modulus 4, remainder 2);
create table moving.by_colour_3 partition of moving.by_colour for values with (modulus 4, remainder 3) partition by range (n);
create table moving.by_colour_3_low partition of moving.by_colour_3 for values from (0) to (3);
create table moving.by_colour_3_high partition of moving.by_colour_3 default;
insert into moving.by_colour select c, n from unnest(enum_range(null::moving.colour)) c, generate_series(1, 50) n;
