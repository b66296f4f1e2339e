//! Text of metrics, strictly by the specifications.
//!
//! Sources: OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>) and the text format 0.0.4 of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use jiff::{SignedDuration, Timestamp};

use super::family::{Family, MetricKind};

/// Units that names end in.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];
/// Upper ends, in seconds, of the classes of a histogram of durations.
pub(super) const DURATION_BUCKETS: [u32; 12] =
    [1, 5, 15, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400];

/// The format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Prometheus,
}

impl Form {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Milliseconds(i64),
    Float(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<Timestamp> for Number {
    fn from(moment: Timestamp) -> Self {
        Self::Milliseconds(moment.as_millisecond())
    }
}

impl From<SignedDuration> for Number {
    fn from(duration: SignedDuration) -> Self {
        Self::Milliseconds(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Milliseconds(number) => {
                let sign = if number < 0 { "-" } else { "" };
                let number = number.unsigned_abs();
                write!(f, "{sign}{}.{:03}", number / 1000, number % 1000)
            }
            Self::Float(number) if number.is_nan() => f.write_str("NaN"),
            Self::Float(number) if number.is_infinite() => {
                f.write_str(if number > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Float(number) => write!(f, "{number:?}"),
        }
    }
}

/// Durations, by classes.
#[derive(Debug, Default, Clone)]
pub(super) struct Histogram {
    /// So many that are not longer than each end of [`DURATION_BUCKETS`].
    within: [u64; DURATION_BUCKETS.len()],
    count: u64,
    sum: SignedDuration,
}

impl Histogram {
    pub(super) fn add(&mut self, duration: SignedDuration) {
        for (count, end) in self.within.iter_mut().zip(DURATION_BUCKETS) {
            *count += u64::from(duration <= SignedDuration::from_secs(end.into()));
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

/// The values of the labels of a sample.
pub(super) type Labels<const N: usize> = [String; N];

/// A page of metrics.
#[derive(Debug)]
pub(super) struct Page {
    form: Form,
    text: String,
}

impl Page {
    pub(super) fn new(form: Form) -> Self {
        Self { form, text: String::new() }
    }

    /// Writes a family. Two samples of the same labels would make a reader refuse the page, so the first one counts.
    pub(super) fn family<const N: usize, V: Into<Number>>(
        &mut self,
        family: &Family<N>,
        samples: impl IntoIterator<Item = (Labels<N>, V)>,
    ) {
        let mut sorted = BTreeMap::new();
        for (labels, value) in samples {
            sorted.entry(labels).or_insert(value);
        }
        if sorted.is_empty() {
            return;
        }
        self.head(family);
        let suffix = family.kind.suffixes().first().copied().unwrap_or_default();
        for (labels, value) in sorted {
            self.sample(family, suffix, &labels, None, value.into());
        }
    }

    /// Writes a family of which there is one sample at most, without labels.
    pub(super) fn single<V: Into<Number>>(&mut self, family: &Family<0>, value: Option<V>) {
        self.family(family, value.map(|value| ([], value)));
    }

    /// Writes a family of histograms.
    pub(super) fn histograms<const N: usize>(
        &mut self,
        family: &Family<N>,
        histograms: &BTreeMap<Labels<N>, Histogram>,
    ) {
        if histograms.is_empty() {
            return;
        }
        self.head(family);
        for (labels, histogram) in histograms {
            for (end, count) in DURATION_BUCKETS.iter().zip(histogram.within) {
                self.sample(family, "_bucket", labels, Some(&format!("{end}.0")), count.into());
            }
            self.sample(family, "_bucket", labels, Some("+Inf"), histogram.count.into());
            self.sample(family, "_count", labels, None, histogram.count.into());
            self.sample(family, "_sum", labels, None, histogram.sum.into());
        }
    }

    /// The page.
    pub(super) fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head<const N: usize>(&mut self, family: &Family<N>) {
        let (name, help) = (family.name, family.help);
        match self.form {
            Form::OpenMetrics => {
                self.line(format_args!("# TYPE {name} {}", family.kind.word()));
                if let Some(unit) = unit(name) {
                    self.line(format_args!("# UNIT {name} {unit}"));
                }
                self.line(format_args!("# HELP {name} {}", escaped(help)));
            }
            Form::Prometheus => {
                // There, a family is named as its samples are, and there is no type for what only has labels.
                let (suffix, word) = match family.kind {
                    MetricKind::Counter => ("_total", "counter"),
                    MetricKind::Info => ("_info", "gauge"),
                    MetricKind::Gauge | MetricKind::Histogram => ("", family.kind.word()),
                };
                let help = help.replace('\\', "\\\\").replace('\n', "\\n");
                self.line(format_args!("# HELP {name}{suffix} {help}"));
                self.line(format_args!("# TYPE {name}{suffix} {word}"));
            }
        }
    }

    fn sample<const N: usize>(
        &mut self,
        family: &Family<N>,
        suffix: &str,
        labels: &Labels<N>,
        end: Option<&str>,
        value: Number,
    ) {
        let named = family.labels.iter().copied().zip(labels.iter().map(String::as_str));
        let pairs: Vec<String> = named
            .chain(end.map(|end| ("le", end)))
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let set = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        self.line(format_args!("{}{suffix}{set} {value}", family.name));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Text in memory takes everything.
        let _ = writeln!(self.text, "{line}");
    }
}

/// The unit in a name.
fn unit(name: &str) -> Option<&'static str> {
    UNITS.into_iter().find(|unit| name.rsplit('_').next() == Some(*unit))
}

/// Text between quotation marks.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
