//! The HTTP API: reads requests, sends commands, answers from projections.
//!
//! Every path exists under `/api/v1` and under `/`, where older clients know it. [`routes`] is the table of all
//! endpoints, with who may call each; a guard in front of the endpoint enforces it, so handlers check no roles. Every
//! error has the shape of `problem.rs`. Deliberately absent: any decision about a job.

mod admission;
mod analytics;
mod audit;
pub mod auth;
mod available;
mod batch;
mod batch_answer;
mod batch_request;
mod body;
mod cancel;
mod checked_tokens;
mod clerk_webhook;
mod configurations;
mod documents;
mod edge;
mod files;
mod forecasts;
mod generate;
pub mod generate_request;
mod generate_schema;
mod health;
mod hls;
mod idempotency;
mod job;
mod job_list;
mod jobs;
pub mod jwks;
mod live;
mod me;
mod metadata;
pub(crate) mod metrics;
mod openapi;
mod paging;
mod problem;
mod query;
pub mod rate_limit;
mod reprocess;
mod request_id;
mod request_metrics;
mod scenes;
mod signed_urls;
mod single_flight;
mod status;
mod system;
mod tickets;
mod uploads;
mod video_url;

pub use admission::Admission;
pub use auth::{Access, Role, User, Verifier};
pub use forecasts::Forecasts;
pub use live::Live;
pub use openapi::openapi;
pub use problem::Problem;
pub use rate_limit::RouteClass;
pub use status::StatusBodies;
pub use system::Figures;
pub use uploads::Reception;

use std::sync::{Arc, LazyLock};

use salvo::http::Method;
use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::hyper::body::Bytes;
use salvo::prelude::*;
use sqlx::PgPool;

use auth::Guard;
pub use health::Examinations;
pub use hls::WatchedJobs;
use rate_limit::{CurrentLimiters, LimitByAddress, LimitByUser};
use request_id::RequestId;

use crate::clerk;
use crate::config::{ApiConfig, MediaConfig, ModelsConfig, Streams, WebhookConfig};
use crate::controls::Controls;
use crate::events::connection::Durability;
use crate::events::doorbell::Doorbell;
use crate::events::{Actor, WorkQueue};
use crate::execute::{Executor, Origin, Trace};
use crate::ids::{CommandId, JobId};
use crate::projections::Projection;
use crate::projections::catalog::Catalog;
use crate::projections::library::Library;
use crate::projections::status::{StatusView, StatusViews};
use crate::projections::trail::Trail;
use crate::storage::{Stores, Workspaces};
use crate::webhooks::Secret;

/// More than the longest script in JSON's longest form.
const BODY_BYTES: usize = 2 * 1024 * 1024;

/// Everything the endpoints use.
pub struct ApiState {
    pub config: ApiConfig,
    pub executor: Executor,
    pub admission: Admission,
    pub queue: WorkQueue,
    pub workspaces: Workspaces,
    pub doorbell: Doorbell,
    pub statuses: StatusViews,
    pub catalog: Catalog,
    pub library: Library,
    pub trail: Trail,
    /// For health: how far each has read.
    pub projections: Vec<Arc<dyn Projection>>,
    pub pool: PgPool,
    pub stores: Stores,
    pub reception: Reception,
    pub media: MediaConfig,
    pub webhooks: WebhookConfig,
    pub models: ModelsConfig,
    /// `None` where Clerk is not asked about users.
    pub clerk: Option<clerk::Client>,
    pub clerk_webhook_secret: Option<Secret>,
    /// The settings of the start. What may change since is in `controls`.
    pub streams: Streams,
    pub controls: Controls,
    pub durability: Durability,
    pub examinations: Examinations,
    pub watched: WatchedJobs,
    pub live: Live,
    pub figures: Figures,
    pub forecasts: Forecasts,
    pub status_bodies: StatusBodies,
}

/// One line of the route table.
pub struct Route {
    pub method: Method,
    /// Without `/api/v1`.
    pub path: &'static str,
    pub access: Access,
    /// What its requests are counted as: reads for `GET` and `HEAD`, and writes for the others, unless [`Self::of_class`]
    /// says otherwise.
    pub class: RouteClass,
    /// Where `openapi.json` has it: under `/api/v1`, or under `/`. It is served under both.
    pub is_versioned: bool,
    /// Whether it takes WebSockets, whose callers are refused with a close code.
    takes_sockets: bool,
    endpoint: Router,
}

impl Route {
    fn new(method: Method, path: &'static str, access: Access, endpoint: Router) -> Self {
        let is_safe = [Method::GET, Method::HEAD].contains(&method);
        let class = if is_safe { RouteClass::Read } else { RouteClass::Write };
        Self { method, path, access, class, is_versioned: true, takes_sockets: false, endpoint }
    }

    fn of_class(self, class: RouteClass) -> Self {
        Self { class, ..self }
    }

    /// An endpoint for machines or browsers, which look for it under `/`.
    fn unversioned(self) -> Self {
        Self { is_versioned: false, ..self }
    }

    /// Leaves paths that end with `name` to the route of that name, so that refusals of a method list the right ones.
    fn but_not(self, name: &'static str) -> Self {
        let endpoint =
            self.endpoint.filter_fn(move |req, _| req.uri().path().rsplit('/').next() != Some(name));
        Self { endpoint, ..self }
    }

    fn with_sockets(self) -> Self {
        Self { takes_sockets: true, ..self }
    }
}

fn get(path: &'static str, access: Access, endpoint: impl Handler) -> Route {
    Route::new(Method::GET, path, access, Router::with_path(path).get(endpoint))
}

/// A file, which `HEAD` asks about.
fn file<H: Handler>(path: &'static str, access: Access, endpoint: H, for_head: H) -> [Route; 2] {
    let head = Router::with_path(path).head(for_head);
    [get(path, access, endpoint), Route::new(Method::HEAD, path, access, head)]
}

fn put(path: &'static str, access: Access, endpoint: impl Handler) -> Route {
    Route::new(Method::PUT, path, access, Router::with_path(path).put(endpoint))
}

fn post(path: &'static str, access: Access, endpoint: impl Handler) -> Route {
    Route::new(Method::POST, path, access, Router::with_path(path).post(endpoint))
}

fn delete(path: &'static str, access: Access, endpoint: impl Handler) -> Route {
    Route::new(Method::DELETE, path, access, Router::with_path(path).delete(endpoint))
}

/// Every endpoint, and who may call it.
pub fn routes() -> Vec<Route> {
    use Access::{Admin, Analyst, Auditor, Public, User};
    let files = [
        file("videos/jobs/{job_id}/download", User, files::download_video, files::download_video),
        file("videos/jobs/{job_id}/thumbnail", User, files::get_thumbnail, files::get_thumbnail),
        file("videos/jobs/{job_id}/stream", User, files::stream_video, files::stream_video),
        file("videos/jobs/{job_id}/hls/{file}", User, hls::get_hls_file, hls::get_hls_file),
        file("videos/jobs/{job_id}/captions.vtt", User, files::get_captions_vtt, files::get_captions_vtt),
        file("videos/jobs/{job_id}/captions.srt", User, files::get_captions_srt, files::get_captions_srt),
    ];
    let mut routes = vec![
        post("videos/generate", User, generate::generate_video).of_class(RouteClass::Generate),
        get("videos/jobs/{job_id}/status", User, status::get_job_status),
        get("videos/jobs/{job_id}/metadata", User, metadata::get_video_metadata),
        post("videos/batch", User, batch::create_batch),
        get("videos/batch/{batch_id}", User, batch::get_batch),
        get("videos/jobs/{job_id}/video-url", User, video_url::get_video_url),
        get("videos/jobs/{job_id}/scenes", User, scenes::list_scenes),
        get("jobs", User, job_list::list_jobs),
        get("jobs/{job_id}", User, job::get_job),
        delete("jobs/{job_id}", User, job::delete_job),
        get("jobs/{job_id}/events", User, jobs::list_job_events),
        get("jobs/{job_id}/logs", User, jobs::list_job_logs),
        post("jobs/{job_id}/cancel", User, cancel::cancel_job),
        post("uploads/content", User, uploads::upload_content),
        get("uploads", User, uploads::list_uploads),
        get("uploads/{upload_id}", User, uploads::get_upload).but_not("content"),
        delete("uploads/{upload_id}", User, uploads::delete_upload).but_not("content"),
        post("configurations", User, configurations::create_configuration),
        get("configurations", User, configurations::list_configurations),
        get("configurations/{configuration_id}", User, configurations::get_configuration),
        put("configurations/{configuration_id}", User, configurations::replace_configuration),
        delete("configurations/{configuration_id}", User, configurations::delete_configuration),
        get("auth/me", User, me::get_me),
        post("webhooks/clerk", Public, clerk_webhook::receive_clerk_webhook),
        post("auth/tickets", User, tickets::create_ticket),
        get("ws/jobs/{job_id}", User, live::watch_job).with_sockets(),
        get("analytics/throughput", Analyst, analytics::get_throughput),
        get("analytics/stages", Analyst, analytics::get_stages),
        get("analytics/failures", Analyst, analytics::get_failures),
        get("analytics/storage", Analyst, analytics::get_storage),
        get("analytics/latency", Analyst, analytics::get_latency),
        get("audit/events", Auditor, audit::list_trail),
        get("audit/jobs/{job_id}/events", Auditor, audit::list_recorded_events),
        get("audit/jobs/{job_id}/state", Auditor, audit::get_state_at),
        get("audit/jobs/{job_id}/verify", Auditor, audit::verify_job_history),
        get("system/health", Public, health::get_health),
        get("system/jobs", Admin, job_list::list_all_jobs),
        get("system/metrics", User, system::get_metrics),
        get("system/queue-status", User, system::get_queue_status),
        post("system/jobs/{job_id}/cancel", User, cancel::cancel_job_in_system),
        post("system/jobs/{job_id}/reprocess", Admin, reprocess::reprocess_job),
        get("healthz", Public, health::healthz).unversioned(),
        get("readyz", Public, health::readyz).unversioned(),
        get("metrics", Public, metrics::serve_metrics).unversioned(),
        get("openapi.json", Public, serve_openapi).unversioned(),
        get("docs", Public, documents::serve_docs).unversioned(),
        get("docs/{file}", Public, documents::serve_asset).unversioned(),
        get("redoc", Public, documents::serve_redoc).unversioned(),
    ];
    routes.extend(files.into_iter().flatten());
    routes
}

/// The routes of one prefix, each behind its guard and its limit.
fn guarded_routes(verifier: &Verifier, limiters: &Arc<CurrentLimiters>, are_versioned: bool) -> Router {
    let routes = routes().into_iter().filter(|route| route.is_versioned == are_versioned);
    routes.fold(Router::new(), |router, route| {
        let guard = Guard { access: route.access, verifier: verifier.clone() };
        let limit = LimitByUser { limiters: limiters.clone(), class: route.class };
        router.push(match route.takes_sockets {
            true => route.endpoint.hoop(live::SocketGuard(guard)).hoop(limit),
            false => route.endpoint.hoop(guard).hoop(limit),
        })
    })
}

/// The whole service.
pub fn service(state: Arc<ApiState>, verifier: &Verifier) -> Service {
    let limiters = Arc::new(CurrentLimiters::new(state.controls.clone()));
    let ApiConfig { trusted_proxies, allowed_origins, .. } = state.config.clone();
    let router = Router::new()
        .hoop(WithState(state))
        .push(
            Router::with_path("api/v1")
                .push(guarded_routes(verifier, &limiters, true))
                .push(guarded_routes(verifier, &limiters, false)),
        )
        .push(guarded_routes(verifier, &limiters, true))
        .push(guarded_routes(verifier, &limiters, false));
    let service = Service::new(router).hoop(RequestId).hoop(edge::SecurityHeaders);
    // Outside of what may refuse, so that pages can read refusals; on the service, so that a preflight is no 405.
    let service = match edge::cors(&allowed_origins) {
        Some(cors) => service.hoop(cors),
        None => service,
    };
    service
        .hoop(edge::compression())
        .hoop(LimitByAddress { limiters, trusted_proxies })
        .hoop(salvo::http::request::SecureMaxSize(BODY_BYTES))
        .catcher(salvo::catcher::Catcher::default().hoop(problem::catch_framework_errors))
}

/// It never changes while the program runs.
static OPENAPI: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&openapi()).expect("an OpenAPI document is JSON").into());

#[handler]
async fn serve_openapi(res: &mut Response) -> Result<(), Problem> {
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    res.write_body(OPENAPI.clone()).map_err(|_| Problem::internal())
}

struct WithState(Arc<ApiState>);

#[handler]
impl WithState {
    async fn handle(&self, depot: &mut Depot) {
        depot.insert_typed(self.0.clone());
    }
}

fn state(depot: &Depot) -> Result<Arc<ApiState>, Problem> {
    depot.get_typed::<Arc<ApiState>>().cloned().map_err(|_| Problem::internal())
}

fn user(depot: &Depot) -> Result<User, Problem> {
    depot.get_typed::<User>().cloned().map_err(|_| Problem::unauthorized("a session token is needed"))
}

/// The catalog as a caller may see it: with their rows alone, or with everybody's where their role lets them see all.
fn catalog_of(state: &ApiState, user: &User) -> Catalog {
    match user.role {
        Role::Admin => state.catalog.clone(),
        Role::User | Role::Analyst | Role::Auditor => state.catalog.seen_by(&user.id),
    }
}

fn job_id(req: &Request) -> Result<JobId, Problem> {
    req.param::<String>("job_id").unwrap_or_default().parse().map_err(|_| Problem::no_such_job())
}

/// A job that was not deleted, whoever's it is.
async fn visible(state: &ApiState, job_id: JobId) -> Result<Arc<StatusView>, Problem> {
    let view = state.statuses.get(job_id).await?.filter(|view| view.deleted_at.is_none());
    view.ok_or_else(Problem::no_such_job)
}

/// The origin of a command that a request leads to.
fn origin(user: &User, depot: &Depot) -> Origin {
    let correlation_id = request_id::correlation_id(depot);
    Origin {
        command_id: CommandId::new(),
        actor: Actor::User(user.id.clone()),
        trace: Some(Trace { correlation_id, traceparent: request_id::traceparent(depot) }),
        causation_id: None,
    }
}

/// The job in the path, if it is the caller's, or the caller is an admin. Without an estimate of its completion.
async fn visible_job(req: &Request, depot: &Depot) -> Result<(Arc<ApiState>, Arc<StatusView>), Problem> {
    let (state, user, job_id) = (state(depot)?, user(depot)?, job_id(req)?);
    let view = visible(&state, job_id).await?;
    if view.user_id != user.id && user.role != Role::Admin {
        return Err(Problem::no_such_job());
    }
    Ok((state, view))
}
