-- The ledger, part 6: functions, triggers, rules and views. Some would change rows if they ran during a restore.

-- step: functions
create function public.entry_balance(entry bigint) returns numeric
  language sql stable parallel safe
  as $$ select coalesce(sum(debit - credit), 0) from public.journal_lines where entry_id = entry $$;
comment on function public.entry_balance(bigint) is 'Zero, for every entry that was ever committed';

create function public.check_balance() returns trigger
  language plpgsql
  as $$
declare
  entry bigint := case when tg_op = 'DELETE' then old.entry_id else new.entry_id end;
begin
  if public.entry_balance(entry) <> 0 then
    raise exception 'journal entry % does not balance: debits and credits differ by %', entry, public.entry_balance(entry)
      using errcode = 'check_violation';
  end if;
  return null;
end
$$;

create function public.number_invoice() returns trigger
  language plpgsql
  as $$
begin
  -- Every insert gets a new number, whatever it brought: fired during a restore, this would rewrite every row.
  new.number := 'INV-' || nextval('public.invoice_numbers');
  new.customer := upper(new.customer);
  return new;
end
$$;

create function audit.record() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$
begin
  insert into audit.log (id, at, actor, action, relation, before, after)
  values ((extract(epoch from clock_timestamp()) * 1000000)::bigint, clock_timestamp(), session_user, lower(tg_op), tg_table_name,
          case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end);
  return null;
end
$$;

create function public.total_with(state numeric, debit numeric, credit numeric) returns numeric
  language sql immutable strict as 'select state + debit - credit';
create aggregate public.balance(debit numeric, credit numeric) (
  sfunc = public.total_with, stype = numeric, initcond = '0', parallel = safe, combinefunc = numeric_add
);
comment on aggregate public.balance(numeric, numeric) is 'Debits less credits';

create procedure public.close_periods(company integer, until date)
  language sql
  as $$ update public.fiscal_periods set closed = true where company_id = company and upper(during) <= until $$;

-- step: a function with a parsed body (since 14)
create function public.company_balance(company integer) returns numeric
  language sql stable
  begin atomic
    select sum(a.opening_balance) from public.accounts as a where a.company_id = company;
  end;

-- step: triggers
create constraint trigger entry_balances
  after insert or delete or update of entry_id, debit, credit on public.journal_lines
  deferrable initially deferred for each row execute function public.check_balance();
create trigger number_invoice before insert on public.invoices for each row execute function public.number_invoice();
create trigger record_users after insert or update or delete on public.users for each row execute function audit.record();
create trigger record_accounts after update on public.accounts for each row
  when (old.* is distinct from new.*) execute function audit.record();
alter table public.accounts enable always trigger record_accounts;
create trigger "nobody asked" before delete on public.companies for each statement execute function audit.record();
alter table public.companies disable trigger "nobody asked";
comment on trigger entry_balances on public.journal_lines is 'Debits equal credits when the transaction ends';

-- step: rules
create rule companies_stay as on delete to public.companies do instead nothing;
create rule echo as on insert to edge.texts where new.note = 'echo'
  do also insert into edge.empty_table values (new.id, new.value);

-- step: views
create view public.trial_balance with (security_barrier = true) as
  select a.company_id, a.type, public.balance(l.debit, l.credit) as balance, count(*) as lines
  from public.accounts a join public.journal_lines l on l.account_id = a.id
  group by a.company_id, a.type;
create materialized view public.account_balances as
  select a.id, a.company_id, a.name, a.opening_balance + sum(l.amount) as balance, count(*) as lines
  from public.accounts a join public.journal_lines l on l.account_id = a.id
  group by a.id;
create unique index on public.account_balances (id);
create materialized view public.company_balances as
  select company_id, sum(balance) as balance from public.account_balances group by company_id;
create materialized view public.not_yet as select 1 as one with no data;
create view public.open_periods as
  select * from public.fiscal_periods where not closed with local check option;
alter view public.open_periods alter column closed set default false;
comment on view public.trial_balance is 'Sums to zero over all companies';
comment on column public.account_balances.balance is 'Opening balance and every line since';
