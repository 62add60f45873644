//! `GET /jobs/{job_id}` and `DELETE /jobs/{job_id}`.

use chrono::{DateTime, TimeDelta, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use super::status::{JobStatusAnswer, render};
use super::{user, visible_job};
use crate::domain::job::{Command, Rejection};
use crate::events::Actor;
use crate::execute::{Error, Origin};

#[derive(Debug, Serialize, ToSchema)]
pub struct DeleteAnswer {
    pub success: bool,
    pub message: String,
    pub job_id: Uuid,
    pub deleted_at: DateTime<Utc>,
    /// When the job's files go.
    pub files_kept_until: DateTime<Utc>,
}

/// A job
///
/// The same as `/videos/jobs/{job_id}/status`, without waiting. `ETag` is the job's version.
#[endpoint(
    tags("jobs"),
    operation_id = "get_job",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("If-None-Match" = Option<String>, Header, description = "Versions that the caller has")),
    responses((status_code = 200, description = "The job as of its last event", body = JobStatusAnswer),
              (status_code = 304, description = "Unchanged since the version in If-None-Match"))
)]
pub async fn get_job(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let (state, view) = visible_job(req, depot).await?;
    render(&state, &view, req, res)
}

/// Delete a job
///
/// A job that has ended. From then on nothing shows it but the audit trail; its files go after
/// `retention.deleted_files_hours`. A job that is going on is answered with 409: cancel it first. Admins may delete any
/// job.
#[endpoint(
    tags("jobs"),
    operation_id = "delete_job",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The job is deleted", body = DeleteAnswer),
              (status_code = 409, description = "The job has not ended", body = super::problem::ErrorBody))
)]
pub async fn delete_job(req: &mut Request, depot: &mut Depot) -> Result<Json<DeleteAnswer>, Problem> {
    let user = user(depot)?;
    let (state, view) = visible_job(req, depot).await?;
    let origin = Origin::new(Actor::User(user.id));
    match state.executor.execute(view.job_id, Command::Delete, &origin, None).await {
        Ok(_) => {}
        Err(Error::Rejected(Rejection::NotEnded)) => {
            let details = serde_json::json!({ "status": view.status.name() });
            return Err(Problem::conflict(Rejection::NotEnded.to_string(), details));
        }
        Err(error) => return Err(error.into()),
    }
    let deleted = state.statuses.get(view.job_id).await?.and_then(|view| view.deleted_at);
    let deleted_at = deleted.ok_or_else(Problem::internal)?;
    let kept = TimeDelta::seconds(state.streams.retention.deleted_files.as_secs() as i64);
    Ok(Json(DeleteAnswer {
        success: true,
        message: "the job is deleted".to_owned(),
        job_id: view.job_id.0,
        deleted_at,
        files_kept_until: deleted_at + kept,
    }))
}
