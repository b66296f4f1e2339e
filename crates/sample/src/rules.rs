//! What holds in the ledger: the rules of its business, as queries.

/// A rule of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// One query, with all names qualified.
    pub query: &'static str,
    /// What it has to return: `no rows`, or a comparison with the one value of the one row.
    pub expect: &'static str,
    /// `critical`, or `warning`.
    pub severity: &'static str,
}

/// The rules of the ledger. They hold after a load and after every day.
pub const RULES: &[Rule] = &[
    Rule {
        name: "debits equal credits",
        query: "SELECT entry_id, sum(debit) AS debits, sum(credit) AS credits FROM public.journal_lines \
                GROUP BY entry_id HAVING sum(debit) <> sum(credit) ORDER BY entry_id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "posted entries have two lines or more",
        query: "SELECT e.id, e.company_id, count(l.id) AS lines FROM public.journal_entries e \
                LEFT JOIN public.journal_lines l ON l.entry_id = e.id WHERE e.status = 'posted' \
                GROUP BY e.id HAVING count(l.id) < 2 ORDER BY e.id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "a line is on one side",
        query: "SELECT id, entry_id FROM public.journal_lines WHERE (debit = 0) = (credit = 0) ORDER BY id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "the books are in use",
        query: "SELECT count(*) FROM public.journal_entries",
        expect: ">= 1",
        severity: "critical",
    },
    Rule {
        name: "the trial balance is zero",
        query: "SELECT coalesce(sum(balance), 0) FROM public.trial_balance",
        expect: "= 0",
        severity: "critical",
    },
    Rule {
        name: "periods of a company are apart",
        query: "SELECT a.company_id, a.id, b.id AS other FROM public.fiscal_periods a JOIN public.fiscal_periods b \
                ON a.company_id = b.company_id AND a.id < b.id AND a.during && b.during ORDER BY a.id, b.id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "accounts form no circle",
        query: "WITH RECURSIVE above(id, parent_id, depth) AS ( \
                  SELECT id, parent_id, 1 FROM public.accounts \
                  UNION ALL SELECT a.id, p.parent_id, a.depth + 1 FROM above a \
                    JOIN public.accounts p ON p.id = a.parent_id WHERE a.depth < 20) \
                SELECT DISTINCT id FROM above WHERE depth = 20 ORDER BY id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "every scan is stored",
        query: "SELECT id, scan FROM public.documents WHERE scan IS NOT NULL \
                AND scan NOT IN (SELECT oid FROM pg_catalog.pg_largeobject_metadata) ORDER BY id",
        expect: "no rows",
        severity: "critical",
    },
    Rule {
        name: "documents have content",
        query: "SELECT id, \"file name\" FROM public.documents WHERE content IS NULL AND scan IS NULL ORDER BY id",
        expect: "no rows",
        severity: "warning",
    },
];
