//! `GET /auth/me`.

use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;

use super::auth::User;
use super::problem::Problem;
use super::{ApiState, state, user};
use crate::clerk::Profile;
use crate::telemetry::chain;

#[derive(Debug, Serialize, ToSchema)]
pub struct MeAnswer {
    pub user_id: String,
    /// `user`, `analyst`, `auditor` or `admin`.
    pub role: String,
    pub name: Option<String>,
    /// The primary address.
    pub email: Option<String>,
    pub image_url: Option<String>,
    /// Whether name, email and picture are known: `complete`, `unknown_user`, `unavailable` while the identity provider does
    /// not answer, `not_configured` where it is not asked.
    pub details: String,
}

/// Who you are
///
/// What the session token says, with the details that the identity provider has. Those are kept for five minutes.
#[endpoint(
    tags("auth"),
    operation_id = "get_me",
    security(["bearer" = []]),
    responses((status_code = 200, description = "The caller", body = MeAnswer))
)]
pub async fn get_me(depot: &mut Depot) -> Result<Json<MeAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let (profile, details) = profile(&state, &user).await;
    let Profile { name, email, image_url, role: _ } = profile;
    let role = user.role.name().to_owned();
    Ok(Json(MeAnswer { user_id: user.id, role, name, email, image_url, details: details.to_owned() }))
}

async fn profile(state: &ApiState, user: &User) -> (Profile, &'static str) {
    let Some(clerk) = &state.clerk else { return (Profile::default(), "not_configured") };
    match clerk.user(&user.id).await {
        Ok(Some(profile)) => (profile.as_ref().clone(), "complete"),
        Ok(None) => (Profile::default(), "unknown_user"),
        Err(error) => {
            tracing::warn!(error = %chain(error.as_ref()), "a user's details cannot be had");
            (Profile::default(), "unavailable")
        }
    }
}
