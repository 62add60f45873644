//! `POST /system/jobs/{id}/reprocess`.

use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::body::{fault, read_fields};
use super::files::state_details;
use super::problem::{FieldError, Problem};
use super::{user, visible_job};
use crate::domain::job::{Command, Rejection};
use crate::events::{Actor, Stage};
use crate::execute::{Error, Origin};
use crate::ids::CommandId;

/// Many times what a body needs.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Unknown fields that an answer lists.
const MAX_FAULTS: usize = 100;

/// The schema of the body, which [`from_stage`] reads.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema; the fields are read one by one, so that all faults are found")]
pub struct ReprocessRequest {
    /// Where to begin; left out, as late as the job's files allow.
    from_stage: Option<String>,
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
        Err(Error::Rejected(rejection @ Rejection::TooLate { .. })) => {
            Err(Problem::validation(vec![fault(&["from_stage"], rejection.to_string(), "not_allowed")]))
        }
        Err(Error::Rejected(rejection)) => {
            let now = state.statuses.get(view.job_id).await?.unwrap_or(view);
            Err(Problem::conflict(rejection.to_string(), state_details(&now)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the one field that a body may have; all faults are reported.
async fn from_stage(req: &mut Request) -> Result<Option<Stage>, Problem> {
    let fields = read_fields(req, MAX_BODY_BYTES).await?;
    let mut faults: Vec<FieldError> = vec![];
    let unknown = fields.keys().filter(|name| *name != "from_stage").take(MAX_FAULTS);
    faults.extend(unknown.map(|name| fault(&[name], "is not a field; known is from_stage", "unknown_field")));
    let from = match fields.get("from_stage") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let stage = value.as_str().and_then(Stage::parse);
            if stage.is_none() {
                let (names, shown) = (Stage::ALL.map(Stage::name).join(", "), value.to_string());
                let shown: String = shown.chars().take(100).collect();
                let kind = if value.is_string() { "not_allowed" } else { "wrong_type" };
                faults.push(fault(&["from_stage"], format!("is {shown}, but must be one of {names}"), kind));
            }
            stage
        }
    };
    if faults.is_empty() { Ok(from) } else { Err(Problem::validation(faults)) }
}
