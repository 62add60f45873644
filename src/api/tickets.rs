//! `POST /auth/tickets`: a short-lived stand-in for a session token, for URLs.
//!
//! A browser cannot send a header with a WebSocket, and a session token in a URL would end up in logs. A ticket is worth
//! nothing there: it is used once, and lives for `live.ticket_seconds`. Redis has only its hash.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use salvo::http::StatusCode;
use salvo::http::header::{CACHE_CONTROL, HeaderValue};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Serialize};

use super::auth::{Role, User};
use super::problem::{ErrorBody, Problem};
use super::{state, user};
use crate::events::EventLog;

const TICKET_BYTES: usize = 32;
/// In Base64 without padding.
const TICKET_CHARACTERS: usize = 43;

#[derive(Debug, Serialize, ToSchema)]
pub struct TicketAnswer {
    /// Opaque; for `?token=` of `/ws/jobs/{job_id}`, once.
    pub ticket: String,
    pub expires_at: DateTime<Utc>,
    pub expires_in_seconds: u64,
}

/// What Redis has of a ticket.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    user_id: String,
    role: Role,
    /// A socket that was opened with a ticket ends with the session.
    session_ends_at: DateTime<Utc>,
}

/// Get a ticket
///
/// A ticket stands for the caller's session in the query of a WebSocket, where no header can be sent. It can be used
/// once, within 60 seconds.
#[endpoint(
    tags("live"),
    operation_id = "create_ticket",
    status_codes(201, 401, 429),
    security(["bearer" = []]),
    responses((status_code = 201, description = "A new ticket", body = TicketAnswer),
              (status_code = 429, description = "The caller got too many within a minute", body = ErrorBody))
)]
pub async fn create_ticket(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let (log, settings) = (state.executor.log(), &state.streams.live);
    check_rate(log, &user.id, settings.tickets_per_user, settings.ticket_life).await?;
    let ticket = issue(log, user, settings.ticket_life).await?;
    let seconds = settings.ticket_life.as_secs();
    let expires_at = Utc::now() + TimeDelta::seconds(seconds as i64);
    res.status_code(StatusCode::CREATED);
    res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    res.render(Json(TicketAnswer { ticket, expires_at, expires_in_seconds: seconds }));
    Ok(())
}

/// Counts the user's tickets in a window as long as a ticket lives, so at most twice as many are outstanding.
async fn check_rate(log: &EventLog, user_id: &str, max: u64, window: Duration) -> Result<(), Problem> {
    let key = log.keys().ticket_count(&digest(user_id.as_bytes()));
    let mut pipe = redis::pipe();
    pipe.atomic();
    pipe.cmd("SET").arg(&key).arg(0).arg("NX").arg("EX").arg(window.as_secs()).ignore();
    pipe.cmd("INCR").arg(&key);
    pipe.cmd("TTL").arg(&key);
    let (count, seconds): (u64, i64) = pipe.query_async(&mut log.connection()).await?;
    if count <= max {
        return Ok(());
    }
    let seconds = seconds.max(1) as u64;
    let message = format!(
        "you got {max} tickets within {} s, as many as one user may (live.tickets_per_user); try again in {seconds} s",
        window.as_secs()
    );
    Err(Problem::too_many(message, seconds))
}

async fn issue(log: &EventLog, user: User, life: Duration) -> Result<String, Problem> {
    let mut bytes = [0; TICKET_BYTES];
    rand::fill(&mut bytes).map_err(|_| Problem::internal())?;
    let ticket = URL_SAFE_NO_PAD.encode(bytes);
    let stored = Stored { user_id: user.id, role: user.role, session_ends_at: user.session_ends_at };
    let stored = serde_json::to_string(&stored).map_err(|_| Problem::internal())?;
    let mut set = redis::cmd("SET");
    set.arg(log.keys().ticket(&digest(ticket.as_bytes()))).arg(stored).arg("EX").arg(life.as_secs());
    let () = set.query_async(&mut log.connection()).await?;
    Ok(ticket)
}

/// Whom a ticket stands for. It is worth nothing afterwards.
pub async fn redeem(log: &EventLog, ticket: &str) -> Result<User, Problem> {
    if ticket.contains('.') {
        return Err(Problem::unauthorized(
            "?token= takes a ticket, never a session token; POST /auth/tickets gives one",
        ));
    }
    let used =
        || Problem::unauthorized("the ticket is unknown, used or too old; POST /auth/tickets gives another");
    if ticket.len() != TICKET_CHARACTERS {
        return Err(used());
    }
    let mut get = redis::cmd("GETDEL");
    get.arg(log.keys().ticket(&digest(ticket.as_bytes())));
    let stored: Option<String> = get.query_async(&mut log.connection()).await?;
    let stored: Stored = serde_json::from_str(&stored.ok_or_else(used)?).map_err(|_| used())?;
    Ok(User { id: stored.user_id, role: stored.role, session_ends_at: stored.session_ends_at })
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
