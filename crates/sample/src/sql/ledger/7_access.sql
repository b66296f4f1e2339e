-- The ledger, part 7: owners, grants, row security, and what hangs on the whole database.

-- step: owners and grants
alter table public.users owner to ledger_owner;
alter table public.payments owner to ledger_owner;
alter table audit.log owner to ledger_owner;
alter function audit.record() owner to ledger_owner;
alter materialized view public.company_balances owner to ledger_owner;
-- Its owner reads another view when it is refreshed, and needs the right to.
grant select on public.account_balances to ledger_owner;
alter type public.entry_status owner to ledger_owner;
alter schema edge owner to "ledger_Größe";
grant usage on schema public, audit to ledger_accountant, ledger_auditor, ledger_app;
grant select on all tables in schema public to ledger_auditor;
grant select, insert, update on public.journal_entries, public.journal_lines, public.invoices to ledger_app with grant option;
grant update (memo, metadata), references (id) on public.journal_entries to ledger_accountant;
grant select (id, name), update (name) on public.accounts to public;
grant usage, select on all sequences in schema public to ledger_app;
grant execute on procedure public.close_periods(integer, date) to ledger_accountant;
revoke execute on procedure public.close_periods(integer, date) from public;
revoke all on function audit.record() from public;
grant usage on type public.account_type to ledger_app;
revoke usage on type public.money_amount from public;
grant select on edge."Größe" to "ledger_Größe" with grant option;
-- A grant made by one who was given it, not by the owner.
set role ledger_app;
grant select on public.invoices to ledger_accountant;
reset role;

-- step: default privileges
alter default privileges for role ledger_owner in schema public grant select on tables to ledger_auditor;
alter default privileges for role ledger_owner grant usage on sequences to ledger_app;
alter default privileges for role ledger_owner revoke execute on functions from public;

-- step: owners of large objects
do $owners$
declare
  object oid;
begin
  for object in select oid from pg_largeobject_metadata where oid >= 4000000 order by oid loop
    execute format('alter large object %s owner to ledger_owner', object);
    if object::bigint % 3 = 0 then
      execute format('grant select on large object %s to ledger_auditor', object);
    end if;
  end loop;
end
$owners$;
comment on large object 4000004 is 'The first scan';

-- step: row security
create function public.current_company() returns integer
  language sql stable
  as $$ select nullif(current_setting('ledger.company', true), '')::integer $$;
alter table public.users enable row level security;
alter table public.payments enable row level security;
alter table public.payments force row level security;
create policy own_company on public.users using (company_id = public.current_company());
create policy auditors_read on public.users as permissive for select to ledger_auditor using (true);
-- Forced: without a company set, even the owner of payments sees none of them.
create policy own_payments on public.payments to ledger_owner, ledger_app
  using (company_id = public.current_company()) with check (company_id = public.current_company() and amount > 0);
create policy never_negative on public.payments as restrictive for insert with check (amount > 0);
comment on policy own_company on public.users is 'A user sees the users of one company';

-- step: publications
create publication ledger_journal for table public.journal_entries, public.journal_lines with (publish = 'insert, update');
comment on publication ledger_journal is 'The journal, for the warehouse';

-- step: publications of some rows and columns (since 15)
create publication ledger_posted for table public.companies (id, name), public.accounts where (id > 100);
create publication ledger_audit for tables in schema audit with (publish_via_partition_root = true);

-- step: extensions
do $extensions$
begin
  -- Our own, with rows that its users add; present where its two files were installed.
  if exists (select from pg_available_extensions where name = 'ledger_tax') then
    create schema tax;
    create extension ledger_tax schema tax;
    insert into tax.tax_rates (country, valid_from, percent) values ('CH', '2024-01-01', 8.1), ('AE', '2018-01-01', 5);
    perform setval('tax.tax_rule_numbers', 77);
    insert into tax.tax_notes values (1, 'kept whatever it says');
    grant select on tax.tax_rates to ledger_auditor;
  end if;
  if exists (select from pg_available_extensions where name = 'pg_trgm') then
    create extension pg_trgm schema edge;
    create index companies_name_trigrams on public.companies using gin (name edge.gin_trgm_ops);
    comment on extension pg_trgm is 'Searching companies by name';
  end if;
end
$extensions$;

-- step: settings of the database
-- Each of these changes how values are written as text, and so breaks a tool that trusts its session.
do $settings$
declare
  setting text;
begin
  foreach setting in array array['datestyle = ''German''', 'intervalstyle = ''sql_standard''', 'extra_float_digits = 0',
                                 'bytea_output = ''escape''', 'timezone = ''Asia/Dubai''', 'search_path = audit, public, edge',
                                 'ledger.company = ''''', 'comment'] loop
    if setting = 'comment' then
      execute format('comment on database %I is %L', current_database(), 'The ledger: a generated sample');
    else
      execute format('alter database %I set %s', current_database(), setting);
    end if;
  end loop;
  execute format('alter role ledger_auditor in database %I set statement_timeout = %L', current_database(), '5min');
  execute format('grant connect, temporary on database %I to ledger_app', current_database());
end
$settings$;

-- step: event triggers
create function audit.log_ddl() returns event_trigger
  language plpgsql
  as $$
declare
  command record;
begin
  for command in select * from pg_event_trigger_ddl_commands()
                 where not in_extension and schema_name is distinct from 'pg_temp' loop
    insert into audit.ddl_log (command, object) values (command.command_tag, command.object_identity);
  end loop;
end
$$;
create function public.require_primary_key() returns event_trigger
  language plpgsql
  as $$
declare
  command record;
begin
  for command in select * from pg_event_trigger_ddl_commands()
                 where object_type = 'table' and schema_name = 'public' loop
    if not exists (select from pg_index where indrelid = command.objid and indisprimary) then
      raise exception 'a table of the books needs a primary key: %', command.object_identity;
    end if;
  end loop;
end
$$;
-- Not for REFRESH MATERIALIZED VIEW, which every restore runs after it made the event triggers.
create event trigger log_ddl on ddl_command_end
  when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE INDEX', 'CREATE VIEW', 'CREATE FUNCTION', 'CREATE TRIGGER', 'COMMENT', 'GRANT')
  execute function audit.log_ddl();
create event trigger require_primary_key on ddl_command_end when tag in ('CREATE TABLE', 'CREATE TABLE AS')
  execute function public.require_primary_key();
alter event trigger log_ddl enable always;
comment on event trigger require_primary_key is 'Fires too early for a restore that creates it too early';
