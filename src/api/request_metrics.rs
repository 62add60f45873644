//! Times requests by method, route and class of status.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use salvo::http::{Method, StatusCode};

use crate::telemetry::metrics::Family;

const BUCKETS_S: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The route of requests for which no endpoint is.
const NO_ROUTE: &str = "none";

pub static REQUEST_SECONDS: Family = Family::durations(
    "reel_http_request_duration_seconds",
    "Requests until their answer begins, by method, route without /api/v1, and class of status.",
    &["method", "route", "status"],
    &BUCKETS_S,
);

/// Routes as labels, by the paths that the router matches.
static ROUTES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut routes = HashMap::new();
    for route in super::routes() {
        let label: &'static str = Box::leak(format!("/{}", route.path).into_boxed_str());
        routes.insert(route.path.to_owned(), label);
    }
    routes
});

fn route_label(matched_path: &str) -> &'static str {
    let path = matched_path.trim_matches('/');
    let path = path.strip_prefix("api/v1/").unwrap_or(path);
    ROUTES.get(path).copied().unwrap_or(NO_ROUTE)
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Times a request. `status` is `None` where no handler has answered.
pub fn note_request(
    method: &Method,
    matched_path: &str,
    status: Option<StatusCode>,
    took: Duration,
    trace_id: impl FnOnce() -> Option<String>,
) {
    let route = route_label(matched_path);
    let missing = if route == NO_ROUTE { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let status = status_label(status.unwrap_or(missing));
    REQUEST_SECONDS.with(&[method_label(method), route, status]).observe_traced(took, trace_id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_routes_and_never_paths() {
        let route = "/videos/jobs/{job_id}/status";
        assert_eq!(route_label("api/v1/videos/jobs/{job_id}/status"), route);
        assert_eq!(route_label("/videos/jobs/{job_id}/status"), route);
        assert_eq!(route_label("metrics"), "/metrics");
        for other in ["", "api/v1", "videos/jobs/0192/status"] {
            assert_eq!(route_label(other), NO_ROUTE, "{other}");
        }
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
        assert_eq!(status_label(StatusCode::SWITCHING_PROTOCOLS), "1xx");
    }
}
