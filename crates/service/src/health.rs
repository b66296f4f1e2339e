//! Asks an application whether it is well.
//!
//! Invariant: no message shows more of the address than its host and port.

use std::thread;
use std::time::{Duration, Instant};

use crate::alerts::{HttpClient, Secret, WebAddress, WebAddressError};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Whom to ask, and for how long.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    address: WebAddress,
    client: HttpClient,
    wait: Duration,
}

impl HealthCheck {
    /// Asks `url` for up to `wait`.
    ///
    /// # Errors
    /// When `url` is not one of `http://` or `https://`.
    pub fn new(url: &str, wait: Duration) -> Result<Self, WebAddressError> {
        let address = WebAddress::new(Secret::new(url.to_owned()))?;
        Ok(Self { address, client: HttpClient::new(ANSWER.min(wait), None)?, wait })
    }

    /// The host and port that are asked.
    pub fn place(&self) -> &str {
        self.address.place()
    }

    /// Asks until the answer has a status of 200 to 299, or the time is over. Returns how long that took.
    ///
    /// # Errors
    /// With what came last, when the time is over.
    pub fn until_well(&self, cancelled: &dyn Fn() -> bool) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let answer = match self.client.get(&self.address) {
                Ok(()) => return Ok(began.elapsed()),
                Err(error) => error.to_string(),
            };
            if cancelled() || began.elapsed() + PAUSE > self.wait {
                return Err(answer);
            }
            thread::sleep(PAUSE);
        }
    }
}
