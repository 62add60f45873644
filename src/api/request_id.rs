//! The ids of a request: one for the client and the logs, one for the log of events. Requests are timed here, too, because this
//! is the outermost layer that all of them pass.

use std::fmt;
use std::sync::OnceLock;
use std::time::Instant;

use salvo::http::header::{HeaderName, HeaderValue};
use salvo::prelude::*;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use super::request_metrics::note_request;
use crate::telemetry::traces;

const MAX_REQUEST_ID_BYTES: usize = 128;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's `X-Request-Id`, or makes one; it is in the answer, in errors and in the lines of the log.
///
/// Events are kept for ever, so the words of a client must not get into them: their `correlation_id` is the client's
/// id where that is a UUID, and one of our own otherwise. The lines of the log have both.
pub struct RequestId;

#[derive(Clone)]
struct RequestIds {
    request: String,
    correlation: Uuid,
    span: Span,
    /// The client's own span, if it named one.
    parent: Option<String>,
    /// The span of the request for the events that it leads to, as few requests need it.
    traceparent: OnceLock<String>,
}

impl RequestIds {
    fn new(given: Option<&str>) -> Self {
        let is_fit = |id: &&str| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let (request, correlation) = match given.filter(is_fit) {
            Some(id) => (id.to_owned(), id.parse().unwrap_or_else(|_| Uuid::now_v7())),
            None => {
                let id = Uuid::now_v7();
                (id.to_string(), id)
            }
        };
        Self { request, correlation, span: Span::none(), parent: None, traceparent: OnceLock::new() }
    }

    /// The trace of the request, if it has one that somebody can find: in a collector, at the client, or in events.
    fn known_trace_id(&self) -> Option<String> {
        let own = traces::traceparent(&self.span.context());
        let known = own.as_ref().or(self.parent.as_ref()).or_else(|| self.traceparent.get());
        traces::trace_id(known?)
    }

    fn traceparent(&self) -> String {
        let make = || {
            let own = traces::traceparent(&self.span.context());
            own.or_else(|| self.parent.clone()).unwrap_or_else(traces::new_traceparent)
        };
        self.traceparent.get_or_init(make).clone()
    }
}

#[handler]
impl RequestId {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let began = Instant::now();
        let given = req.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let mut ids = RequestIds::new(given);
        if let Ok(value) = HeaderValue::from_str(&ids.request) {
            res.headers_mut().insert(X_REQUEST_ID.clone(), value);
        }
        let span = tracing::info_span!(
            "request",
            otel.name = %format_args!("{} {}", req.method(), Route(req.matched_path())),
            otel.kind = "server",
            request_id = ids.request,
            correlation_id = %ids.correlation
        );
        ids.parent = begin_trace(&span, req);
        ids.span = span.clone();
        depot.insert_typed(ids);
        ctrl.call_next(req, depot, res).instrument(span.clone()).await;
        if let Some(status) = res.status_code.filter(|_| traces::are_sent()) {
            span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
            if status.is_server_error() {
                span.set_status(opentelemetry::trace::Status::error(status.as_str().to_owned()));
            }
        }
        let trace_id = || depot.get_typed::<RequestIds>().ok().and_then(RequestIds::known_trace_id);
        note_request(req.method(), req.matched_path(), res.status_code, began.elapsed(), trace_id);
    }
}

/// The path of a request's route, written only where somebody reads it.
struct Route<'a>(&'a str);

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.trim_start_matches('/'))
    }
}

/// Makes the span part of the client's trace, if the client has one. Returns the client's `traceparent`.
fn begin_trace(span: &Span, req: &Request) -> Option<String> {
    let given = req.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| traces::parse_traceparent(text).map(|parent| (text, parent)));
    if traces::are_sent() {
        span.set_attribute("http.route", Route(req.matched_path()).to_string());
        span.set_attribute("http.request.method", req.method().as_str().to_owned());
        span.set_attribute("url.path", req.uri().path().to_owned());
        if let Some((_, parent)) = &given {
            let _where_spans_are_sent = span.set_parent(parent.clone());
        }
    }
    given.map(|(text, _)| text.to_owned())
}

/// The span of this request, as W3C Trace Context has it.
pub fn traceparent(depot: &Depot) -> String {
    depot.get_typed::<RequestIds>().map(RequestIds::traceparent).unwrap_or_default()
}

pub fn request_id(depot: &Depot) -> String {
    depot.get_typed::<RequestIds>().map(|ids| ids.request.clone()).unwrap_or_default()
}

/// The id that ties events to this request.
pub fn correlation_id(depot: &Depot) -> String {
    depot.get_typed::<RequestIds>().map(|ids| ids.correlation.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // M5
    #[test]
    fn only_a_uuid_of_the_client_enters_events() {
        let uuid = Uuid::new_v4();
        let ids = RequestIds::new(Some(&uuid.to_string()));
        assert_eq!((ids.request, ids.correlation), (uuid.to_string(), uuid));
        let ids = RequestIds::new(Some("Anna's-request"));
        assert_eq!(ids.request, "Anna's-request");
        assert_eq!(ids.correlation.get_version_num(), 7);
        for unfit in ["", "two words", "line\nbreak", &"x".repeat(129)] {
            let ids = RequestIds::new(Some(unfit));
            assert_eq!(ids.request, ids.correlation.to_string());
        }
    }
}
