//! A password in memory: wiped when dropped, never shown.

use std::fmt;

use zeroize::Zeroizing;

/// The bytes of a password. PostgreSQL passwords need not be UTF-8.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
