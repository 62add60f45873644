//! Serves agents over streamable HTTP, on a loopback address, without sessions.
//!
//! Each request carries its caller's token, which is passed on to the API, and nothing is kept between two requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Agents, Error};

/// The only path.
const PATH: &str = "/mcp";
/// More than the API takes.
const MAX_BODY_BYTES: usize = 4 << 20;
const MAX_CONNECTIONS: usize = 256;
/// For the headers of a request, and for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A caller's `Authorization` header.
pub struct Authorization;

impl Authorization {
    /// Returns the header of the HTTP request that a message came with.
    pub fn of(context: &RequestContext<RoleServer>) -> Option<Arc<str>> {
        let parts = context.extensions.get::<Parts>()?;
        read_bearer(parts.headers.get(AUTHORIZATION)?).map(Into::into)
    }
}

fn read_bearer(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then_some(text)
}

type Service = StreamableHttpService<Agents, NeverSessionManager>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves agents until `stop` is cancelled. `bound` is told the address, which matters for port 0.
pub async fn serve(
    agents: Agents,
    address: SocketAddr,
    stop: CancellationToken,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    let cannot_listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    bound(listener.local_addr().map_err(cannot_listen)?);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_cancellation_token(stop.child_token())
        .with_max_request_body_bytes(MAX_BODY_BYTES)
        // Pages in browsers have no business here; the hosts that are answered are the loopback's.
        .enforce_origin_validation();
    let service = Service::new(move || Ok(agents.clone()), Arc::default(), config);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let stream = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (service, stop) = (service.clone(), stop.clone());
        tokio::spawn(async move {
            serve_connection(stream, service, stop).await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, service: Service, stop: CancellationToken) {
    let answer = service_fn(move |request| answer(request, service.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        () = stop.cancelled() => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
    }
}

async fn answer(request: Request<Incoming>, service: Service) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() != PATH {
        return Ok(refuse(StatusCode::NOT_FOUND, &format!("the only path is {PATH}")));
    }
    if parts.headers.get(AUTHORIZATION).and_then(read_bearer).is_none() {
        let message = "send your session token: `Authorization: Bearer …`";
        let mut refused = refuse(StatusCode::UNAUTHORIZED, message);
        refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Ok(refused);
    }
    // The body first, within bounds of time and size; an answer may then take as long as a tool waits.
    let body = match tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Err(_) => return Ok(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("the body is larger than {MAX_BODY_BYTES} bytes");
            return Ok(refuse(StatusCode::PAYLOAD_TOO_LARGE, &message));
        }
        Ok(Err(_)) => return Ok(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let request = Request::from_parts(parts, Full::new(body));
    hyper::service::Service::call(&TowerToHyperService::new(service), request).await
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    let body = json!({ "error": { "message": message } }).to_string();
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
