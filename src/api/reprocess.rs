//! `POST /system/jobs/{id}/reprocess`.

use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::{FieldError, Problem};
use super::{body, user, visible_job};
use crate::domain::job::{Command, Rejection};
use crate::events::{Actor, Stage};
use crate::execute::{Error, Origin};
use crate::ids::CommandId;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReprocessRequest {
    /// Where to begin; left out, as late as the job's files allow.
    #[serde(default)]
    pub from_stage: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReprocessAnswer {
    pub job_id: Uuid,
    pub status: String,
    pub from_stage: String,
}

/// Begin a job again
///
/// For admins: a failed or cancelled job goes on from a stage; the results of that and of later stages are void.
#[endpoint(
    tags("system"),
    operation_id = "reprocess_job",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    request_body(content = ReprocessRequest, description = "Where to begin", content_type = "application/json"),
    responses((status_code = 200, description = "The job goes on", body = ReprocessAnswer),
              (status_code = 403, description = "The caller is no admin", body = super::problem::ErrorBody),
              (status_code = 409, description = "The job is going on, or completed", body = super::problem::ErrorBody),
              (status_code = 422, description = "There is no such stage, or it is too late", body = super::problem::ErrorBody))
)]
pub async fn reprocess_job(req: &mut Request, depot: &mut Depot) -> Result<Json<ReprocessAnswer>, Problem> {
    let user = user(depot)?;
    let (state, view) = visible_job(req, depot).await?;
    let from = from_stage(req).await?;
    let origin =
        Origin { command_id: CommandId::new(), actor: Actor::User(user.id), trace: None, causation_id: None };
    match state.executor.execute(view.job_id, Command::Reprocess { from }, &origin, None).await {
        Ok(executed) => {
            let began = executed.loaded.state.open_work.first().map(|item| item.stage);
            let from_stage = began.ok_or_else(Problem::internal)?.name().to_owned();
            Ok(Json(ReprocessAnswer { job_id: view.job_id.0, status: "queued".to_owned(), from_stage }))
        }
        Err(Error::Rejected(rejection @ Rejection::TooLate { .. })) => Err(invalid(rejection.to_string())),
        Err(error) => Err(error.into()),
    }
}

async fn from_stage(req: &mut Request) -> Result<Option<Stage>, Problem> {
    let body = body::read(req, super::BODY_BYTES).await?;
    if body.is_empty() {
        return Ok(None);
    }
    let request: ReprocessRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))?;
    let Some(name) = request.from_stage else { return Ok(None) };
    let names = Stage::ALL.map(Stage::name).join(", ");
    Stage::parse(&name).map(Some).ok_or_else(|| invalid(format!("is {name:?}, but must be one of {names}")))
}

fn invalid(msg: String) -> Problem {
    let loc = vec!["body".to_owned(), "from_stage".to_owned()];
    Problem::validation(vec![FieldError { loc, msg, r#type: "not_allowed".to_owned() }])
}
