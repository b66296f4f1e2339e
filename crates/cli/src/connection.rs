//! Connection strings from the settings and the command line.

use operations::postgres::{ClientEnvironment, ConnectOptions};

use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::{Failure, sentence};

/// The connection that `text` means, with what the `PG*` variables add. `origin` names the place in an error.
pub(crate) fn parse(environment: &Environment, text: &str, origin: &str) -> Result<ConnectOptions, Failure> {
    let client = ClientEnvironment::from_vars(environment.variables());
    ConnectOptions::parse(text, &client)
        .map_err(|error| Failure::new(Code::SettingsUrl, format!("{origin}: {}", sentence(&error))))
}

/// Whether a connection string holds a password, and so shows it to everyone who can list processes.
pub(crate) fn has_password(text: &str) -> bool {
    let in_userinfo = text
        .split_once("://")
        .and_then(|(_, rest)| rest.split('?').next())
        .is_some_and(|before| before.rsplit_once('@').is_some_and(|(userinfo, _)| userinfo.contains(':')));
    let compact: String = text.split_whitespace().collect();
    in_userinfo || compact.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_in_every_form() {
        for text in [
            "postgres://u:p@h/d",
            "postgresql://u:p@@h,h2:5433/d",
            "postgres://u:a/b@h/d",
            "postgres://h/d?user=u&password=p",
            "host=h password=p",
            "host=h password = 'p'",
        ] {
            assert!(has_password(text), "{text}");
        }
        for text in ["postgres://u@h:5432/d", "postgres://h:5432/d", "host=h passfile=/p", "d"] {
            assert!(!has_password(text), "{text}");
        }
    }
}
