//! Headers and compression of every answer: CORS for the configured origins, compressed JSON, security headers.

use salvo::cors::{Cors, CorsHandler};
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use salvo::http::{Method, mime};
use salvo::prelude::*;
use salvo_compression::{Compression, CompressionLevel};

/// Smaller answers are not worth the work.
const MIN_COMPRESSED_BYTES: usize = 1024;
/// Quality 11, which is usual for files, takes a hundred times as long as this.
const BROTLI_QUALITY: u32 = 4;
const GZIP_LEVEL: u32 = 5;
/// How long a browser may go on without another preflight.
const PREFLIGHT_SECONDS: u64 = 3600;

/// Headers that pages of other origins may send.
const REQUEST_HEADERS: [&str; 9] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "range",
    "traceparent",
    "x-request-id",
];

/// Headers of answers that pages of other origins may read.
const EXPOSED_HEADERS: [&str; 12] = [
    "accept-ranges",
    "content-disposition",
    "content-length",
    "content-range",
    "etag",
    "idempotent-replayed",
    "location",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "x-request-id",
];

/// Lets pages of these origins call the API, with tokens, but without cookies. `None` without origins: no answer says
/// anything about CORS then, and browsers keep to their own origin.
pub fn cors(allowed_origins: &[String]) -> Option<CorsHandler> {
    let origins: Vec<HeaderValue> =
        allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let names =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let cors = Cors::new()
        .allow_methods(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(names(&REQUEST_HEADERS))
        .expose_headers(names(&EXPOSED_HEADERS))
        .max_age(PREFLIGHT_SECONDS);
    (!origins.is_empty()).then(|| cors.allow_origin(origins).into_handler())
}

/// Compresses JSON, and nothing else: videos and pictures are compressed, and an event stream must not wait for a block.
pub fn compression() -> Compression {
    Compression::new()
        .disable_all()
        .enable_brotli(CompressionLevel::Precise(BROTLI_QUALITY))
        .enable_gzip(CompressionLevel::Precise(GZIP_LEVEL))
        .content_types(&[mime::APPLICATION_JSON])
        .min_length(MIN_COMPRESSED_BYTES)
}

/// Headers that keep a browser from doing more with an answer than it is meant for. An endpoint's own values win.
pub struct SecurityHeaders;

#[handler]
impl SecurityHeaders {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let headers = res.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        ctrl.call_next(req, depot, res).await;
        if let Some(value) = cache_control(res) {
            res.headers_mut().insert(CACHE_CONTROL, value);
        }
    }
}

/// `Cache-Control` of JSON whose endpoint sets none: it is about one user, and soon out of date.
fn cache_control(res: &Response) -> Option<HeaderValue> {
    let content_type = res.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok())?;
    if res.headers().contains_key(CACHE_CONTROL) || !content_type.starts_with("application/json") {
        return None;
    }
    // With an ETag, a client can ask whether its copy is still good.
    let is_tagged = res.headers().contains_key(ETAG);
    Some(HeaderValue::from_static(if is_tagged { "private, no-cache" } else { "no-store" }))
}
