-- The ledger, part 3: the rows of the books, numbers :first to :last of the journal; for a load, and for each day after.
--
-- Rows depend on :seed and these numbers alone: no clock, no random(). Every timestamp has its zone, or none.

-- step: journal entries
insert into public.journal_entries (id, company_id, ref, posted_at, status, memo, metadata)
select e, 1 + h % 50, md5('entry' || e || :seed)::uuid,
       timestamptz ':start' + (e - :first) * (:days * 86400.0 / (:last - :first + 1)) * interval '1 second',
       (array['draft','reversed','posted'])[1 + least((h >> 6) % 50, 2)]::public.entry_status,
       (array['Invoice','Payment received','Vendor bill','Payroll run','Bank fee','Transfer','Adjustment'])[1 + (h >> 12) % 7]
         || ' #' || e || ' for ' || (array['Acme','Globex','Initech','Umbrella','Hooli','Stark','Wayne'])[1 + (h >> 15) % 7]
         || ' ' || left(md5(e::text), ((h >> 18) % 17)::integer),
       jsonb_build_object('source', (array['api','web','import'])[1 + (h >> 23) % 3],
                          'user', 'user' || 1 + (h >> 25) % 400,
                          'ip', '10.' || (h >> 34) % 250 || '.' || (h >> 42) % 250 || '.' || (h >> 50) % 250)
from generate_series(:first, :last) e, lateral (select pg_temp.pick(e, 30, 1::bigint << 60) as h offset 0) as drawn;
select setval('public.journal_entries_id_seq', :last);

-- step: journal lines
-- Four lines an entry: one debit, paid by three credits that add up to it.
insert into public.journal_lines (id, entry_id, account_id, debit, credit, description)
select 4 * (e - 1) + line, e, 1 + pg_temp.pick(4 * e + line, 41, 2000),
       case when line = 1 then cents else 0 end / 100.0,
       case line when 2 then half when 3 then quarter when 4 then cents - half - quarter else 0 end / 100.0,
       case when (e + line) % 3 = 0 then 'line ' || line || ' of ' || e || ' ' || md5((e * 4 + line)::text || :seed) end
from generate_series(:first, :last) e,
     lateral (select 100 + pg_temp.pick(e, 40, 99999900) as cents offset 0) as amount,
     lateral (select cents / 2 as half, cents / 4 as quarter) as part,
     generate_series(1, 4) line;

-- step: invoices and payments
insert into public.invoices (id, company_id, number, customer, issued_on, due_on, net, tax_rate, positions, tags)
select i, 1 + i % 50, 'draft/' || i, 'Customer ' || pg_temp.pick(i, 50, 5000), issued_on, issued_on + 30, net / 100.0,
       (array[0.05, 0.07, 0.19, 1.0 / 3])[1 + pg_temp.pick(i, 51, 4)],
       jsonb_build_array(jsonb_build_object('item', left(md5(i::text || :seed), 12), 'quantity', 1 + pg_temp.pick(i, 52, 9), 'unit_price', round(net / 100.0, 2))),
       case pg_temp.pick(i, 53, 3) when 0 then null when 1 then '{}' else array['export', 'a, "b"', E'back\\slash'] end
from generate_series((:first - 1) / 10 + 1, :last / 10) i,
     lateral (select date ':start' + pg_temp.pick(i, 54, :days)::integer as issued_on, 1000 + pg_temp.pick(i, 55, 5000000) as net offset 0) as drawn;
select setval('public.invoices_id_seq', :last / 10);

insert into public.payments (id, invoice_id, company_id, amount, method, received_at, settles_within) overriding system value
select p, p, 1 + p % 50, (1 + pg_temp.pick(p, 60, 5000000)) / 100.0, (array['transfer','card','cash','cheque'])[1 + pg_temp.pick(p, 61, 4)],
       timestamp ':start' + pg_temp.pick(p, 62, :days * 86400000::bigint) * interval '1 millisecond',
       make_interval(months => pg_temp.pick(p, 63, 3)::integer, days => -(pg_temp.pick(p, 64, 5)::integer), secs => pg_temp.pick(p, 65, 100000) / 1000.0)
from generate_series((:first - 1) / 12 + 1, :last / 12) p;
select setval('public.payments_id_seq', :last / 12);

-- step: audit log
insert into audit.log (id, at, actor, action, relation, before, after, address)
select a,
       -- From ten days before the entries: the oldest are in the default partition.
       timestamptz ':start' - interval '10 days' + (4 * a - :first) * (:days * 86400.0 / (:last - :first + 1)) * interval '1 second',
       'user' || 1 + pg_temp.pick(a, 70, 400), action, (array['accounts','invoices','journal_entries'])[1 + pg_temp.pick(a, 72, 3)]::name,
       case when action <> 'insert' then jsonb_build_object('id', a, 'memo', left(md5(a::text || :seed), 10), 'amount', round(pg_temp.pick(a, 73, 100000) / 100.0, 2)) end,
       case when action <> 'delete' then jsonb_build_object('id', a, 'memo', left(md5(a::text), 14), 'note', repeat('é', pg_temp.pick(a, 74, 4)::integer)) end,
       ('10.1.' || pg_temp.pick(a, 75, 250) || '.' || pg_temp.pick(a, 76, 250))::inet
from generate_series((:first - 1) / 4 + 1, :last / 4) a,
     lateral (select (array['insert','update','update','delete'])[1 + pg_temp.pick(a, 71, 4)] as action offset 0) as drawn;

-- step: documents
-- Text that does not compress, of 1 to 16 KiB; every fourth as a large object instead. Numbers of large objects are
-- chosen by us, because the server's own would differ from run to run.
insert into public.documents (id, company_id, "file name", media_type, content, scan, received)
select d, 1 + d % 50, 'scan ' || d || case d % 3 when 0 then '.pdf' when 1 then ' (Kopie).pdf' else E'\\final".pdf' end, 'application/pdf',
       case when d % 4 <> 0 then body end,
       case when d % 4 = 0 then lo_from_bytea(4000000 + d::oid::integer, body) end,
       timestamptz ':start' + pg_temp.pick(d, 80, :days * 86400) * interval '1 second'
from generate_series((:first - 1) / 250 + 1, :last / 250) d,
     lateral (select decode(string_agg(md5(d::text || '/' || b || :seed), ''), 'hex') as body
              from generate_series(1, 64 + pg_temp.pick(d, 81, 960)) b) as drawn;
