//! Live updates: clients watch a job over a WebSocket (`socket.rs`) or as server-sent events (`sse.rs`).
//!
//! - One tail of the log for all clients: the [`Hub`] follows each partition in which a job is watched, reads it once,
//!   and hands every event, serialised once, to the clients of its job. A partition that nobody watches is not read.
//! - None missed or doubled: a client first subscribes, then takes its snapshot, or reads what it missed from the log,
//!   and then drops the events of the tail that it has. Versions are gapless, so it would notice a gap ([`Feed`]).
//! - Bounded: a client that reads slower than events come has a queue of `live.queued_events` ([`Queue`](queue::Queue)).
//!   When that is full it is emptied, and the client begins anew, with a snapshot or from the log.
//! - A client is dropped when its session token ends, when it stays silent for two pings, when it talks too much, and
//!   when the process stops.
//!
//! Deliberately absent: anything that a client could say here. What it sends is bounded and ignored.

mod feed;
mod guard;
mod hub;
mod message;
mod origin;
mod places;
mod queue;
mod socket;
pub(super) mod sse;

pub(super) use guard::SocketGuard;
pub(super) use socket::watch_job;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use feed::Feed;
use hub::Hub;
use message::Renderer;
use places::{Place, Places};

use super::auth::User;
use super::forecasts::Forecasts;
use super::problem::Problem;
use crate::config::Streams;
use crate::events::EventLog;
use crate::events::doorbell::Doorbell;
use crate::execute::ContentCodec;
use crate::projections::status::StatusViews;

/// When a client that has too many connections open may try again; it is up to the client when one ends.
const PLACE_RETRY_AFTER_S: u64 = 30;

/// What all live connections of a process share.
pub struct Live {
    hub: Hub,
    places: Places,
    ping_every: Duration,
    stop: CancellationToken,
    sockets: TaskTracker,
}

impl Live {
    /// Ends all connections when `stop` is cancelled.
    pub fn new(
        log: EventLog,
        codec: ContentCodec,
        statuses: StatusViews,
        doorbell: Doorbell,
        forecasts: Forecasts,
        streams: &Streams,
        stop: CancellationToken,
    ) -> Self {
        let renderer = Renderer::new(codec, statuses, forecasts, streams.clone());
        Self {
            hub: Hub::new(log, renderer, doorbell, streams.live.queued_events, stop.clone()),
            places: Places::new(streams.live.clients_per_user),
            ping_every: streams.live.ping_every,
            sockets: TaskTracker::new(),
            stop,
        }
    }

    /// Waits until all sockets have said goodbye, which they do when the process stops.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let sockets = self.sockets.clone();
        async move {
            sockets.close();
            sockets.wait().await;
        }
    }

    /// Counts one more connection of the user until the place is dropped.
    fn take_place(&self, user: &User) -> Result<Place, Problem> {
        self.places.take(&user.id).ok_or_else(|| {
            let max = self.places.max_per_user();
            let message = format!(
                "you have {max} live connections open, as many as one user may (live.clients_per_user); close one, and \
                 try again"
            );
            Problem::too_many(message, PLACE_RETRY_AFTER_S)
        })
    }
}
