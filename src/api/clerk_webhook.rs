//! `POST /webhooks/clerk`: what Clerk tells. An account that is deleted there is erased here.

use salvo::http::StatusCode;
use salvo::oapi::endpoint;
use salvo::prelude::*;

use super::problem::Problem;
use super::request_id::correlation_id;
use super::{body, state};
use crate::clerk::webhooks::{self, Happened, Headers};
use crate::domain::user::Command;
use crate::events::Actor;
use crate::execute::{Origin, Trace};
use crate::ids::{CommandId, UserId};
use crate::telemetry::chain;

/// More than any message about a user takes.
const MAX_BYTES: usize = 256 * 1024;

/// Take a message of Clerk
///
/// For Clerk alone: a message that is not signed with `CLERK_WEBHOOK_SECRET`, or is older than five minutes, is refused.
/// `user.deleted` erases the user: the wish is recorded before the answer, and carried out soon after. Other messages are
/// taken and lead to nothing.
#[endpoint(
    tags("auth"),
    operation_id = "receive_clerk_webhook",
    request_body(content = serde_json::Value, description = "The message", content_type = "application/json",
        example = json!({"type": "user.deleted", "object": "event", "data": {"id": "user_29w83sxmDNGwOuEthce5gg56FcC", "deleted": true}})),
    responses((status_code = 204, description = "The message was taken"),
              (status_code = 400, description = "The message is not signed as it should be, or cannot be read", body = super::problem::ErrorBody),
              (status_code = 404, description = "No messages are taken here: `CLERK_WEBHOOK_SECRET` is not set", body = super::problem::ErrorBody))
)]
pub async fn receive_clerk_webhook(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let state = state(depot)?;
    let Some(secret) = &state.clerk_webhook_secret else {
        return Err(Problem::not_found(
            "no messages of Clerk are taken here: CLERK_WEBHOOK_SECRET is not configured",
        ));
    };
    let body = body::read(req, MAX_BYTES).await?;
    let header = |name: &str| req.headers().get(name).and_then(|value| value.to_str().ok());
    let headers = Headers::find(header).map_err(refused)?;
    let now = state.executor.clock().now().timestamp();
    match webhooks::read(secret, &headers, &body, now).map_err(refused)? {
        Happened::UserDeleted { user_id } => {
            let origin = Origin {
                // Clerk sends a message again until it is taken: the second time leads to nothing.
                command_id: CommandId(headers.command_name()),
                actor: Actor::System,
                trace: Some(Trace { correlation_id: correlation_id(depot), traceparent: String::new() }),
                causation_id: None,
            };
            let id = UserId::of_name(&user_id);
            let command = Command::RequestErasure { user_id: user_id.clone() };
            state.executor.execute(id, command, &origin, None).await.map_err(|error| {
                tracing::error!(error = %chain(&error), "the erasure of a user cannot be recorded");
                Problem::unavailable("the event log is out of reach for the moment")
            })?;
            state.clerk.iter().for_each(|clerk| clerk.forget(&user_id));
        }
        Happened::UserUpdated { user_id } => state.clerk.iter().for_each(|clerk| clerk.forget(&user_id)),
        Happened::Other => {}
    }
    res.status_code(StatusCode::NO_CONTENT);
    Ok(())
}

fn refused(error: webhooks::Error) -> Problem {
    tracing::warn!(error = %chain(&error), "a message that should be Clerk's was refused");
    Problem::bad_request(error.to_string())
}
