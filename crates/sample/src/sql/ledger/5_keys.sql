-- The ledger, part 5: keys, indexes, constraints and statistics.

-- step: primary keys
alter table public.companies add primary key (id);
alter table public.users add primary key (id), add constraint users_email_key unique (email);
alter table public.accounts add constraint accounts_pkey primary key (id),
  add constraint "accounts: one code per company" unique (company_id, code) include (name);
alter table public.invoices add primary key (id);
alter table public.payments add primary key (id);
alter table public.fiscal_periods add primary key (id);
alter table public.documents add primary key (id);
alter table audit.log add primary key (id, at, action);

-- step: keys of the journal
alter table public.journal_entries add primary key (id);
alter table public.journal_lines add primary key (id);

-- step: indexes
create index journal_entries_by_company on public.journal_entries (company_id, posted_at desc nulls last);
create index on public.journal_lines (entry_id);
create index on public.journal_lines (account_id);
create index drafts on public.journal_entries (posted_at) where status = 'draft';
create index companies_lower_name on public.companies (lower(name) text_pattern_ops);
create index on public.companies using gin (settings jsonb_path_ops);
create unique index invoices_company_number on public.invoices (company_id, lower(number));
create index on audit.log (actor);
create index "Größe nach ☃" on edge."Größe" ("naïve ☃" collate "C");
alter table public.journal_lines cluster on journal_lines_entry_id_idx;
alter table public.users replica identity using index users_email_key;
alter table audit.ddl_log replica identity full;

-- step: foreign keys
alter table public.users add foreign key (company_id) references public.companies on delete cascade;
alter table public.accounts add foreign key (company_id) references public.companies,
  add foreign key (parent_id) references public.accounts deferrable initially deferred;
-- A circle: accounts belong to companies, which name an account.
alter table public.companies add foreign key (default_account_id) references public.accounts deferrable;
alter table public.journal_entries add foreign key (company_id) references public.companies;
alter table public.journal_lines add foreign key (entry_id) references public.journal_entries on delete cascade deferrable initially immediate,
  add foreign key (account_id) references public.accounts;
alter table public.invoices add foreign key (company_id) references public.companies;
alter table public.payments add foreign key (invoice_id) references public.invoices,
  add foreign key (company_id) references public.companies match full on update cascade;
alter table public.documents add foreign key (company_id) references public.companies on delete set null not valid;

-- step: constraints
alter table public.journal_lines add constraint one_side_only check (debit = 0 or credit = 0);
alter table public.invoices add constraint due_after_issue check (due_on >= issued_on) no inherit;
-- Not valid, and rows that break it are there: only a restore that adds it after the rows, as it was, succeeds.
alter table public.journal_entries add constraint posted_in_this_decade check (posted_at >= '2023-01-01 00:00+00') not valid;
-- No two periods of a company overlap. The range of one number stands for equality, which GiST lacks without btree_gist.
alter table public.fiscal_periods add constraint periods_apart
  exclude using gist (int4range(company_id, company_id, '[]') with &&, during with &&) where (not closed);

-- step: statistics
create statistics public.accounts_by_type (dependencies, ndistinct, mcv) on company_id, type from public.accounts;
comment on statistics public.accounts_by_type is 'Companies do not use every type';
alter table public.journal_entries alter column company_id set statistics 120;
alter table public.journal_lines alter column account_id set (n_distinct = 2000);
alter table audit.log_2022_01 set (autovacuum_enabled = false, fillfactor = 90);

-- step: statistics over expressions (since 14)
create statistics public.entries_by_month on date_trunc('month', posted_at at time zone 'UTC'), company_id from public.journal_entries;
