//! What can be wrong with a connection string. No variant holds a value: a misplaced character can make part of a
//! password look like any other setting.

use std::io;
use std::path::PathBuf;

/// Connection settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConninfoError {
    /// The text is not of the form `keyword = value …`.
    #[error("the connection string is malformed: {problem} (at character {position})")]
    Syntax {
        /// What is wrong.
        problem: &'static str,
        /// The place, counted in characters from 1.
        position: usize,
    },
    /// The URI is malformed.
    #[error(
        "the connection URI is malformed: {problem}; a character with a meaning of its own must be percent-encoded"
    )]
    Uri {
        /// What is wrong.
        problem: &'static str,
    },
    /// A keyword that libpq does not know either.
    #[error("there is no connection setting {keyword:?}")]
    UnknownKeyword {
        /// The keyword.
        keyword: String,
    },
    /// As before, but the keyword stands after a password and may be part of it, so it is not repeated.
    #[error(
        "the connection string has an unknown setting after the password; quote or percent-encode the password"
    )]
    UnknownKeywordAfterPassword,
    /// A setting that asks for something that is not there.
    #[error("the connection setting {keyword} is not supported{why}")]
    Unsupported {
        /// The keyword.
        keyword: &'static str,
        /// Which value, or why; empty or starting with a punctuation mark.
        why: &'static str,
    },
    /// A value outside of what the setting allows.
    #[error("the connection setting {keyword} has an invalid value: {expected}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What is allowed.
        expected: &'static str,
    },
    /// Lists of different lengths.
    #[error("{hosts} hosts do not go with {others} values of {keyword}")]
    Counts {
        /// Number of hosts.
        hosts: usize,
        /// The other list.
        keyword: &'static str,
        /// Its length.
        others: usize,
    },
    /// Bytes that are not UTF-8 in anything but the password.
    #[error("the connection setting {keyword} is not UTF-8")]
    NotUtf8 {
        /// The keyword.
        keyword: &'static str,
    },
    /// The service has no definition.
    #[error("the service {service:?} is not defined")]
    NoService {
        /// The service.
        service: String,
    },
    /// The service file is malformed.
    #[error("line {line} of the service file {path} is malformed: {problem}", path = path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file that was asked for cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither a setting nor the operating system names a user.
    #[error("no user to connect as: the account is not in /etc/passwd and no user was given")]
    NoUser,
}

/// Something that libpq would warn about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoWarning {
    /// The password file is ignored.
    #[error(
        "the password file {path} is ignored because group or others can access it; its mode should be 0600",
        path = path.display()
    )]
    PassfileTooOpen {
        /// The file.
        path: PathBuf,
    },
    /// The password file is ignored.
    #[error("the password file {path} is ignored because it is not a plain file", path = path.display())]
    PassfileNotPlain {
        /// The file.
        path: PathBuf,
    },
}
