use super::*;

const DUMPS: [&[u8]; 4] = [
    include_bytes!("../../../tests/archives/pg15.dump"),
    include_bytes!("../../../tests/archives/pg16.dump"),
    include_bytes!("../../../tests/archives/pg17.dump"),
    include_bytes!("../../../tests/archives/pg18.dump"),
];

struct Chosen {
    objects: BTreeSet<String>,
    tables: Vec<String>,
    left_out: Vec<String>,
}

/// What is chosen of one archive.
fn choose(dump: &[u8], names: &[&str], existing: &Existing) -> Result<Chosen, LoadError> {
    let toc = Toc::read(&mut &dump[..]).unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection::of_tables(&toc, &names, existing)?;
    let ids = selection.dump_ids.iter();
    let entries = ids.map(|id| toc.entry(*id).unwrap()).filter(|entry| !is_setting(entry));
    Ok(Chosen {
        objects: entries.map(ToString::to_string).collect(),
        tables: selection.tables.iter().map(ToString::to_string).collect(),
        left_out: selection.left_out.iter().map(|left| format!("{}: {}", left.object, left.reason)).collect(),
    })
}

fn in_new_database(names: &[&str], expected: &[&str], left_out: &[&str]) {
    for dump in DUMPS {
        let chosen = choose(dump, names, &Existing::in_new_database()).unwrap();
        let objects: Vec<_> = chosen.objects.iter().map(String::as_str).collect();
        assert_eq!(objects, expected);
        assert_eq!(chosen.left_out, left_out);
    }
}

#[test]
fn a_table_brings_what_it_is_made_of_and_what_is_on_it() {
    in_new_database(
        &["ledger.account"],
        &[
            "ACL SCHEMA ledger",
            "ACL ledger.COLUMN account.code",
            "ACL ledger.COLUMN account.id",
            "ACL ledger.TABLE account",
            "COMMENT ledger.COLUMN account.code",
            "COMMENT ledger.INDEX account_code",
            "COMMENT ledger.TABLE account",
            "CONSTRAINT ledger.account account_pkey",
            "FUNCTION ledger.next_code()",
            "INDEX ledger.account_code",
            "POLICY ledger.account only_ok",
            "ROW SECURITY ledger.account",
            "SCHEMA ledger",
            "SEQUENCE SET ledger.account_id_seq",
            "SEQUENCE ledger.account_id_seq",
            "STATISTICS ledger.account_stats",
            "TABLE DATA ledger.account",
            "TABLE ledger.account",
            "TYPE ledger.mood",
        ],
        &["PUBLICATION TABLE ledger.books account: it needs PUBLICATION books, which is not restored"],
    );
}

#[test]
fn what_cannot_be_restored_is_left_out_with_the_reason() {
    in_new_database(
        &["entry"],
        &[
            "ACL SCHEMA ledger",
            "ACL ledger.TABLE entry",
            "CONSTRAINT ledger.entry entry_pkey",
            "DEFAULT ledger.entry id",
            "DOMAIN ledger.positive",
            "SCHEMA ledger",
            "SEQUENCE OWNED BY ledger.entry_id_seq",
            "SEQUENCE SET ledger.entry_id_seq",
            "SEQUENCE ledger.entry_id_seq",
            "TABLE DATA ledger.entry",
            "TABLE ledger.entry",
        ],
        &[
            "TRIGGER ledger.entry entry_touch: it needs FUNCTION ledger.touch(), which is not restored",
            "FK CONSTRAINT ledger.entry entry_account_fkey: it needs TABLE ledger.account, which is not restored",
        ],
    );
}

#[test]
fn a_foreign_key_is_kept_with_both_its_tables() {
    for dump in DUMPS {
        let chosen = choose(dump, &["entry", "account"], &Existing::in_new_database()).unwrap();
        assert!(chosen.objects.contains("FK CONSTRAINT ledger.entry entry_account_fkey"));
        assert_eq!(chosen.tables, ["ledger.account", "ledger.entry"]);
        assert_eq!(chosen.left_out.len(), 2);
    }
}

#[test]
fn what_the_target_has_is_used_and_not_made_again() {
    let mut existing = Existing::in_new_database();
    for (class, schema, name) in [
        ("schema", "", "ledger"),
        ("relation", "ledger", "account"),
        ("routine", "ledger", "touch()"),
        ("type", "ledger", "positive"),
    ] {
        existing.insert(class, schema, name);
    }
    for dump in DUMPS {
        let chosen = choose(dump, &["entry"], &existing).unwrap();
        let objects: Vec<_> = chosen.objects.iter().map(String::as_str).collect();
        assert_eq!(
            objects,
            [
                "ACL ledger.TABLE entry",
                "CONSTRAINT ledger.entry entry_pkey",
                "DEFAULT ledger.entry id",
                "FK CONSTRAINT ledger.entry entry_account_fkey",
                "SEQUENCE OWNED BY ledger.entry_id_seq",
                "SEQUENCE SET ledger.entry_id_seq",
                "SEQUENCE ledger.entry_id_seq",
                "TABLE DATA ledger.entry",
                "TABLE ledger.entry",
                "TRIGGER ledger.entry entry_touch",
            ]
        );
        assert!(chosen.left_out.is_empty());
    }
}

#[test]
fn a_table_that_the_target_has_is_refused() {
    let mut existing = Existing::in_new_database();
    existing.insert("relation", "public", "event_rest");
    for names in [["event"], ["event_rest"]] {
        let error = choose(DUMPS[0], &names, &existing).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "table \"public\".\"event_rest\" exists already");
    }
}

#[test]
fn a_partitioned_table_brings_its_partitions() {
    in_new_database(
        &["event"],
        &[
            "INDEX ATTACH public.event_2025_at_idx",
            "INDEX ATTACH public.event_rest_at_idx",
            "INDEX public.event_2025_at_idx",
            "INDEX public.event_at",
            "INDEX public.event_rest_at_idx",
            "TABLE ATTACH public.event_2025",
            "TABLE ATTACH public.event_rest",
            "TABLE DATA public.event_2025",
            "TABLE DATA public.event_rest",
            "TABLE public.event",
            "TABLE public.event_2025",
            "TABLE public.event_rest",
        ],
        &[],
    );
}

#[test]
fn a_partition_brings_the_definition_of_its_parent_only() {
    in_new_database(
        &["event_2025"],
        &[
            "INDEX public.event_2025_at_idx",
            "TABLE ATTACH public.event_2025",
            "TABLE DATA public.event_2025",
            "TABLE public.event",
            "TABLE public.event_2025",
        ],
        &["rows of public.event: only its definition is needed"],
    );
}

#[test]
fn a_child_brings_the_definition_of_what_it_inherits() {
    in_new_database(
        &["child"],
        &["TABLE DATA public.child", "TABLE public.child", "TABLE public.parent"],
        &["rows of public.parent: only its definition is needed"],
    );
}

#[test]
fn views_bring_definitions_and_are_filled_only_from_rows_that_are_there() {
    for dump in DUMPS {
        let chosen = choose(dump, &["totals"], &Existing::in_new_database()).unwrap();
        assert!(chosen.objects.contains("MATERIALIZED VIEW public.totals"));
        assert!(chosen.objects.contains("INDEX public.totals_account"));
        assert!(chosen.objects.contains("TABLE ledger.entry"));
        assert!(!chosen.objects.contains("TABLE DATA ledger.entry"));
        assert_eq!(
            chosen.left_out,
            [
                "rows of ledger.entry: only its definition is needed",
                "MATERIALIZED VIEW DATA public.totals: the rows of ledger.entry are not restored",
            ]
        );
        let chosen = choose(dump, &["aatotals", "totals", "entry"], &Existing::in_new_database()).unwrap();
        assert!(chosen.objects.contains("MATERIALIZED VIEW DATA public.totals"));
        assert!(chosen.objects.contains("MATERIALIZED VIEW DATA public.aatotals"));
        let chosen = choose(dump, &["aatotals", "entry"], &Existing::in_new_database()).unwrap();
        assert!(chosen.left_out.contains(
            &"MATERIALIZED VIEW DATA public.aatotals: the rows of public.totals are not restored".to_owned()
        ));
    }
}

#[test]
fn names_that_need_quotes_are_chosen() {
    for dump in DUMPS {
        let chosen = choose(dump, &["Table with spaces; and more"], &Existing::in_new_database()).unwrap();
        assert_eq!(chosen.tables, ["Odd \"schema\".Table with spaces; and more"]);
        assert_eq!(chosen.objects.len(), 3);
    }
}

#[test]
fn foreign_keys_in_a_circle_are_known() {
    for dump in DUMPS {
        let mut toc = Toc::read(&mut &dump[..]).unwrap();
        assert_eq!(circular_foreign_keys(&toc), BTreeSet::new());
        let key = toc
            .entries
            .iter()
            .find(|entry| entry.desc == "FK CONSTRAINT" && entry.tag.to_text().starts_with("entry "));
        let key = key.unwrap().clone();
        let mut back = key.clone();
        (back.tag, back.dump_id) = ("account back_fkey".into(), 9999);
        let mut comment = key.clone();
        (comment.desc, comment.dump_id) = ("COMMENT".to_owned(), 10_000);
        comment.dependencies = vec![9999];
        toc.entries.extend([back, comment]);
        assert_eq!(circular_foreign_keys(&toc), BTreeSet::from([key.dump_id, 9999, 10_000]));
    }
}
