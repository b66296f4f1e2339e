//! From when on something is wrong.

use jiff::SignedDuration;

/// The thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertPolicy {
    /// So many failures in a row are critical.
    pub failures: usize,
    /// A duration or size is unusual when it is so many times the median, or that part of it …
    pub outlier_factor: f64,
    /// … and so many times the usual spread away from it.
    pub outlier_deviations: f64,
    /// Percent of the storage that are used: a warning.
    pub storage_percent: u8,
    /// The same: critical.
    pub storage_critical_percent: u8,
    /// Days within which the storage may not become full.
    pub forecast_days: u32,
    /// The same: critical.
    pub forecast_critical_days: u32,
    /// Days within which drills may not become too slow.
    pub drill_trend_days: u32,
    /// Days after which a key is old.
    pub key_days: u32,
    /// Bytes of WAL that the archive may be behind.
    pub wal_lag_bytes: u64,
    /// How old the newest archived WAL may be; nothing when that says nothing, as of a server at rest.
    pub wal_age: Option<SignedDuration>,
    /// How far clocks of different machines may be apart.
    pub clock_tolerance: SignedDuration,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            failures: 3,
            outlier_factor: 2.0,
            outlier_deviations: 5.0,
            storage_percent: 80,
            storage_critical_percent: 95,
            forecast_days: 14,
            forecast_critical_days: 3,
            drill_trend_days: 90,
            key_days: 90,
            wal_lag_bytes: 256_000_000,
            wal_age: None,
            clock_tolerance: SignedDuration::from_mins(5),
        }
    }
}
