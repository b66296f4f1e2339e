-- The bench ledger, a day later: entries :first to :last are appended, and 0.25 % of the lines change, all over the table.

-- step: append
insert into journal_entries select g, 1+(g*7919)%500, md5('e'||g)::uuid, '2022-01-01'::timestamptz + g * interval '37 seconds',
  (array['Invoice','Payment received','Vendor bill','Payroll run','Bank fee','Transfer','Adjustment'])[1+g%7] || ' #' || g || ' for ' || (array['Acme','Globex','Initech','Umbrella','Hooli','Stark','Wayne'])[1+(g/3)%7] || ' ' || substr(md5(g::text),1,(g%17)::int),
  jsonb_build_object('source', (array['api','web','import'])[1+g%3], 'user', 'user' || (g*31)%997, 'ip', '10.' || g%250 || '.' || (g/7)%250 || '.' || (g/11)%250) from generate_series(:first::bigint,:last::bigint) g;
insert into journal_lines select g, (g+3)/4, 1+(g*104729)%20000, case when g%2=0 then ((g*7907)%1000000)/100.0 else 0 end, case when g%2=1 then (((g+1)*7907)%1000000)/100.0 else 0 end,
  case when g%3=0 then 'line ' || g || ' ' || md5((g*3)::text) else null end from generate_series(4*:first::bigint-3,4*:last::bigint) g;

-- step: change
update journal_lines set description = 'corrected on day ' || :day || ' ' || left(coalesce(description, ''), 40) where id % 400 = (7 * :day) % 400;
