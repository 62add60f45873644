//! Who may open a socket.
//!
//! A browser cannot see the status of an upgrade that was refused, but it can see a close code. So an upgrade is accepted
//! even where the caller is refused, and the socket is closed at once with a code that says why (4401).

use salvo::http::header::AUTHORIZATION;
use salvo::prelude::*;

use super::super::auth::{Guard, User};
use super::super::problem::Problem;
use super::super::{state, tickets};
use super::socket::is_upgrade;

/// The guard of a route that takes a WebSocket. Requests that are no upgrade are guarded like any other.
#[derive(Clone)]
pub struct SocketGuard(pub Guard);

/// Why a socket is to be closed as soon as it is open.
#[derive(Clone)]
pub struct Refused(pub Problem);

impl SocketGuard {
    async fn admit(&self, req: &Request, depot: &Depot) -> Result<User, Problem> {
        // A header wins: a program that can send it needs no ticket.
        if req.headers().contains_key(AUTHORIZATION) {
            return self.0.admit(req).await;
        }
        let ticket = req.query::<String>("token").ok_or_else(|| {
            Problem::unauthorized(
                "a session token in the Authorization header is needed, or ?token= with a ticket from POST /auth/tickets",
            )
        })?;
        let user = tickets::redeem(state(depot)?.executor.log(), &ticket).await?;
        self.0.check_role(user)
    }
}

#[handler]
impl SocketGuard {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if !is_upgrade(req) {
            return Handler::handle(&self.0, req, depot, res, ctrl).await;
        }
        match self.admit(req, depot).await {
            Ok(user) => depot.insert_typed(user),
            Err(problem) => depot.insert_typed(Refused(problem)),
        };
    }
}
