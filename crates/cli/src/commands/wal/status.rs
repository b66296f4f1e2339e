//! `wal status`: what WAL is archived, and to which moments each cluster can be recovered.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, ByteSize, Gap, GapCause, Lsn, SystemId, TimelineId};
use operations::{WalStatus, WalWindow};
use serde::Serialize;

use crate::args::WalStatusArgs;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::surroundings::Surroundings;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
    clusters: Vec<Cluster>,
}

#[derive(Serialize)]
struct Cluster {
    system_id: SystemId,
    segment_bytes: u32,
    segments: u64,
    stored_bytes: u64,
    /// The WAL that was archived last.
    newest: Option<Newest>,
    windows: Vec<Window>,
    archived: Vec<Range>,
    gaps: Vec<GapBody>,
    /// Backups that cannot be recovered.
    unusable: Vec<BackupId>,
    problems: Vec<ProblemBody>,
}

#[derive(Serialize)]
struct Newest {
    segment: String,
    archived_at: String,
    age_ms: u64,
}

#[derive(Serialize)]
struct Window {
    timeline: TimelineId,
    from_lsn: Lsn,
    to_lsn: Lsn,
    from_time: String,
    to_time: String,
    last_segment: Option<String>,
    backups: Vec<BackupId>,
}

#[derive(Serialize)]
struct Range {
    timeline: TimelineId,
    first_segment: String,
    last_segment: String,
    from_lsn: Lsn,
    to_lsn: Lsn,
}

#[derive(Serialize)]
struct GapBody {
    timeline: TimelineId,
    first_segment: String,
    last_segment: String,
    segments: u64,
    cause: GapCause,
}

#[derive(Serialize)]
struct ProblemBody {
    object: String,
    #[serde(flatten)]
    notice: Notice,
}

const WINDOWS: [Column; 6] = [
    Column::Number("TIMELINE"),
    Column::Text("FROM"),
    Column::Text("TO"),
    Column::Text("FROM TIME"),
    Column::Text("TO TIME"),
    Column::Number("BACKUPS"),
];

pub(in crate::commands) fn run(args: &WalStatusArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let threads = settings.jobs(args.jobs)?;
    let repository = opening::repository(&settings)?;
    let surroundings = Surroundings::new(screen.without_lines(), &settings)?;
    let found = operations::wal_status(&repository, args.verify, threads, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    let now = Timestamp::now();
    let wanted = |status: &WalStatus| args.system_id.is_none_or(|system| system == status.system);
    let clusters: Vec<_> =
        found.iter().filter(|status| wanted(status)).map(|status| cluster(status, now)).collect();
    for problem in clusters.iter().flat_map(|cluster| &cluster.problems) {
        screen.warning(&problem.notice);
    }
    let text = if clusters.is_empty() {
        "No WAL is archived yet. `chronavault wal push %p` as archive_command of a server archives it."
            .to_owned()
    } else {
        clusters.iter().map(words).collect::<Vec<_>>().join("\n")
    };
    let needs_person =
        clusters.iter().any(|it| !it.gaps.is_empty() || !it.unusable.is_empty() || !it.problems.is_empty());
    Ok(Answer::new(text, &Body { clusters })?.needing_person(needs_person))
}

fn cluster(status: &WalStatus, now: Timestamp) -> Cluster {
    let newest = status.newest.map(|newest| Newest {
        segment: newest.segment.to_string(),
        archived_at: wording::time(newest.archived_at),
        age_ms: wording::millis(now.duration_since(newest.archived_at).try_into().unwrap_or_default()),
    });
    let range = |range: &model::ArchivedRange| Range {
        timeline: range.first.timeline,
        first_segment: range.first.to_string(),
        last_segment: range.last.to_string(),
        from_lsn: range.from,
        to_lsn: range.to,
    };
    let problem = |problem: &repository::Problem| ProblemBody {
        object: problem.object.clone(),
        notice: Notice::from(&Failure::from(problem.clone())),
    };
    Cluster {
        system_id: status.system,
        segment_bytes: status.segment_size.bytes(),
        segments: status.segments,
        stored_bytes: status.stored_bytes,
        newest,
        windows: status.windows.iter().map(window).collect(),
        archived: status.found.archived.iter().map(range).collect(),
        gaps: status.found.gaps.iter().map(gap).collect(),
        unusable: status.found.unusable.iter().cloned().collect(),
        problems: status.problems.iter().map(problem).collect(),
    }
}

fn window(WalWindow { window, to_time }: &WalWindow) -> Window {
    Window {
        timeline: window.timeline,
        from_lsn: window.from,
        to_lsn: window.to,
        from_time: wording::time(window.from_time),
        to_time: wording::time(*to_time),
        last_segment: window.last_segment.map(|segment| segment.to_string()),
        backups: window.backups.clone(),
    }
}

fn gap(gap: &Gap) -> GapBody {
    GapBody {
        timeline: gap.first.timeline,
        first_segment: gap.first.to_string(),
        last_segment: gap.last.to_string(),
        segments: gap.segments,
        cause: gap.cause,
    }
}

fn words(cluster: &Cluster) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Cluster {}: {} of {}, {} stored",
        cluster.system_id,
        wording::count(cluster.segments, "segment"),
        ByteSize(cluster.segment_bytes.into()),
        ByteSize(cluster.stored_bytes),
    );
    if let Some(newest) = &cluster.newest {
        let age = wording::duration(Duration::from_millis(newest.age_ms));
        let _ = writeln!(text, "Archived last: {}, {age} ago", newest.segment);
    }
    for range in &cluster.archived {
        let _ = writeln!(
            text,
            "Archived: {} to {} on timeline {} ({} to {})",
            range.from_lsn, range.to_lsn, range.timeline, range.first_segment, range.last_segment
        );
    }
    if cluster.windows.is_empty() {
        text.push_str("Nothing can be recovered with it: there is no physical backup of this cluster.\n");
    } else {
        let row = |window: &Window| {
            vec![
                window.timeline.to_string(),
                window.from_lsn.to_string(),
                window.to_lsn.to_string(),
                window.from_time.clone(),
                window.to_time.clone(),
                window.backups.len().to_string(),
            ]
        };
        let _ = writeln!(text, "{}", wording::table(&WINDOWS, cluster.windows.iter().map(row)));
    }
    for gap in &cluster.gaps {
        let _ = writeln!(text, "GAP: {}", gap_words(gap));
    }
    for id in &cluster.unusable {
        let _ = writeln!(text, "UNUSABLE: {id} lacks WAL that it needs");
    }
    text
}

fn gap_words(gap: &GapBody) -> String {
    let which = if gap.segments == 1 {
        gap.first_segment.clone()
    } else {
        format!("{} to {} ({})", gap.first_segment, gap.last_segment, wording::count(gap.segments, "segment"))
    };
    match gap.cause {
        GapCause::Missing => format!("{which}: not archived"),
        GapCause::Damaged => format!("{which}: damaged"),
        GapCause::NoHistory => {
            format!("{which}: out of reach, since the history of timeline {} is not archived", gap.timeline)
        }
        GapCause::HistoryDamaged => {
            format!("{which}: out of reach, since the history of timeline {} is damaged", gap.timeline)
        }
    }
}
