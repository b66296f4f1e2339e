//! What happens while WAL is received, as JSON.

use operations::ReceiveEvent;
use serde_json::{Value, json};

use crate::screen::Notice;
use crate::wording;

/// An event as one JSON object. Its member `event` says which it is.
pub(crate) fn json(event: &ReceiveEvent) -> Value {
    match event {
        ReceiveEvent::SlotCreated { slot } => json!({"event": "slot_created", "slot": slot}),
        ReceiveEvent::Streaming { host, system, timeline, from, origin } => json!({
            "event": "streaming", "host": host, "system_id": system, "timeline": timeline, "from_lsn": from,
            "origin": origin.as_str(),
        }),
        ReceiveEvent::Flushed { position } => json!({"event": "flushed", "lsn": position}),
        ReceiveEvent::Stored { segment } => json!({"event": "stored", "segment": segment.to_string()}),
        ReceiveEvent::TimelineEnded { timeline, next, switch } => json!({
            "event": "timeline_ended", "timeline": timeline, "next_timeline": next, "switch_lsn": switch,
        }),
        ReceiveEvent::Interrupted { message, retry_in } => json!({
            "event": "interrupted", "message": message, "retry_in_ms": wording::millis(*retry_in),
        }),
    }
}

/// A warning in the same form.
pub(crate) fn warning(notice: &Notice) -> Value {
    json!({"event": "warning", "code": notice.code, "message": notice.message, "hint": notice.hint})
}

/// Whether an event comes so often that only those who want to hear more want to hear it.
pub(crate) fn is_detail(event: &ReceiveEvent) -> bool {
    matches!(event, ReceiveEvent::Flushed { .. } | ReceiveEvent::Stored { .. })
}
