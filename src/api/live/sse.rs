//! `GET /jobs/{job_id}/events` with `Accept: text/event-stream`: a job's events as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Each event has its version as `id`, its type as `event`, and its entry in the list of events as `data`. A client that
//! reads too slowly is not sent a snapshot: it goes on from the log, at its own pace.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use chrono::Utc;
use futures_util::Stream;
use futures_util::stream::unfold;
use salvo::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use salvo::prelude::*;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use super::super::ApiState;
use super::super::auth::User;
use super::super::problem::{FieldError, Problem};
use super::Feed;
use super::feed::{Begin, FeedError, Item};
use super::places::Place;
use crate::projections::status::StatusView;
use crate::telemetry::chain;

const MEDIA_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";
/// How long a client waits before it connects again, in ms.
const RETRY_FRAME: &str = "retry: 2000\n\n";
/// A comment, which clients ignore and proxies take for a sign of life.
const HEARTBEAT_FRAME: &str = ":\n\n";
const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_VERSION: u64 = 1_000_000_000;

/// Whether the client asks for a stream.
pub fn is_wanted(req: &Request) -> bool {
    let accepted = req.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or(""));
    types.any(|media_type| media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// The last version that the client has, by `Last-Event-ID`.
pub fn last_event_id(req: &Request) -> Result<Option<u64>, Problem> {
    let Some(value) = req.headers().get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let version = value.to_str().ok().and_then(|text| text.parse().ok());
    let version = version.filter(|version| *version <= MAX_VERSION);
    version.map(Some).ok_or_else(|| {
        Problem::validation(vec![FieldError {
            loc: vec!["header".to_owned(), "Last-Event-ID".to_owned()],
            msg: format!("must be the id of an event, a whole number from 0 to {MAX_VERSION}"),
            r#type: "not_allowed".to_owned(),
        }])
    })
}

/// Answers with the events after a version, and with those to come until the job has ended.
pub async fn stream_events(
    state: &ApiState,
    user: &User,
    view: &StatusView,
    after: u64,
    res: &mut Response,
) -> Result<(), Problem> {
    let live = &state.live;
    let place = live.take_place(user)?;
    let feed = Feed::open(&live.hub, view, Begin::After(after)).await.map_err(|error| match error {
        FeedError::Read(error) => error.into(),
        FeedError::Stopping | FeedError::Unreadable => {
            Problem::unavailable("the process is stopping; try again")
        }
    })?;
    let mut heartbeat = interval_at(Instant::now() + live.ping_every, live.ping_every);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let life = (user.session_ends_at - Utc::now()).to_std().unwrap_or_default().min(MAX_LIFE);
    let frames = Frames {
        feed,
        heartbeat,
        stop: live.stop.clone(),
        token_ends: Box::pin(sleep(life)),
        has_begun: false,
        is_over: false,
        _place: place,
    };
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        res.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    res.stream(frames.stream());
    Ok(())
}

struct Frames {
    feed: Feed,
    heartbeat: Interval,
    stop: CancellationToken,
    token_ends: Pin<Box<Sleep>>,
    has_begun: bool,
    is_over: bool,
    _place: Place,
}

impl Frames {
    fn stream(self) -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send {
        unfold(self, |mut frames| async move {
            let frame = frames.next().await?;
            Some((Ok(frame.into_bytes()), frames))
        })
    }

    /// The next part of the answer; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(RETRY_FRAME.to_owned());
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            // The client connects again, with another token and the last id that it has.
            () = &mut self.token_ends => None,
            _ = self.heartbeat.tick() => Some(HEARTBEAT_FRAME.to_owned()),
            item = self.feed.next() => match item {
                Ok(Item::Event(event)) => Some(frame(event.version, &event.event_type, event.entry())),
                Ok(Item::End | Item::Snapshot(_)) => {
                    self.is_over = true;
                    let version = self.feed.position();
                    Some(frame(version, "end", &format!(r#"{{"version":{version}}}"#)))
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "a stream of a job's events is cut off");
                    None
                }
            },
        }
    }
}

/// JSON has no line breaks but escaped ones, so one line of data is enough.
fn frame(id: u64, event: &str, data: &str) -> String {
    format!("id: {id}\nevent: {event}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &'static str, value: &str) -> Request {
        let mut req = Request::default();
        req.headers_mut().insert(name, value.parse().unwrap());
        req
    }

    #[test]
    fn a_stream_is_given_to_those_who_ask_for_one_by_name() {
        for accept in ["text/event-stream", "text/event-stream;q=0.9", "application/json, TEXT/EVENT-STREAM"]
        {
            assert!(is_wanted(&request("accept", accept)), "{accept}");
        }
        for accept in ["*/*", "text/*", "application/json", "text/event-streams"] {
            assert!(!is_wanted(&request("accept", accept)), "{accept}");
        }
        assert!(!is_wanted(&Request::default()));
    }

    #[test]
    fn the_last_id_is_a_version() {
        let read =
            |value| last_event_id(&request(LAST_EVENT_ID, value)).map_err(|problem| problem.status.as_u16());
        assert_eq!(read("7"), Ok(Some(7)));
        assert_eq!(read(""), Ok(None));
        for value in ["-1", "x", "1000000001", "99999999999999999999", "1.5", "é"] {
            assert_eq!(read(value), Err(422), "{value}");
        }
    }
}
