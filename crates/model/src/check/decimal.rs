//! Decimal numbers of any length, as a server writes them.

use std::cmp::Ordering;
use std::str::FromStr;

/// Digits of an exponent that are read; larger numbers than these exponents can say are in no database.
const EXPONENT_DIGITS: usize = 6;

/// A number: its sign, and `0.digits * 10^point`.
///
/// Invariant: the digits neither begin nor end with a zero, and there are none in zero, which has no sign and no point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    digits: String,
    point: i64,
}

/// It is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoDecimal;

impl FromStr for Decimal {
    type Err = NoDecimal;

    fn from_str(text: &str) -> Result<Self, NoDecimal> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoDecimal);
        }
        let digits = all.trim_start_matches('0');
        let leading = all.len() - digits.len();
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self { is_negative: false, digits: String::new(), point: 0 });
        }
        let length = |count: usize| i64::try_from(count).map_err(|_| NoDecimal);
        let point = length(whole.len())? - length(leading)? + exponent;
        Ok(Self { is_negative, digits: digits.to_owned(), point })
    }
}

fn parse_exponent(text: &str) -> Result<i64, NoDecimal> {
    if text.trim_start_matches(['+', '-']).len() > EXPONENT_DIGITS {
        return Err(NoDecimal);
    }
    text.parse().map_err(|_| NoDecimal)
}

impl Decimal {
    /// -1, 0 or 1.
    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        self.sign()
            .cmp(&other.sign())
            .then_with(|| if self.is_negative { by_size().reverse() } else { by_size() })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
