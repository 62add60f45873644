//! `POST /jobs/{id}/cancel`, and the same under `/system` for older clients.

use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::files::state_details;
use super::problem::Problem;
use super::{ApiState, user, visible_job};
use crate::consumers::leftovers::remove_all_but_stream;
use crate::consumers::measure;
use crate::domain::job::{Command, Job, Rejection};
use crate::events::{Actor, time_field};
use crate::execute::{Error, Origin};
use crate::ids::{CommandId, JobId};
use crate::telemetry::chain;

#[derive(Debug, Serialize, ToSchema)]
pub struct CancelAnswer {
    pub success: bool,
    pub message: String,
    pub job_id: Uuid,
    pub previous_status: String,
    pub new_status: String,
    /// RFC 3339, UTC.
    pub cancelled_at: String,
}

/// Cancel a job
///
/// Queued, running and retrying jobs end at once as `cancelled`. What runs for them stops within a second, and
/// their files are removed. A job that has ended already is answered with 409.
#[endpoint(
    tags("jobs"),
    operation_id = "cancel_job",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The job is cancelled", body = CancelAnswer),
              (status_code = 409, description = "The job has ended already", body = super::problem::ErrorBody))
)]
pub async fn cancel_job(req: &mut Request, depot: &mut Depot) -> Result<Json<CancelAnswer>, Problem> {
    cancel(req, depot).await.map(Json)
}

/// Cancel a job
///
/// The same as `/jobs/{job_id}/cancel`, at the place where older clients look for it.
#[endpoint(
    tags("system"),
    operation_id = "cancel_job_in_system",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The job is cancelled", body = CancelAnswer),
              (status_code = 409, description = "The job has ended already", body = super::problem::ErrorBody))
)]
pub async fn cancel_job_in_system(
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<CancelAnswer>, Problem> {
    cancel(req, depot).await.map(Json)
}

async fn cancel(req: &Request, depot: &Depot) -> Result<CancelAnswer, Problem> {
    let user = user(depot)?;
    let (state, view) = visible_job(req, depot).await?;
    let origin =
        Origin { command_id: CommandId::new(), actor: Actor::User(user.id), trace: None, causation_id: None };
    let command = Command::Cancel { reason: None };
    let executed = match state.executor.execute(view.job_id, command, &origin, None).await {
        Ok(executed) => executed,
        Err(Error::Rejected(Rejection::AlreadyEnded)) => {
            let now = state.statuses.get(view.job_id).await?.unwrap_or(view);
            let message = format!("the job has already ended: it is {}", now.status.name());
            return Err(Problem::conflict(message, state_details(&now)));
        }
        Err(error) => return Err(error.into()),
    };
    measure::note_cancelled();
    remove_files(&state, view.job_id, &executed.loaded.state).await;
    let cancelled_at = executed.loaded.state.ended_at.map(time_field).unwrap_or_default();
    Ok(CancelAnswer {
        success: true,
        message: "the job is cancelled".to_owned(),
        job_id: view.job_id.0,
        previous_status: view.status.name().to_owned(),
        new_status: "cancelled".to_owned(),
        cancelled_at,
    })
}

/// Removes the files of a job that no worker is at work on, but for its stream. Files of a stage that still runs go once
/// more when it has stopped.
async fn remove_files(state: &ApiState, job_id: JobId, job: &Job) {
    let workspace = state.workspaces.of(job_id);
    if let Err(error) = workspace.remove().await {
        tracing::warn!(%job_id, %error, "cannot remove the folder of a cancelled job");
    }
    if let Err(error) = workspace.remove_artifacts().await {
        tracing::warn!(%job_id, error = chain(&error), "cannot remove the artifacts of a cancelled job");
    }
    if let Err(error) = remove_all_but_stream(&state.stores, job_id, job).await {
        tracing::warn!(%job_id, error = chain(&error), "cannot remove the files of a cancelled job");
    }
}
