//! SIGINT, SIGTERM and SIGHUP ask the running operation to stop; a second one ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::catalogue::Code;
use crate::failure::Failure;

/// Whether somebody asked us to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Listens to the signals from now on.
    pub(crate) fn install() -> Result<Self, Failure> {
        let cancel = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The order matters: the first signal finds the flag unset and sets it; the second one finds it set.
            flag::register_conditional_default(signal, Arc::clone(&cancel.0))
                .and_then(|_| flag::register(signal, Arc::clone(&cancel.0)))
                .map_err(|error| Failure::because(Code::Internal, &error))?;
        }
        Ok(cancel)
    }

    /// Whether a signal has arrived.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
