-- An extension whose tables hold both its own rows and its users': a dump carries only the users'.
\echo Use "CREATE EXTENSION ledger_tax" to load this file. \quit

create sequence @extschema@.tax_rule_numbers start with 10;

create table @extschema@.tax_rates (
  id integer not null default nextval('@extschema@.tax_rule_numbers'),
  country character(2) not null,
  valid_from date not null,
  percent numeric(5,2) not null,
  built_in boolean not null default false,
  primary key (country, valid_from)
);
insert into @extschema@.tax_rates (id, country, valid_from, percent, built_in) values
  (1, 'DE', '2007-01-01', 19, true),
  (2, 'GB', '2011-01-04', 20, true),
  (3, 'FR', '2014-01-01', 20, true);

create table @extschema@.tax_notes (id integer, note text);

create function @extschema@.tax(net numeric, in_country character) returns numeric
  language sql stable
  as 'select round(net * percent / 100, 2) from @extschema@.tax_rates where country = in_country order by valid_from desc limit 1';

select pg_catalog.pg_extension_config_dump('@extschema@.tax_rates', 'where not built_in');
select pg_catalog.pg_extension_config_dump('@extschema@.tax_notes', '');
select pg_catalog.pg_extension_config_dump('@extschema@.tax_rule_numbers', '');
