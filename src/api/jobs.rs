//! `/jobs`: a job's history.

use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use super::visible_job;
use crate::projections;

#[derive(Debug, Serialize, ToSchema)]
pub struct EventsAnswer {
    pub job_id: Uuid,
    /// Envelopes, in the order of their versions.
    pub events: Vec<serde_json::Value>,
}

/// The events of a job
///
/// The envelopes in order, from `from_version` on (1 by default).
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_events",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("from_version" = Option<u64>, Query, description = "The first version to list, from 1"))
)]
pub async fn list_job_events(req: &mut Request, depot: &mut Depot) -> Result<Json<EventsAnswer>, Problem> {
    let text = req.query::<String>("from_version").unwrap_or_else(|| "1".to_owned());
    let from_version: u64 = text
        .parse()
        .ok()
        .filter(|version| *version >= 1)
        .ok_or_else(|| Problem::query("from_version", &text, "a whole number from 1"))?;
    let (state, view) = visible_job(req, depot).await?;
    let log = state.executor.log();
    let history =
        log.history(view.job_id.aggregate(), from_version - 1).await.map_err(projections::Error::from)?;
    let mut events = Vec::with_capacity(history.len());
    for mut envelope in history {
        // The job's own user reads what they wrote; what is recorded, and hashed, is what auditors read.
        let (job, version) = (view.job_id, envelope.version);
        let opened = state.executor.decoder().open(&envelope).await;
        let opened = opened.map_err(|source| projections::Error::Decode { job, version, source })?;
        envelope.data = opened.unwrap_or(envelope.data);
        events.push(serde_json::to_value(&envelope).map_err(projections::Error::from)?);
    }
    Ok(Json(EventsAnswer { job_id: view.job_id.0, events }))
}
