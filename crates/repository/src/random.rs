//! Randomness for salts and names.

use crate::Error;

/// The salt of a new container.
pub(crate) fn salt() -> Result<[u8; 32], Error> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| Error::Random { message: error.to_string() })?;
    Ok(salt)
}
