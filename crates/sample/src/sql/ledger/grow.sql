-- The ledger, a day later: besides the new rows of the books (part 3), one line in four hundred changes, spread over the
-- whole table, and so do a few rows elsewhere. :day counts from one.

-- step: corrections
update public.journal_lines
set description = 'corrected on day ' || :day || ': ' || left(coalesce(description, 'no text'), 40)
where id % 400 = (7 * :day + :seed) % 400;
update public.invoices set tags = array['reminded', 'day ' || :day] where id % 400 = (11 * :day + :seed) % 400;
update public.fiscal_periods set closed = true where id = 300 + :day % 100;
delete from audit.log_default where at < timestamptz '2022-01-01 00:00+00' and id % 5 = :day % 5;
