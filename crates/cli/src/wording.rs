//! How times, durations and tables read.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use jiff::Timestamp;

/// A time in UTC to the second: `2026-11-23T12:00:00Z`.
pub(crate) fn time(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// A duration in whole milliseconds, for JSON.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration for people: `240 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `150018` as `15.18` (PostgreSQL documentation, `server_version_num`, from version 10 on).
pub(crate) fn server_version(number: u32) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}

/// A number with its noun: `1 table`, `12 tables`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text, aligned to the left.
    Text(&'static str),
    /// A number or size, aligned to the right.
    Number(&'static str),
}

/// Rows under a header, without lines or colours, two spaces between columns.
pub(crate) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.iter().map(|column| match column {
        Column::Text(name) | Column::Number(name) => Cell::new(name),
    }));
    for row in rows {
        table.add_row(row);
    }
    for (position, column) in columns.iter().enumerate() {
        if let Some(shown) = table.column_mut(position) {
            shown.set_padding((0, 2));
            if matches!(column, Column::Number(_)) {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_990, "59.9 s"),
            (250_000, "4 min 10 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((count(1, "row"), count(1_200, "row")), ("1 row".into(), "1,200 rows".into()));
    }

    #[test]
    fn tables_align_numbers_to_the_right_and_end_without_spaces() {
        let columns = [Column::Text("name"), Column::Number("rows")];
        let rows = [vec!["books".into(), "12".into()], vec!["a".into(), "1,200".into()]];
        assert_eq!(table(&columns, rows), "name    rows\nbooks     12\na      1,200");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        assert_eq!(time("2026-11-23T13:00:00.75+01:00".parse().unwrap()), "2026-11-23T12:00:00Z");
    }
}
