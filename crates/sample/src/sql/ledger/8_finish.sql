-- The ledger, part 8: the planner's statistics.

-- step: analyze
analyze;
