//! `GET /videos/jobs/{job_id}/scenes`.

use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use super::{catalog_of, user, visible_job};
use crate::projections::catalog::{CodeAttemptRow, SceneRow};

#[derive(Debug, Serialize, ToSchema)]
pub struct ScenesAnswer {
    pub job_id: Uuid,
    /// The job's, not the scenes'.
    pub status: String,
    pub total_scenes: u32,
    /// In the order of the video; empty before the job is planned.
    pub scenes: Vec<SceneAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SceneAnswer {
    /// From 0.
    pub scene: u32,
    pub title: String,
    /// All lines that are spoken, in one text.
    pub narration: String,
    /// `planned`, `narrated`, `coded` or `rendered`.
    pub status: String,
    /// The most that any of its work has had, from 1.
    pub attempts: u32,
    /// The language of the code; null before it is generated.
    pub language: Option<String>,
    /// The source that draws the scene; null before it is generated.
    pub code: Option<String>,
    /// Runs of the scene's code before it is drawn, in order; empty for a scene of our own engine.
    pub code_attempts: Vec<CodeAttemptAnswer>,
    /// Seconds; null before its narration is measured.
    pub duration: Option<f64>,
    /// Pictures of the scene; null before it is rendered.
    pub frames: Option<u64>,
    pub rendered_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CodeAttemptAnswer {
    /// From 1.
    pub attempt: u32,
    pub code: String,
    /// The error, with its line; null for code that runs.
    pub error: Option<String>,
}

impl CodeAttemptAnswer {
    fn of(row: CodeAttemptRow) -> Self {
        Self { attempt: row.attempt, code: row.code, error: row.error }
    }
}

impl SceneAnswer {
    fn of(row: SceneRow) -> Self {
        Self {
            scene: row.scene as u32,
            title: row.title,
            narration: row.narration,
            status: row.status,
            attempts: row.attempts as u32,
            language: row.language,
            code: row.code,
            code_attempts: row.code_attempts.into_iter().map(CodeAttemptAnswer::of).collect(),
            duration: row.duration_ms.map(|ms| ms as f64 / 1000.0),
            frames: row.frames.map(|frames| frames as u64),
            rendered_at: row.rendered_at,
        }
    }
}

/// The scenes of a job
///
/// The plan, and how far each scene is. The list is there as soon as the job is planned, whatever becomes of the job.
#[endpoint(
    tags("videos"),
    operation_id = "list_scenes",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The scenes, in order", body = ScenesAnswer))
)]
pub async fn list_scenes(req: &mut Request, depot: &mut Depot) -> Result<Json<ScenesAnswer>, Problem> {
    let (state, view) = visible_job(req, depot).await?;
    let scenes = catalog_of(&state, &user(depot)?).scenes(view.job_id, view.version).await?;
    Ok(Json(ScenesAnswer {
        job_id: view.job_id.0,
        status: view.status.name().to_owned(),
        total_scenes: scenes.len() as u32,
        scenes: scenes.into_iter().map(SceneAnswer::of).collect(),
    }))
}
