//! The HTTP API: reads requests, sends commands, answers from projections.
//!
//! Every path exists under `/api/v1`, and under `/` where older clients know it so. Every error has
//! the shape of `problem.rs`. Deliberately absent: any decision about a job.

mod admission;
mod audit;
pub mod auth;
mod cancel;
mod files;
mod generate;
pub mod generate_request;
mod generate_schema;
mod health;
mod jobs;
mod metadata;
mod metrics;
mod problem;
mod reprocess;
mod status;

pub use admission::Admission;
pub use auth::{Role, User, Verifier};
pub use problem::Problem;

use std::sync::Arc;

use salvo::http::header::{HeaderName, HeaderValue};
use salvo::oapi::security::{Http, HttpAuthScheme};
use salvo::oapi::{Info, OpenApi, SecurityScheme};
use salvo::prelude::*;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::{MediaConfig, Streams};
use crate::events::WorkQueue;
use crate::events::connection::Durability;
use crate::events::doorbell::Doorbell;
use crate::execute::Executor;
use crate::ids::JobId;
use crate::projections::Projection;
use crate::projections::catalog::Catalog;
use crate::projections::status::{StatusView, StatusViews};
use crate::projections::trail::Trail;
use crate::storage::{Storage, Workspaces};

/// More than the longest script in JSON's longest form.
const BODY_BYTES: usize = 2 * 1024 * 1024;

/// Everything the endpoints use.
pub struct ApiState {
    pub executor: Executor,
    pub admission: Admission,
    pub queue: WorkQueue,
    pub workspaces: Workspaces,
    pub doorbell: Doorbell,
    pub statuses: StatusViews,
    pub catalog: Catalog,
    pub trail: Trail,
    /// For health: how far each has read.
    pub projections: Vec<Arc<dyn Projection>>,
    pub pool: PgPool,
    pub storage: Storage,
    pub media: MediaConfig,
    pub streams: Streams,
    pub durability: Durability,
}

/// The routes that need a session token.
fn protected() -> Router {
    Router::new()
        .push(Router::with_path("videos/generate").post(generate::generate_video))
        .push(Router::with_path("videos/jobs/{job_id}/status").get(status::get_job_status))
        .push(
            Router::with_path("videos/jobs/{job_id}/download")
                .get(files::download_video)
                .head(files::download_video),
        )
        .push(Router::with_path("videos/jobs/{job_id}/metadata").get(metadata::get_video_metadata))
        .push(
            Router::with_path("videos/jobs/{job_id}/thumbnail")
                .get(files::get_thumbnail)
                .head(files::get_thumbnail),
        )
        .push(
            Router::with_path("videos/jobs/{job_id}/stream")
                .get(files::stream_video)
                .head(files::stream_video),
        )
        .push(
            Router::with_path("videos/jobs/{job_id}/hls/{file}")
                .get(files::get_hls_file)
                .head(files::get_hls_file),
        )
        .push(
            Router::with_path("videos/jobs/{job_id}/captions.vtt")
                .get(files::get_captions_vtt)
                .head(files::get_captions_vtt),
        )
        .push(
            Router::with_path("videos/jobs/{job_id}/captions.srt")
                .get(files::get_captions_srt)
                .head(files::get_captions_srt),
        )
        .push(Router::with_path("jobs").get(jobs::list_jobs))
        .push(Router::with_path("jobs/{job_id}/events").get(jobs::list_job_events))
        .push(Router::with_path("jobs/{job_id}/logs").get(jobs::list_job_logs))
        .push(Router::with_path("system/jobs").get(jobs::list_all_jobs))
        .push(Router::with_path("audit/events").get(audit::list_trail))
        .push(Router::with_path("audit/jobs/{job_id}/events").get(audit::list_recorded_events))
        .push(Router::with_path("audit/jobs/{job_id}/state").get(audit::get_state_at))
        .push(Router::with_path("audit/jobs/{job_id}/verify").get(audit::verify_job_history))
        .push(Router::with_path("jobs/{job_id}/cancel").post(cancel::cancel_job))
        .push(Router::with_path("system/jobs/{job_id}/cancel").post(cancel::cancel_job_in_system))
        .push(Router::with_path("system/jobs/{job_id}/reprocess").post(reprocess::reprocess_job))
}

fn open() -> Router {
    Router::with_path("system/health").get(health::get_health)
}

/// The whole service.
pub fn service(state: Arc<ApiState>, verifier: Verifier) -> Service {
    let versioned = || Router::new().push(open()).push(protected().hoop(verifier.clone()));
    let router = Router::new()
        .hoop(WithState(state))
        .push(Router::with_path("api/v1").push(versioned()))
        .push(versioned())
        .push(Router::with_path("healthz").get(health::healthz))
        .push(Router::with_path("readyz").get(health::readyz))
        .push(Router::with_path("metrics").get(metrics::serve_metrics))
        .push(Router::with_path("openapi.json").get(serve_openapi));
    Service::new(router)
        .hoop(RequestId)
        .hoop(salvo::http::request::SecureMaxSize(BODY_BYTES))
        .catcher(salvo::catcher::Catcher::default().hoop(problem::catch_framework_errors))
}

/// The document that `openapi.json` holds: generated from the endpoints, with the schema of the body of
/// `POST /videos/generate`, which is JSON Schema and more than the generator can say.
pub fn openapi() -> serde_json::Value {
    let document = serde_json::to_value(openapi_of_routes());
    let mut document = document.expect("an OpenAPI document is JSON");
    let (body, definitions) = generate_schema::schema("/components/schemas");
    let content = "/paths/~1api~1v1~1videos~1generate/post/requestBody/content/application~1json";
    let content = document.pointer_mut(content).expect("the endpoint has a JSON body");
    content["schema"] = json!({ "$ref": "#/components/schemas/GenerateRequest" });
    document["components"]["schemas"]["GenerateRequest"] = body;
    for (name, definition) in definitions {
        document["components"]["schemas"][name] = definition;
    }
    document
}

fn openapi_of_routes() -> OpenApi {
    let router = Router::with_path("api/v1").push(open()).push(protected());
    let bearer = Http::new(HttpAuthScheme::Bearer).bearer_format("JWT");
    OpenApi::with_info(
        Info::new("Reelstream", env!("CARGO_PKG_VERSION"))
            .description("Turns a topic or a script into a narrated MP4; every step is an immutable event."),
    )
    .add_security_scheme("bearer", SecurityScheme::Http(bearer))
    .merge_router(&router)
}

#[handler]
async fn serve_openapi(res: &mut Response) {
    res.render(Json(openapi()));
}

struct WithState(Arc<ApiState>);

#[handler]
impl WithState {
    async fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.0.clone());
    }
}

struct RequestId;

#[derive(Clone)]
struct RequestIdValue(String);

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's `X-Request-Id`, or makes one; it is in the answer, in errors and in events.
#[handler]
impl RequestId {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response) {
        let given = req.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_fit =
            |id: &&str| !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic());
        let id = given.filter(is_fit).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        if let Ok(value) = HeaderValue::from_str(&id) {
            res.headers_mut().insert(X_REQUEST_ID.clone(), value);
        }
        depot.insert_typed(RequestIdValue(id));
    }
}

fn request_id(depot: &Depot) -> String {
    depot.get_typed::<RequestIdValue>().map(|id| id.0.clone()).unwrap_or_default()
}

fn state(depot: &Depot) -> Result<Arc<ApiState>, Problem> {
    depot.get_typed::<Arc<ApiState>>().cloned().map_err(|_| Problem::internal())
}

fn user(depot: &Depot) -> Result<User, Problem> {
    depot.get_typed::<User>().cloned().map_err(|_| Problem::unauthorized("a session token is needed"))
}

/// The job in the path, if it is the caller's, or the caller is an admin.
async fn visible_job(req: &Request, depot: &Depot) -> Result<(Arc<ApiState>, StatusView), Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let text: String = req.param("job_id").unwrap_or_default();
    let job_id: JobId = text.parse().map_err(|_| Problem::no_such_job())?;
    let view = state.statuses.get(job_id).await?.ok_or_else(Problem::no_such_job)?;
    if view.user_id != user.id && user.role != Role::Admin {
        return Err(Problem::no_such_job());
    }
    Ok((state, view))
}
