//! A family: metrics of one name that differ in the values of their labels.

/// Metrics of one name, with `N` labels.
#[derive(Debug)]
pub(super) struct Family<const N: usize> {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) labels: [&'static str; N],
    pub(super) help: &'static str,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It goes up and down.
    Gauge,
    /// It only goes up.
    Counter,
    /// How many durations there were of what length.
    Histogram,
    /// It is always 1, and its labels say something.
    Info,
}

/// What a family is, for documentation and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name, without the suffixes of samples.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// A sentence.
    pub help: &'static str,
}

impl<const N: usize> Family<N> {
    pub(super) const fn gauge(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, labels, help }
    }

    pub(super) const fn counter(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, labels, help }
    }

    pub(super) const fn histogram(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram, labels, help }
    }

    pub(super) const fn info(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Info, labels, help }
    }

    pub(super) fn describe(&self) -> Description {
        Description { name: self.name, kind: self.kind, labels: self.labels.to_vec(), help: self.help }
    }
}

impl MetricKind {
    /// The word in a line of types.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// What is added to the name of a family in its samples.
    pub const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Gauge => &[""],
            Self::Counter => &["_total"],
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::Info => &["_info"],
        }
    }
}

impl Description {
    /// The names of its samples.
    pub fn sample_names(&self) -> Vec<String> {
        self.kind.suffixes().iter().map(|suffix| format!("{}{suffix}", self.name)).collect()
    }
}
