//! Who is told about what.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{AlertCode, Finding, Severity};

/// Where findings of some severities and sources go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The severities; one that is not named is not sent this way.
    pub severities: BTreeSet<Severity>,
    /// Names of sources; `*` stands for any characters. What is of no source is sent where a name is `*`.
    pub sources: Vec<String>,
    /// The channels.
    pub channels: BTreeSet<String>,
    /// Who is told when nothing has changed for a while. Only of what is critical.
    pub escalate_to: BTreeSet<String>,
    /// After how long.
    pub escalate_after: SignedDuration,
}

impl Route {
    fn is_for(&self, finding: &Finding) -> bool {
        let is_source = |pattern: &String| match &finding.source {
            Some(source) => matches(pattern, source),
            None => pattern == "*",
        };
        self.severities.contains(&finding.severity) && self.sources.iter().any(is_source)
    }
}

/// All channels and routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// Every channel there is.
    pub channels: BTreeSet<String>,
    /// The routes; without any, warnings and what is critical goes to all channels.
    pub routes: Vec<Route>,
    /// After how long somebody is reminded of what is still wrong.
    pub repeat: SignedDuration,
    /// What this machine is called in messages.
    pub instance: String,
}

impl Routing {
    /// The default of [`Routing::repeat`].
    pub const REPEAT: SignedDuration = SignedDuration::from_hours(24);
    /// The default of [`Route::escalate_after`].
    pub const ESCALATE_AFTER: SignedDuration = SignedDuration::from_hours(4);

    /// The channels that are told about a finding.
    pub fn targets(&self, finding: &Finding) -> BTreeSet<String> {
        if finding.code == AlertCode::ChannelFailed {
            // Nobody is told by the channel itself, and whoever else there is has to know.
            let is_other = |channel: &&String| Some(*channel) != finding.object.as_ref();
            return self.channels.iter().filter(is_other).cloned().collect();
        }
        if self.routes.is_empty() {
            let is_sent = finding.severity > Severity::Info;
            return if is_sent { self.channels.clone() } else { BTreeSet::new() };
        }
        let routes = self.routes.iter().filter(|route| route.is_for(finding));
        self.known(routes.flat_map(|route| &route.channels))
    }

    /// The channels that are told when a finding did not change for `unchanged`.
    pub fn escalation(&self, finding: &Finding, unchanged: SignedDuration) -> BTreeSet<String> {
        if finding.severity < Severity::Critical || finding.code == AlertCode::ChannelFailed {
            return BTreeSet::new();
        }
        let is_due = |route: &&Route| route.is_for(finding) && unchanged >= route.escalate_after;
        self.known(self.routes.iter().filter(is_due).flat_map(|route| &route.escalate_to))
    }

    fn known<'a>(&self, names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
        names.filter(|name| self.channels.contains(*name)).cloned().collect()
    }
}

/// Whether `pattern`, in which `*` stands for any characters, is `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(front) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let back = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(back)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn finding(severity: Severity, source: Option<&str>) -> Finding {
        Finding::new(AlertCode::Trouble, severity, Timestamp::UNIX_EPOCH, "x", "y").of(source, None)
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, is_it) in [
            ("*", "", true),
            ("books", "books", true),
            ("books", "book", false),
            ("prod-*", "prod-1", true),
            ("prod-*", "test-prod-1", false),
            ("*-eu", "a-eu-eu", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), is_it, "{pattern} {text}");
        }
    }

    #[test]
    fn a_finding_goes_where_severity_and_source_say() {
        let route = |severity, sources: &[&str], channels: &[&str]| Route {
            severities: [severity].into(),
            sources: sources.iter().map(|&name| name.to_owned()).collect(),
            channels: names(channels),
            escalate_to: names(&["boss", "nobody"]),
            escalate_after: Routing::ESCALATE_AFTER,
        };
        let routing = Routing {
            channels: names(&["ops", "mail", "boss"]),
            routes: vec![
                route(Severity::Critical, &["*"], &["ops"]),
                route(Severity::Warning, &["prod-*"], &["mail", "gone"]),
            ],
            repeat: Routing::REPEAT,
            instance: "vault".into(),
        };
        let targets = |severity, source| routing.targets(&finding(severity, source));
        assert_eq!(targets(Severity::Critical, Some("x")), names(&["ops"]));
        assert_eq!(targets(Severity::Critical, None), names(&["ops"]));
        assert_eq!(targets(Severity::Warning, Some("prod-1")), names(&["mail"]));
        assert_eq!(targets(Severity::Warning, None), names(&[]));
        let after = |hours, severity| {
            routing.escalation(&finding(severity, Some("prod-1")), SignedDuration::from_hours(hours))
        };
        assert_eq!(after(4, Severity::Critical), names(&["boss"]));
        assert_eq!(after(3, Severity::Critical), names(&[]));
        assert_eq!(after(9, Severity::Warning), names(&[]));
        let all = Routing { routes: Vec::new(), ..routing.clone() };
        assert_eq!(all.targets(&finding(Severity::Warning, None)), routing.channels);
        assert_eq!(all.targets(&finding(Severity::Info, None)), names(&[]));
        let failed = Finding { code: AlertCode::ChannelFailed, ..finding(Severity::Critical, None) };
        assert_eq!(routing.targets(&failed.about("ops")), names(&["boss", "mail"]));
    }
}
