//! Settings by keyword, from the strongest origin that has them: the connection string, the service file, the environment.

use std::collections::BTreeMap;

use super::environment::ClientEnvironment;
use super::error::ConninfoError;
use super::keywords::{self, KEYWORDS, Keyword, Support};
use crate::password::Password;

/// Where a value comes from; a value of a weaker origin does not replace one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The connection string: the last of several values counts.
    Text,
    /// The service file.
    Service,
    /// The environment.
    Environment,
}

/// Values by keyword, and the password apart from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, String>,
    password: Option<Password>,
}

impl Settings {
    /// Sets `keyword`, unless a stronger origin did so.
    pub(super) fn set(&mut self, keyword: &str, value: Vec<u8>, origin: Origin) -> Result<(), ConninfoError> {
        let known = keywords::find(keyword).ok_or_else(|| match self.password {
            Some(_) => ConninfoError::UnknownKeywordAfterPassword,
            None => ConninfoError::UnknownKeyword { keyword: keyword.to_owned() },
        })?;
        self.set_known(known, value, origin)
    }

    fn set_known(&mut self, keyword: &Keyword, value: Vec<u8>, origin: Origin) -> Result<(), ConninfoError> {
        let name = keyword.name;
        let value = Password::new(value);
        if keyword.support == Support::Refused && !value.bytes().is_empty() {
            return Err(ConninfoError::Unsupported { keyword: name, why: "" });
        }
        if name == "password" {
            if origin == Origin::Text || self.password.is_none() {
                self.password = Some(value);
            }
            return Ok(());
        }
        let text = String::from_utf8(value.bytes().to_vec())
            .map_err(|_| ConninfoError::NotUtf8 { keyword: name })?;
        if origin == Origin::Text || !self.values.contains_key(name) {
            self.values.insert(name, text);
        }
        Ok(())
    }

    /// Fills what is missing from the environment.
    pub(super) fn apply_environment(&mut self, environment: &ClientEnvironment) -> Result<(), ConninfoError> {
        for keyword in KEYWORDS {
            let Some(variable) = keyword.variable else { continue };
            if keyword.name.starts_with("service") {
                continue;
            }
            if let Some(value) = environment.get(variable) {
                self.set_known(keyword, value.as_encoded_bytes().to_vec(), Origin::Environment)?;
            }
        }
        Ok(())
    }

    /// Removes the value of `keyword`, or takes that of its variable.
    pub(super) fn take_or_variable(
        &mut self,
        keyword: &'static str,
        environment: &ClientEnvironment,
    ) -> Result<Option<String>, ConninfoError> {
        if let Some(value) = self.values.remove(keyword) {
            return Ok(Some(value));
        }
        let variable = keywords::find(keyword).and_then(|known| known.variable);
        let Some(value) = variable.and_then(|variable| environment.get(variable)) else { return Ok(None) };
        value.to_str().map(|text| Some(text.to_owned())).ok_or(ConninfoError::NotUtf8 { keyword })
    }

    /// The value of `keyword` if it is there and not empty.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Sets `keyword` whatever was there.
    pub(super) fn replace(&mut self, keyword: &'static str, value: &str) {
        self.values.insert(keyword, value.to_owned());
    }

    /// The password if there is one that is not empty; an empty one counts as none, as in libpq.
    pub(super) fn password(&self) -> Option<&Password> {
        self.password.as_ref().filter(|password| !password.bytes().is_empty())
    }
}
