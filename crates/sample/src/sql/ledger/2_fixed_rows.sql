-- The ledger, part 2: the rows of the books that do not grow.

-- step: profile, companies, users
insert into public.ledger_profile values (:seed, :entries, :giant);

insert into public.companies (id, name, currency, address, opened_on, settings)
select c,
       (array['Acme','Globex','Initech','Umbrella','Hooli','Stark','Wayne','Müller & Söhne','株式会社','Société Générale d''Été'])[1 + c % 10]
         || ' ' || to_char(c, 'FM000'),
       (array['USD','EUR','GBP','AED','JPY'])[1 + pg_temp.pick(c, 1, 5)],
       row(1 + pg_temp.pick(c, 2, 400) || ' High Street', (array['Dubai','London','Köln','Zürich'])[1 + pg_temp.pick(c, 3, 4)],
           (array['AE','GB','DE','CH'])[1 + pg_temp.pick(c, 3, 4)])::public.postal_address,
       date '2015-01-01' + pg_temp.pick(c, 4, 2000)::integer,
       jsonb_build_object('fiscal_year_start', 1 + pg_temp.pick(c, 5, 12), 'locale', (array['en','de','ar','ja'])[1 + pg_temp.pick(c, 6, 4)])
from generate_series(1, 50) c;
select setval('public.companies_id_seq', 50);

insert into public.users (id, company_id, email, display_name, roles, password_digest, last_seen_at, working_hours)
select u, 1 + u % 50, 'user' || u || '@example.org',
       (array['Ana','Björn','Chloé','Dmitri','Elif','فاطمة'])[1 + pg_temp.pick(u, 10, 6)] || ' ' || upper(left(md5(u::text), 6)),
       case pg_temp.pick(u, 11, 3) when 0 then '{}' when 1 then '{accountant}' else '{accountant,"team lead",NULL}' end::text[],
       decode(md5('password' || u || :seed), 'hex'),
       case when pg_temp.pick(u, 12, 5) > 0
         then timestamptz '2023-01-01 00:00+00' + pg_temp.pick(u, 13, 31536000) * interval '1 second' end,
       int4range(6 + pg_temp.pick(u, 14, 4)::integer, 16 + pg_temp.pick(u, 15, 6)::integer)
from generate_series(1, 400) u;
select setval('public.users_id_seq', 400);

-- step: accounts and periods
insert into public.accounts (id, company_id, parent_id, code, name, type, opening_balance)
select a, 1 + (a - 1) % 50, case when a > 500 then 1 + (a - 1) % 50 + 50 * (a % 8) end, to_char(1000 + (a - 1) / 50 * 10, 'FM0000'),
       (array['Cash','Accounts receivable','Inventory','Accounts payable','Retained earnings','Sales','Payroll','Rent','Depreciation'])[1 + a / 50 % 9]
         || case when a > 450 then ' ' || a / 450 else '' end,
       (array['asset','asset','asset','liability','equity','revenue','expense','expense','contra'])[1 + a / 50 % 9]::public.account_type,
       pg_temp.pick(a, 20, 10000000) / 100.0
from generate_series(1, 2000) a;
update public.companies set default_account_id = id;

insert into public.fiscal_periods
select p, 1 + p % 50, daterange(date '2022-01-01' + (p / 50) * 92, date '2022-01-01' + (p / 50 + 1) * 92), p < 300
from generate_series(0, 399) p;
