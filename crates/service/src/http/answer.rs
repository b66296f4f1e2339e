//! What is answered to what.

use jiff::Timestamp;
use serde_json::json;

use super::View;
use super::request::{Refusal, Request};
use super::response::Response;
use crate::metrics::{self, Form};
use crate::observation::Trouble;
use crate::{Status, unready};

/// The version of the objects in JSON.
const SCHEMA_VERSION: u32 = 1;
/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The answer to a request.
pub(super) fn to(request: &Request, view: &View) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::sentence(405, "Only GET and HEAD are answered.");
    }
    // The status first: it is never newer than the time.
    let status = (view.status)();
    let now = (view.clock)();
    match request.path.as_str() {
        "/metrics" => metrics(&status, now, form(&request.accept)),
        "/health" => health(&status, now),
        "/ready" => ready(&status, now),
        "/" => Response::sentence(200, "Chronavault: /metrics, /health, /ready"),
        _ => Response::sentence(404, "There are /metrics, /health and /ready."),
    }
}

/// The answer to what is no request; nothing where nobody would read it.
pub(super) fn to_refused(refusal: &Refusal) -> Option<Response> {
    match refusal {
        Refusal::Malformed => Some(Response::sentence(400, "This is no request.")),
        Refusal::TooLarge => Some(Response::sentence(431, "The head of the request is too large.")),
        Refusal::Late => Some(Response::sentence(408, "The request did not come in time.")),
        Refusal::Gone => None,
    }
}

/// OpenMetrics where it is asked for, unless with the weight 0.
fn form(accept: &str) -> Form {
    let is_wanted = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let is_type = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|text| text.parse::<f32>().ok());
        is_type && weight.is_none_or(|weight| weight > 0.0)
    };
    if accept.split(',').any(is_wanted) { Form::OpenMetrics } else { Form::Prometheus }
}

fn metrics(status: &Status, now: Timestamp, form: Form) -> Response {
    Response { status: 200, content_type: form.content_type(), body: metrics::text(status, now, form) }
}

fn health(status: &Status, now: Timestamp) -> Response {
    let is_live = status.is_live(now);
    let object = json!({
        "schema_version": SCHEMA_VERSION,
        "live": is_live,
        "version": status.version,
        "started_at": status.started_at.to_string(),
        "turned_at": status.turned_at.to_string(),
        "turn_age_ms": milliseconds(status.turn_age(now)),
        "turn_limit_ms": milliseconds(status.turn_limit),
        "looking_since": status.looking_since.map(|since| since.to_string()),
    });
    Response::json(if is_live { 200 } else { 503 }, &object)
}

fn ready(status: &Status, now: Timestamp) -> Response {
    let reasons = match &status.observation {
        Some(observation) => unready(observation, now),
        None => vec![Trouble {
            code: "starting".to_owned(),
            object: "the daemon".to_owned(),
            message: "the repository was not looked at yet".to_owned(),
            hint: "Ask again in a moment; /health says whether the daemon is alive.".to_owned(),
        }],
    };
    let is_ready = reasons.is_empty();
    let shown: Vec<_> = reasons
        .iter()
        .map(|reason| {
            json!({
                "code": reason.code, "object": reason.object, "message": reason.message, "hint": reason.hint
            })
        })
        .collect();
    let observed_at = status.observation.as_ref().map(|observation| observation.at.to_string());
    let object = json!({
        "schema_version": SCHEMA_VERSION, "ready": is_ready, "observed_at": observed_at, "reasons": shown
    });
    Response::json(if is_ready { 200 } else { 503 }, &object)
}

fn milliseconds(duration: jiff::SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        // What Prometheus 2.42 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(form(prometheus), Form::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(form(other), Form::Prometheus, "{other}");
        }
    }
}
