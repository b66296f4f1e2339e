//! What physical backups and the receiving of WAL need of a server, and what of it is missing.
//!
//! Invariant: the least is asked for. The attribute REPLICATION is all that a role needs for base backups and for `wal receive`;
//! it needs no table, and no setting that others may not see.

use model::quote_identifier;

use super::{Finding, Severity};
use crate::client::{ReplicationClient, ReplicationError, SlotName};
use crate::slot_health::SlotHealth;
use crate::{Client, Error};

/// What the names of our slots begin with.
const OUR_SLOTS: &str = "chronavault";
/// WAL senders and slots that should be free: one for a backup, one for `wal receive`.
const WANTED: i64 = 2;

/// What the server says of itself.
struct Facts {
    role: String,
    may_replicate: bool,
    wal_level: String,
    senders: Room,
    slots: Room,
    is_unlimited: bool,
    /// Base backups of a standby need full pages in the WAL of its primary.
    lacks_full_pages: bool,
    /// `host`, and the address from which we come, or `local`.
    origin: (&'static str, String),
    /// `summarize_wal`; `None` before 17, which has no incremental base backups.
    summarizes: Option<bool>,
}

/// A setting that limits a number, and how many are in use.
struct Room {
    setting: &'static str,
    limit: i64,
    used: i64,
}

/// Checks what physical backups and `wal receive` need; worst first. What would make them fail is an error.
pub fn preflight_replication(client: &mut Client) -> Result<Vec<Finding>, Error> {
    let facts = Facts::read(client)?;
    let mut findings = facts.findings();
    if facts.may_replicate && facts.senders.free() > 0 {
        findings.extend(connection(client, &facts));
    }
    findings.extend(our_slots(client)?);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

fn finding(severity: Severity, object: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { object: object.into(), message: message.into(), severity }
}

impl Facts {
    fn read(client: &mut Client) -> Result<Self, Error> {
        let sql = "SELECT r.rolname, r.rolreplication OR r.rolsuper, \
              pg_catalog.current_setting('wal_level'), \
              pg_catalog.current_setting('max_wal_senders'), \
              (SELECT count(*) FROM pg_catalog.pg_stat_replication), \
              pg_catalog.current_setting('max_replication_slots'), \
              (SELECT count(*) FROM pg_catalog.pg_replication_slots), \
              pg_catalog.current_setting('max_slot_wal_keep_size') = '-1', \
              pg_catalog.pg_is_in_recovery() AND pg_catalog.current_setting('full_page_writes') = 'off', \
              pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.masklen(pg_catalog.inet_client_addr()), \
              pg_catalog.current_setting('summarize_wal', true) = 'on' \
            FROM pg_catalog.pg_roles r WHERE r.rolname = session_user";
        let row = client.query_one(sql, &[])?;
        let origin = match (row.get(9), row.get(10)) {
            (Some(address), Some(bits)) => ("host", format!("{address}/{bits}  ")),
            _ => ("local", String::new()),
        };
        Ok(Self {
            role: row.text(0)?.to_owned(),
            may_replicate: row.is_true(1),
            wal_level: row.text(2)?.to_owned(),
            senders: Room { setting: "max_wal_senders", limit: row.number(3)?, used: row.number(4)? },
            slots: Room { setting: "max_replication_slots", limit: row.number(5)?, used: row.number(6)? },
            is_unlimited: row.is_true(7),
            lacks_full_pages: row.is_true(8),
            origin,
            summarizes: row.get(11).map(|_| row.is_true(11)),
        })
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |severity, object: &str, message: String| {
            findings.push(finding(severity, object, message));
        };
        if !self.may_replicate {
            let role = quote_identifier(&self.role);
            add(
                Severity::Error,
                &format!("role {}", self.role),
                format!("it lacks the attribute REPLICATION: ALTER ROLE {role} REPLICATION"),
            );
        }
        if self.wal_level == "minimal" {
            let message = "wal_level is minimal: set wal_level = replica and max_wal_senders = 10, and restart the server";
            add(Severity::Error, "server", message.into());
        } else {
            for room in [&self.senders, &self.slots] {
                if let Some((severity, message)) = room.lack() {
                    add(severity, "server", message);
                }
            }
        }
        if self.lacks_full_pages {
            let message = "full_page_writes is off: a standby can only be backed up if it is on, there and on the primary";
            add(Severity::Error, "server", message.into());
        }
        if self.is_unlimited {
            let message = "max_slot_wal_keep_size is -1: a slot that nobody reads keeps WAL until the disk is full; \
                           set it to what the disk can spare";
            add(Severity::Note, "server", message.into());
        }
        if self.summarizes == Some(false) {
            let message =
                "summarize_wal is off: with it, base backups bring only what changed; set summarize_wal = on";
            add(Severity::Note, "server", message.into());
        }
        findings
    }
}

impl Room {
    fn free(&self) -> i64 {
        self.limit - self.used
    }

    fn lack(&self) -> Option<(Severity, String)> {
        let Self { setting, limit, used } = self;
        let free = self.free();
        let wanted = used + WANTED;
        let message = |what: &str| {
            format!(
                "{setting} is {limit} and {used} are in use, {what}: set {setting} = {wanted} or more, and restart the server"
            )
        };
        match free {
            ..=0 => Some((Severity::Error, message("so none is left"))),
            1 => Some((
                Severity::Warning,
                message("which is enough for a backup or for `wal receive`, not for both"),
            )),
            _ => None,
        }
    }
}

/// Whether a replication connection can be made, from here and with these settings.
fn connection(client: &Client, facts: &Facts) -> Option<Finding> {
    let Err(error) = ReplicationClient::connect(client.options()) else { return None };
    let (kind, address) = &facts.origin;
    let message = match &error {
        // The database `all` does not include replication.
        ReplicationError::NoAccessEntry { .. } => {
            let method = if *kind == "local" { "peer" } else { "scram-sha-256" };
            let role = quote_identifier(&facts.role);
            format!(
                "pg_hba.conf has no line that lets it replicate from here: add `{kind}  replication  {role}  {address}{method}` and reload"
            )
        }
        other => {
            let said =
                std::error::Error::source(other).map(|source| format!(": {source}")).unwrap_or_default();
            format!("it cannot make a replication connection: {other}{said}")
        }
    };
    Some(finding(Severity::Error, format!("role {}", facts.role), message))
}

/// The slots that we made: whether they are in danger.
fn our_slots(client: &mut Client) -> Result<Vec<Finding>, Error> {
    let sql = "SELECT slot_name, active FROM pg_catalog.pg_replication_slots \
               WHERE slot_type = 'physical' AND NOT temporary AND starts_with(slot_name, $1) ORDER BY 1";
    let rows = client.query(sql, &[Some(OUR_SLOTS)])?;
    let mut findings = Vec::new();
    for row in rows {
        let Ok(slot) = row.text(0)?.parse::<SlotName>() else { continue };
        let object = format!("replication slot {slot}");
        if let Some(problem) = SlotHealth::read(client, &slot)?.and_then(|health| health.problem()) {
            findings.push(finding(Severity::Warning, object, format!("it {problem}")));
        } else if !row.is_true(1) {
            let message = format!(
                "nobody receives from it, and it keeps WAL: run `chronavault wal receive`, or drop it with pg_drop_replication_slot('{slot}')"
            );
            findings.push(finding(Severity::Warning, object, message));
        }
    }
    Ok(findings)
}
