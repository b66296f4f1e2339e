//! What operations get from outside: the clock, random bits, the search path for tools, and someone to report to.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::Timestamp;
use operations::{Context, Observer, Unobserved};
use repository::{LeaseRequest, Repository, Taken};
use service::LeaseKeeper;

use crate::actor;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::process;
use crate::progress::Reporter;
use crate::screen::Screen;
use crate::settings::Settings;
use crate::signals::Cancel;
use crate::wording;

/// Everything that a [`Context`] borrows.
pub(crate) struct Surroundings {
    /// Shows progress and carries the order to stop.
    pub(crate) reporter: Reporter,
    lease: Option<LeaseKeeper>,
    tool_path: Option<OsString>,
    sandbox_parent: PathBuf,
}

impl Surroundings {
    /// Surroundings as the settings say. From here on, signals stop the operation.
    pub(crate) fn new(screen: Screen, settings: &Settings) -> Result<Self, Failure> {
        Self::with(screen, settings.tool_path(), settings.sandbox_directory.clone())
    }

    /// Surroundings with tools from `tool_path` and sandboxes below `sandbox_parent`.
    pub(crate) fn with(
        screen: Screen,
        tool_path: Option<OsString>,
        sandbox_parent: PathBuf,
    ) -> Result<Self, Failure> {
        // Where there are random bits once, there are random bits: `random` relies on it.
        getrandom::fill(&mut [0; 32]).map_err(|error| {
            Failure::new(Code::Internal, format!("the system gives no random bits: {error}"))
        })?;
        let reporter = Reporter::new(screen, Cancel::install()?);
        Ok(Self { reporter, lease: None, tool_path, sandbox_parent })
    }

    /// Takes the right to back up a source, for as long as this value lives: one backup of a source at a time, wherever it is
    /// taken from.
    pub(crate) fn take_source(&mut self, repository: &Repository, source: &str) -> Result<(), Failure> {
        let (right, holder, process) = (format!("backups of {source:?}"), actor::name(), process::identity());
        let mut bits = [0; 16];
        random(&mut bits);
        let request = LeaseRequest {
            right: &right,
            holder: &holder,
            process: &process,
            now: Timestamp::now(),
            random: bits,
        };
        match repository.take_lease(&request, &process::is_gone)? {
            Taken::Yes(held) => {
                let keeper = LeaseKeeper::start(repository, held, Timestamp::now)
                    .map_err(|error| Failure::because(Code::Internal, &error))?;
                self.reporter.stop_when(keeper.lost());
                self.lease = Some(keeper);
                Ok(())
            }
            Taken::No(lease) => {
                let (since, until) = (wording::time(lease.taken_at), wording::time(lease.expires_at));
                let message = format!(
                    "{} backs up {source:?} since {since} (its lease lasts until {until})",
                    lease.holder
                );
                Err(Failure::new(Code::LeaseHeld, message))
            }
        }
    }

    /// Why an operation failed. Whatever broke after somebody asked to stop (children get the signals of a terminal, too)
    /// broke because of that.
    pub(crate) fn failure(&self, error: operations::Error) -> Failure {
        self.reporter.finish();
        if self.reporter.is_overtaken() {
            let message = "another process has taken over the source";
            return Failure::new(Code::LeaseLost, message);
        }
        if self.reporter.cancelled() {
            return Failure::new(Code::Cancelled, operations::Error::Cancelled.to_string());
        }
        Failure::from(error)
    }

    /// The context to hand to an operation.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            clock: &Timestamp::now,
            random: &random,
            observer: &self.reporter,
            lease: self.lease.as_ref().map(LeaseKeeper::token),
            tool_path: self.tool_path.clone(),
            sandbox_parent: self.sandbox_parent.clone(),
        }
    }
}

/// The context of an operation that is done before anybody could wait for it. Signals end the process, as the server that started
/// it expects.
pub(crate) fn brief_context() -> Context<'static> {
    Context {
        clock: &Timestamp::now,
        random: &random,
        observer: &Unobserved,
        lease: None,
        tool_path: None,
        sandbox_parent: PathBuf::new(),
    }
}

/// Fills `bytes` with random bits fit for keys.
pub(crate) fn random(bytes: &mut [u8]) {
    if getrandom::fill(bytes).is_err() {
        // Ending at once is the only answer that cannot make a weak key or a repeated nonce.
        std::process::abort();
    }
}
