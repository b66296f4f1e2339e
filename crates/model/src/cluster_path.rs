//! Where a file of a cluster is, below its data directory.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most bytes of a path.
const MAX_BYTES: usize = 1024;

/// A path relative to the data directory, with `/` between its parts: `base/5/1259`, `pg_tblspc/16385/PG_15_202209061/5/16390`.
/// No part is empty, `.` or `..`, and none holds a NUL or a control character, so that a path never leaves the directory
/// that it is joined to and takes one line where it is written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterPath(String);

/// The text is no path of a file in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a path below a data directory")]
pub struct ParseClusterPathError {
    text: String,
}

impl ClusterPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The directory that it is in; nothing for what lies in the data directory itself.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }
}

impl FromStr for ClusterPath {
    type Err = ParseClusterPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
        if text.len() <= MAX_BYTES && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseClusterPathError { text: text.chars().take(200).collect() })
        }
    }
}

impl TryFrom<String> for ClusterPath {
    type Error = ParseClusterPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterPath> for String {
    fn from(path: ClusterPath) -> Self {
        path.0
    }
}

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_a_data_directory() {
        for text in
            ["PG_VERSION", "base/5/1259", "pg_tblspc/16385/PG_15_202209061/5/16390", "conf.d/ä b.conf"]
        {
            let path: ClusterPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        let path: ClusterPath = "base/5/1259".parse().unwrap();
        assert_eq!((path.parent(), path.file_name()), (Some("base/5"), "1259"));
        let path: ClusterPath = "PG_VERSION".parse().unwrap();
        assert_eq!((path.parent(), path.file_name()), (None, "PG_VERSION"));
    }

    #[test]
    fn nothing_leaves_the_data_directory() {
        let long = "a/".repeat(600);
        for text in
            ["", "/", "/etc", "a/", "a//b", ".", "..", "a/../b", "a/./b", "../a", "a\0b", "a\nb", &long]
        {
            assert!(text.parse::<ClusterPath>().is_err(), "{text:?}");
        }
    }
}
