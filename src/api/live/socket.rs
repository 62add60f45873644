//! `GET /ws/jobs/{job_id}`: a job over a WebSocket (RFC 6455).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use salvo::http::StatusCode;
use salvo::http::header::{CONNECTION, HeaderValue, UPGRADE};
use salvo::oapi::{ToParameters, endpoint};
use salvo::prelude::*;
use salvo::websocket::{Message, WebSocket, WebSocketUpgrade};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tungstenite::protocol::WebSocketConfig;

use super::super::auth::User;
use super::super::problem::{ErrorBody, Problem};
use super::super::query::{Query, Whole};
use super::super::{ApiState, state, user, visible_job};
use super::feed::{Begin, FeedError, Item};
use super::guard::Refused;
use super::places::Place;
use super::{Feed, origin};
use crate::projections::status::StatusView;
use crate::telemetry::chain;

/// More than a client needs to say, which is nothing.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Buffers of each socket; the default of 128 KiB is much for thousands of clients.
const BUFFER_BYTES: usize = 4096;
/// Messages from a client between two pings. Pongs, and pings of its own, are among them.
const MAX_MESSAGES: u32 = 100;
/// Pings that may stay without any sign of life.
const MAX_SILENT_PINGS: u32 = 2;
/// How long a client may take to answer a close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Longer than any socket lives; a timer needs an end.
const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How to watch a job.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct WatchQuery {
    /// A ticket from `POST /auth/tickets`, where no `Authorization` header can be sent.
    #[allow(dead_code, reason = "the guard reads it; here it is documented")]
    token: Option<String>,
    /// The last version that the client has: the events after it are sent, instead of a snapshot.
    after: Option<Whole<0, 1_000_000_000>>,
}

/// Why a socket is closed: a code (RFC 6455, section 7.4; 4000 and up are our own) and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Close {
    code: u16,
    reason: String,
}

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn ended() -> Self {
        Self::new(1000, "the job has ended")
    }

    fn stopping() -> Self {
        Self::new(1001, "the server is stopping; connect again with ?after=VERSION")
    }

    fn token_ended() -> Self {
        Self::new(4401, "the session token has ended; connect again with another and ?after=VERSION")
    }

    fn too_talkative() -> Self {
        Self::new(1008, "too many messages; nothing needs to be sent here")
    }

    fn too_large() -> Self {
        Self::new(1009, format!("a message of more than {MAX_MESSAGE_BYTES} bytes, or none that can be read"))
    }

    fn of_problem(problem: &Problem) -> Self {
        let code = match problem.status {
            StatusCode::UNAUTHORIZED => 4401,
            StatusCode::FORBIDDEN => 4403,
            StatusCode::NOT_FOUND => 4404,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => 1013,
            _ => 1011,
        };
        Self::new(code, problem.message.clone())
    }

    fn of_feed(error: &FeedError) -> Self {
        if let FeedError::Read(error) = error {
            tracing::warn!(error = %chain(error), "a client that watches a job is dropped");
        }
        match error {
            FeedError::Stopping => Self::stopping(),
            error if error.is_retryable() => {
                Self::new(1013, "the data is out of reach for the moment; try again")
            }
            _ => Self::new(1011, "an event of this job cannot be read; an operator can see why"),
        }
    }

    fn message(&self) -> Message {
        // A control frame holds 125 bytes, two of them the code.
        let mut reason = self.reason.clone();
        reason.truncate(reason.floor_char_boundary(123));
        Message::close_with(self.code, reason)
    }
}

/// Whether a request wants to become a WebSocket.
pub fn is_upgrade(req: &Request) -> bool {
    req.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Watch a job over a WebSocket
///
/// The first message is `{"type": "snapshot", "version", …}` with the fields of the job's status; then comes
/// `{"type": "event", "version", "event", …}` for each event, with the status after it, in order, none missed or doubled.
/// `?after=VERSION` resumes: then the events after that version come instead of a snapshot. Who reads too slowly gets a
/// new snapshot.
///
/// The server pings every 15 seconds. It closes with 1000 when the job has ended and its last event was sent, 1001 when
/// it stops, 1008 or 1009 when the client sends too much, 1013 when it has too many connections open, 4401 when the token
/// is missing, not valid, or ends, and 4404 when the job is unknown or another user's.
#[endpoint(
    tags("live"),
    operation_id = "watch_job",
    status_codes(101, 400, 401, 403, 422, 426),
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 101, description = "A WebSocket from here on"),
              (status_code = 400, description = "The upgrade is not as RFC 6455 has it", body = ErrorBody),
              (status_code = 403, description = "The page that asks is of another origin", body = ErrorBody),
              (status_code = 426, description = "The request is no upgrade to a WebSocket", body = ErrorBody))
)]
pub async fn watch_job(
    query: Query<WatchQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    if !is_upgrade(req) {
        return Err(upgrade_required());
    }
    let state = state(depot)?;
    if !origin::is_allowed(req, &state.config.allowed_origins) {
        return Err(Problem::forbidden("pages of this origin may not open sockets here"));
    }
    let after = query.0.after.map(|version| version.0);
    let watch = match begin(req, depot, after).await {
        Ok(watch) => Ok(watch),
        Err(problem) => Err(Close::of_problem(&problem)),
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let sockets = state.live.sockets.clone();
    let serve = move |mut socket: WebSocket| {
        sockets.track_future(async move {
            let close = match watch {
                Ok(watch) => watch.talk(&mut socket).await,
                Err(close) => Some(close),
            };
            if let Some(close) = close {
                say_goodbye(socket, &close).await;
            }
        })
    };
    let upgraded = WebSocketUpgrade::with_config(config).upgrade(req, res, serve).await;
    upgraded.map_err(|error| Problem::bad_request(error.brief))
}

fn upgrade_required() -> Problem {
    let message = "this path takes a WebSocket: send `Connection: Upgrade` and `Upgrade: websocket`";
    Problem { status: StatusCode::UPGRADE_REQUIRED, ..Problem::bad_request(message) }
        .with_header(UPGRADE, HeaderValue::from_static("websocket"))
        .with_header(CONNECTION, HeaderValue::from_static("upgrade"))
}

/// Checks everything before the upgrade.
async fn begin(req: &Request, depot: &mut Depot, after: Option<u64>) -> Result<Watch, Problem> {
    if let Ok(Refused(problem)) = depot.get_typed::<Refused>() {
        return Err(problem.clone());
    }
    let user: User = user(depot)?;
    let (state, view) = visible_job(req, depot).await?;
    let place = state.live.take_place(&user)?;
    // A version that does not exist yet is of another history.
    let begin = match after {
        Some(version) if version <= view.version => Begin::After(version),
        _ => Begin::WithSnapshot,
    };
    Ok(Watch { state, view, begin, ends_at: user.session_ends_at, _place: place })
}

/// A client that watches a job.
struct Watch {
    state: Arc<ApiState>,
    view: Arc<StatusView>,
    begin: Begin,
    ends_at: DateTime<Utc>,
    _place: Place,
}

impl Watch {
    /// Sends what there is until something ends it. Returns how to close the socket; `None` when the client is gone.
    async fn talk(self, socket: &mut WebSocket) -> Option<Close> {
        let live = &self.state.live;
        let life = (self.ends_at - Utc::now()).to_std().unwrap_or_default().min(MAX_LIFE);
        let ending = async {
            tokio::select! {
                () = live.stop.cancelled() => Close::stopping(),
                () = sleep_until(Instant::now() + life) => Close::token_ended(),
            }
        };
        tokio::select! {
            biased;
            close = ending => Some(close),
            close = self.converse(socket) => close,
        }
    }

    async fn converse(&self, socket: &mut WebSocket) -> Option<Close> {
        let live = &self.state.live;
        let mut pings = interval_at(Instant::now() + live.ping_every, live.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut silent_pings, mut messages) = (0, 0);
        let mut feed = match Feed::open(&live.hub, &self.view, self.begin).await {
            Ok(feed) => feed.with_snapshots(),
            Err(error) => return Some(Close::of_feed(&error)),
        };
        loop {
            let message = tokio::select! {
                biased;
                received = socket.recv() => {
                    match received {
                        None => return None,
                        Some(Err(_unreadable)) => return Some(Close::too_large()),
                        Some(Ok(message)) if message.is_close() => return None,
                        Some(Ok(_ignored)) => {}
                    }
                    silent_pings = 0;
                    messages += 1;
                    if messages > MAX_MESSAGES {
                        return Some(Close::too_talkative());
                    }
                    continue;
                }
                _ = pings.tick() => {
                    if silent_pings == MAX_SILENT_PINGS {
                        return None;
                    }
                    (silent_pings, messages) = (silent_pings + 1, 0);
                    Message::ping(vec![])
                }
                item = feed.next() => match item {
                    Ok(Item::Snapshot(text)) => Message::text(text),
                    Ok(Item::Event(event)) => Message::text(event.message.clone()),
                    Ok(Item::End) => return Some(Close::ended()),
                    Err(error) => return Some(Close::of_feed(&error)),
                },
            };
            // While a client does not read, this waits, and its queue overflows.
            match timeout(live.ping_every * MAX_SILENT_PINGS, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }
}

/// Closes the socket, and waits a moment for the client to do the same: what is cut off with unread data may never reach
/// the client.
async fn say_goodbye(mut socket: WebSocket, close: &Close) {
    let goodbye = async {
        if socket.send(close.message()).await.is_ok() {
            while let Some(Ok(_late)) = socket.recv().await {}
        }
    };
    let _gone_already = timeout(CLOSE_PATIENCE, goodbye).await;
}
