//! Serves the page, its events and its files, to this machine only.
//!
//! The server listens on loopback. A page of a stranger can still send requests there, under a name of its own that leads to
//! 127.0.0.1 (DNS rebinding): such requests name another host, and are refused. No answer allows other origins to read it,
//! and no request changes anything.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::unfold;
use salvo::fs::NamedFile;
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
};
use salvo::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::workshop::Workshop;

const PAGE: &str = include_str!("page.html");
/// How often a silent stream gives a sign of life.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// How long a browser waits before it connects again, in ms.
const RETRY_FRAME: &str = "retry: 500\n\n";
const HEARTBEAT_FRAME: &str = ":\n\n";

/// Routes for a server at `address`.
pub fn router(workshop: Arc<Workshop>, address: SocketAddr) -> Router {
    let guard = Guard { hosts: [address.to_string(), format!("localhost:{}", address.port())] };
    Router::new()
        .hoop(guard)
        .get(Page { policy: policy() })
        .push(Router::with_path("events").get(Events(workshop.clone())))
        .push(Router::with_path("stills/{file}").get(Files { workshop: workshop.clone(), kind: Kind::Still }))
        .push(Router::with_path("clips/{file}").get(Files { workshop, kind: Kind::Clip }))
}

/// The page may load its own pictures and videos, run its own script, and nothing else.
fn policy() -> HeaderValue {
    let script = PAGE.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
    let script = script.map_or("", |(script, _)| script);
    let hash = STANDARD.encode(digest(&SHA256, script.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src 'self' data:; \
         media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Refuses requests for other hosts, and keeps pages of others from embedding what is served.
struct Guard {
    hosts: [String; 2],
}

#[handler]
impl Guard {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        for (name, value) in [
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            res.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let host = req.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            ctrl.call_next(req, depot, res).await;
            return;
        }
        res.status_code(StatusCode::FORBIDDEN);
        let [known, _] = &self.hosts;
        res.render(Text::Plain(format!("this preview is served at http://{known} only\n")));
        ctrl.skip_rest();
    }
}

struct Page {
    policy: HeaderValue,
}

#[handler]
impl Page {
    async fn handle(&self, res: &mut Response) {
        res.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        res.render(Text::Html(PAGE));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Still,
    Clip,
}

struct Files {
    workshop: Arc<Workshop>,
    kind: Kind,
}

impl Files {
    /// Finds a file by its name, `VERSION.png` or `VERSION.mp4`. Only versions that were made have one.
    fn find(&self, name: &str) -> Option<PathBuf> {
        match self.kind {
            Kind::Still => self.workshop.still(name.strip_suffix(".png")?),
            Kind::Clip => self.workshop.clip(name.strip_suffix(".mp4")?),
        }
    }
}

#[handler]
impl Files {
    async fn handle(&self, req: &mut Request, res: &mut Response) {
        let name: String = req.param("file").unwrap_or_default();
        let Some(path) = self.find(&name) else {
            res.status_code(StatusCode::NOT_FOUND);
            res.render(Text::Plain("there is no such version of a scene\n"));
            return;
        };
        // A name has one content for good.
        let lasting = HeaderValue::from_static("private, max-age=86400, immutable");
        res.headers_mut().insert(CACHE_CONTROL, lasting);
        NamedFile::builder(path).send(req.headers(), res).await;
    }
}

struct Events(Arc<Workshop>);

#[handler]
impl Events {
    async fn handle(&self, res: &mut Response) {
        res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        let frames =
            Frames { states: self.0.states(), stop: self.0.stopped().clone(), begun: Begun::Nothing };
        res.stream(unfold(frames, |mut frames| async move {
            let frame = frames.next().await?;
            Some((Ok::<_, Infallible>(frame.into_bytes()), frames))
        }));
    }
}

/// The stream of states to one page. A page that reads slowly is sent the newest state only.
struct Frames {
    states: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
    begun: Begun,
}

#[derive(PartialEq, Eq)]
enum Begun {
    Nothing,
    Retry,
    All,
}

impl Frames {
    /// The next part of the answer; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        match self.begun {
            Begun::Nothing => {
                self.begun = Begun::Retry;
                return Some(RETRY_FRAME.to_owned());
            }
            Begun::Retry => {
                self.begun = Begun::All;
                return Some(self.state());
            }
            Begun::All => {}
        }
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = tokio::time::sleep(HEARTBEAT_EVERY) => Some(HEARTBEAT_FRAME.to_owned()),
            changed = self.states.changed() => changed.is_ok().then(|| self.state()),
        }
    }

    /// JSON has no line breaks but escaped ones, so one line of data is enough.
    fn state(&mut self) -> String {
        let state = self.states.borrow_and_update().clone();
        format!("event: state\ndata: {state}\n\n")
    }
}
