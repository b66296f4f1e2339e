use super::*;

fn value(text: &str) -> Answered<'_> {
    Answered { columns: 1, rows: 1, more: false, value: Some(text) }
}

fn expects(text: &str) -> Expectation {
    text.parse().unwrap()
}

#[test]
fn an_expectation_reads_back_as_it_is_written() {
    for text in
        ["no rows", "rows", "= 0", "= true", ">= 1", "<= -2.5", "< 3", "> 4", "!= open", "= in two words"]
    {
        assert_eq!(expects(text).to_string(), text);
    }
    assert_eq!(expects("0"), Expectation::Value(Comparison::Equal, "0".into()));
    assert_eq!(expects("  false "), Expectation::Value(Comparison::Equal, "false".into()));
    assert_eq!(expects("<>x"), Expectation::Value(Comparison::NotEqual, "x".into()));
    assert_eq!(expects("==1"), Expectation::Value(Comparison::Equal, "1".into()));
    for text in ["", "norows", "no row", "NO ROWS", "=", ">= many", "=> 1", ">", "open"] {
        assert!(text.parse::<Expectation>().is_err(), "{text}");
    }
}

#[test]
fn rows_are_counted() {
    let answered = |rows, more| Answered { columns: 3, rows, more, value: None };
    assert_eq!(expects("no rows").judge(answered(0, false)), Ok(()));
    assert_eq!(expects("no rows").judge(answered(1, false)).unwrap_err(), "1 row where none were expected");
    assert_eq!(
        expects("no rows").judge(answered(20, true)).unwrap_err(),
        "20 rows or more where none were expected"
    );
    assert_eq!(expects("rows").judge(answered(1, false)), Ok(()));
    assert_eq!(expects("rows").judge(answered(0, false)).unwrap_err(), "no rows where some were expected");
    let wrong = expects("0").judge(answered(1, false)).unwrap_err();
    assert_eq!(wrong, "1 row with 3 columns instead of one row with one column");
    let many = Answered { columns: 1, rows: 2, more: false, value: Some("0") };
    assert!(expects("0").judge(many).unwrap_err().starts_with("2 rows with 1 column instead"));
    assert!(
        expects("0")
            .judge(Answered { rows: 0, ..many })
            .unwrap_err()
            .starts_with("no rows with 1 column instead")
    );
}

#[test]
fn numbers_compare_as_numbers_of_any_length() {
    for (found, wanted) in [
        ("0", "= 0"),
        ("0.00", "0"),
        ("-0", "0"),
        ("007", "= 7.0"),
        ("1e+20", "= 100000000000000000000"),
        ("1.5e-3", "= 0.0015"),
        ("10", ">= 9"),
        ("9", "< 10"),
        ("-10", "< -9"),
        ("0.1", "> 0.09"),
        ("99999999999999999999.01", "> 99999999999999999999"),
        ("-0.01", "<= 0"),
        ("1", "!= 1.01"),
        ("t", "true"),
        ("f", "= false"),
        ("open", "= open"),
        ("open", "!= closed"),
        ("NaN", "= NaN"),
    ] {
        assert_eq!(expects(wanted).judge(value(found)), Ok(()), "{found} {wanted}");
    }
    for (found, wanted, says) in [
        ("1", "= 0", "the value is \"1\", and = 0 was expected"),
        ("t", "false", "the value is \"t\""),
        ("9", ">= 10", "the value is \"9\", and >= 10 was expected"),
        ("NaN", "> 1", "is no number"),
        ("99999999999999999999.01", "= 99999999999999999999", "the value is"),
        ("Infinity", "<= 1", "is no number"),
    ] {
        let said = expects(wanted).judge(value(found)).unwrap_err();
        assert!(said.contains(says), "{found} {wanted}: {said}");
    }
    let null = Answered { value: None, ..value("") };
    assert_eq!(expects("0").judge(null).unwrap_err(), "the value is NULL, and = 0 was expected");
}

#[test]
fn a_long_value_is_shortened() {
    let long = "é".repeat(1000);
    let said = expects("0").judge(value(&long)).unwrap_err();
    assert!(said.contains('…') && said.chars().count() < 150, "{said}");
}

#[test]
fn a_check_is_for_the_sources_that_it_names() {
    let check = |sources: &[&str]| Check {
        name: "x".into(),
        query: "SELECT 1".into(),
        expectation: Expectation::NoRows,
        severity: CheckSeverity::Critical,
        sources: sources.iter().map(|name| (*name).to_owned()).collect(),
        limit: Check::LIMIT,
    };
    assert!(check(&[]).is_for("books"));
    assert!(check(&["a", "books"]).is_for("books"));
    assert!(!check(&["a"]).is_for("books"));
}
