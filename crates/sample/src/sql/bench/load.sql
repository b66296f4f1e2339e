-- bench data: a double-entry ledger; :n journal entries, about 4 lines each
-- The rows are those of the published figures and must not change.
-- step: companies
create table companies(id int primary key, name text not null, currency char(3) not null, created_at timestamptz not null);
insert into companies select g, 'Company ' || md5(g::text), (array['USD','EUR','GBP','AED'])[1+g%4], '2020-01-01'::timestamptz + g * interval '1 hour' from generate_series(1,500) g;
-- step: accounts
create table accounts(id int primary key, company_id int not null, code text not null, name text not null, type text not null);
insert into accounts select g, 1+g%500, (1000+g%9000)::text, (array['Cash','Accounts receivable','Inventory','Accounts payable','Sales revenue','Cost of goods sold','Payroll','Rent'])[1+g%8] || ' ' || g, (array['asset','asset','asset','liability','revenue','expense','expense','expense'])[1+g%8] from generate_series(1,20000) g;
-- step: journal entries
create table journal_entries(id bigint primary key, company_id int not null, ref uuid not null, posted_at timestamptz not null, memo text, metadata jsonb);
insert into journal_entries select g, 1+(g*7919)%500, md5('e'||g)::uuid, '2022-01-01'::timestamptz + g * interval '37 seconds',
  (array['Invoice','Payment received','Vendor bill','Payroll run','Bank fee','Transfer','Adjustment'])[1+g%7] || ' #' || g || ' for ' || (array['Acme','Globex','Initech','Umbrella','Hooli','Stark','Wayne'])[1+(g/3)%7] || ' ' || substr(md5(g::text),1,(g%17)::int),
  jsonb_build_object('source', (array['api','web','import'])[1+g%3], 'user', 'user' || (g*31)%997, 'ip', '10.' || g%250 || '.' || (g/7)%250 || '.' || (g/11)%250) from generate_series(1,:n::bigint) g;
-- step: journal lines
create table journal_lines(id bigint primary key, entry_id bigint not null, account_id int not null, debit numeric(14,2) not null, credit numeric(14,2) not null, description text);
insert into journal_lines select g, (g+3)/4, 1+(g*104729)%20000, case when g%2=0 then ((g*7907)%1000000)/100.0 else 0 end, case when g%2=1 then (((g+1)*7907)%1000000)/100.0 else 0 end,
  case when g%3=0 then 'line ' || g || ' ' || md5((g*3)::text) else null end from generate_series(1,4*:n::bigint) g;
-- step: indexes
create index on journal_entries(company_id, posted_at);
create index on journal_lines(entry_id);
create index on journal_lines(account_id);
-- step: foreign keys
alter table journal_lines add foreign key(entry_id) references journal_entries(id);
alter table journal_lines add foreign key(account_id) references accounts(id);
-- step: vacuum
vacuum analyze;
