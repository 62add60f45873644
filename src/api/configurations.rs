//! `/configurations`: settings of requests, stored under a name.

use chrono::{DateTime, Utc};
use salvo::http::StatusCode;
use salvo::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::generate_request;
use super::paging::{PageInfo, PageQuery};
use super::problem::Problem;
use super::query::Query;
use super::{body, origin, state, user};
use crate::domain::configurations::{Command, Configuration, Expected, Rejection};
use crate::error_codes::ErrorCode;
use crate::events::configuration::Settings;
use crate::execute::Origin;
use crate::ids::{ConfigurationId, ConfigurationsId};

/// A name, and settings of which two may have 8 KiB each.
const BODY_BYTES: usize = 64 * 1024;

#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigurationAnswer {
    pub configuration_id: Uuid,
    pub name: String,
    /// Fields of a request, as they were given.
    #[salvo(schema(value_type = Object))]
    pub settings: Settings,
    /// 1 when it was created; each `PUT` adds 1. The `ETag`.
    pub version: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigurationsAnswer {
    /// Newest first.
    pub configurations: Vec<ConfigurationAnswer>,
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub page: PageInfo,
}

impl ConfigurationAnswer {
    fn of(configuration: Configuration) -> Self {
        let Configuration { configuration_id, name, settings, version, created_at, updated_at } =
            configuration;
        Self { configuration_id: configuration_id.0, name, settings, version, created_at, updated_at }
    }

    fn render(self, res: &mut Response) -> Result<(), Problem> {
        let etag = HeaderValue::from_str(&etag(self.version)).map_err(|_| Problem::internal())?;
        res.headers_mut().insert(ETAG, etag);
        res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        res.render(Json(self));
        Ok(())
    }
}

fn etag(version: u64) -> String {
    format!("\"v{version}\"")
}

fn no_such_configuration() -> Problem {
    Problem::not_found("there is no such configuration")
}

fn rejected(rejection: Rejection) -> Problem {
    let message = rejection.to_string();
    match rejection {
        Rejection::NameTaken { by } => Problem::conflict(message, json!({ "configuration_id": by })),
        Rejection::TooMany { max } => Problem::conflict(message, json!({ "max": max })),
        Rejection::Unknown => no_such_configuration(),
        Rejection::Stale { version } => Problem {
            details: json!({ "version": version }),
            ..Problem::new(ErrorCode::PreconditionFailed, message)
        },
    }
}

/// The name and the settings of a body.
async fn read_body(req: &mut Request) -> Result<(String, Settings), Problem> {
    body::check_content_type(req)?;
    let body = body::read(req, BODY_BYTES).await?;
    generate_request::parse_configuration(&body)
}

fn header(req: &Request, name: salvo::http::header::HeaderName) -> Option<&str> {
    req.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The versions that `If-Match` names (RFC 9110, section 13.1.1), which compares strongly: a weak tag matches nothing.
fn expected(req: &Request) -> Expected {
    let given = req.headers().get(IF_MATCH)?;
    let tags = given.to_str().unwrap_or_default();
    if tags.trim() == "*" {
        return None;
    }
    let version = |tag: &str| tag.trim().strip_prefix("\"v")?.strip_suffix('"')?.parse().ok();
    Some(tags.split(',').filter_map(version).collect())
}

fn configuration_id(req: &Request) -> Result<ConfigurationId, Problem> {
    let id = req.param::<String>("configuration_id").and_then(|id| id.parse().ok());
    id.ok_or_else(no_such_configuration)
}

async fn execute(
    depot: &Depot,
    command: Command,
    id: ConfigurationId,
    origin: &Origin,
) -> Result<Option<Configuration>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let aggregate = ConfigurationsId::of_user(&user.id);
    match state.executor.execute(aggregate, command, origin, None).await {
        Ok(executed) => Ok(executed.loaded.state.get(id).cloned()),
        Err(error) => Err(Problem::of_failure(error, rejected)),
    }
}

/// Store a configuration
///
/// Settings of a request under a name, for its `configuration_id`. They are beside `name`, or in `settings`. A user has at
/// most 100.
#[endpoint(
    tags("configurations"),
    operation_id = "create_configuration",
    security(["bearer" = []]),
    request_body(content = serde_json::Value, description = "A name, and settings", content_type = "application/json",
        example = json!({"name": "Lectures", "settings": {"quality": "high", "output_format": "mp4", "tags": ["physics"]}})),
    responses((status_code = 201, description = "It is stored", body = ConfigurationAnswer),
              (status_code = 409, description = "The user has one of this name, or as many as one user may have", body = super::problem::ErrorBody),
              (status_code = 422, description = "Some fields are not valid; each is listed", body = super::problem::ErrorBody))
)]
pub async fn create_configuration(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let user = user(depot)?;
    let (name, settings) = read_body(req).await?;
    let origin = origin(&user, depot);
    let id = ConfigurationId::generate();
    let command = Command::Create { user_id: user.id, configuration_id: id, name, settings };
    let created = execute(depot, command, id, &origin).await?.ok_or_else(Problem::internal)?;
    res.status_code(StatusCode::CREATED);
    let location = HeaderValue::from_str(&format!("/api/v1/configurations/{id}"));
    res.headers_mut().insert(LOCATION, location.map_err(|_| Problem::internal())?);
    ConfigurationAnswer::of(created).render(res)
}

/// The caller's configurations
///
/// Newest first.
#[endpoint(tags("configurations"), operation_id = "list_configurations", security(["bearer" = []]))]
pub async fn list_configurations(
    query: Query<PageQuery>,
    depot: &mut Depot,
) -> Result<Json<ConfigurationsAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let slice = query.0.slice()?;
    let listed = state.library.seen_by(&user.id).configurations(&user.id, slice).await?;
    let page = PageInfo::of(slice, listed.items.len(), listed.total);
    let configurations = listed.items.into_iter().map(ConfigurationAnswer::of).collect();
    Ok(Json(ConfigurationsAnswer { configurations, page }))
}

/// A configuration
///
/// `ETag` is its version: with `If-None-Match` an unchanged one answers 304.
#[endpoint(
    tags("configurations"),
    operation_id = "get_configuration",
    security(["bearer" = []]),
    parameters(("configuration_id" = Uuid, Path, description = "The configuration"),
               ("If-None-Match" = Option<String>, Header, description = "Versions that the caller has")),
    responses((status_code = 200, description = "The configuration", body = ConfigurationAnswer),
              (status_code = 304, description = "Unchanged since the version in If-None-Match"))
)]
pub async fn get_configuration(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let found = state.library.seen_by(&user.id).configuration(&user.id, configuration_id(req)?).await?;
    let found = ConfigurationAnswer::of(found.ok_or_else(no_such_configuration)?);
    let etag = etag(found.version);
    if header(req, IF_NONE_MATCH).is_some_and(|tags| super::status::matches_etag(tags, &etag)) {
        res.status_code(StatusCode::NOT_MODIFIED);
        res.headers_mut().insert(ETAG, HeaderValue::from_str(&etag).map_err(|_| Problem::internal())?);
        return Ok(());
    }
    found.render(res)
}

/// Replace a configuration
///
/// Name and settings, as a whole. With `If-Match`, only the version that it names is replaced.
#[endpoint(
    tags("configurations"),
    operation_id = "replace_configuration",
    security(["bearer" = []]),
    parameters(("configuration_id" = Uuid, Path, description = "The configuration"),
               ("If-Match" = Option<String>, Header, description = "The version that is to be replaced, as its `ETag`")),
    request_body(content = serde_json::Value, description = "A name, and settings", content_type = "application/json",
        example = json!({"name": "Lectures", "settings": {"quality": "ultra"}})),
    responses((status_code = 200, description = "It is replaced", body = ConfigurationAnswer),
              (status_code = 409, description = "The user has another one of this name", body = super::problem::ErrorBody),
              (status_code = 412, description = "It is not at the version that If-Match names", body = super::problem::ErrorBody),
              (status_code = 422, description = "Some fields are not valid; each is listed", body = super::problem::ErrorBody))
)]
pub async fn replace_configuration(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let (user, id) = (user(depot)?, configuration_id(req)?);
    let (expected, origin) = (expected(req), origin(&user, depot));
    let (name, settings) = read_body(req).await?;
    let command = Command::Replace { configuration_id: id, expected, name, settings };
    let replaced = execute(depot, command, id, &origin).await?.ok_or_else(no_such_configuration)?;
    ConfigurationAnswer::of(replaced).render(res)
}

/// Delete a configuration
///
/// Jobs that were requested with it stay as they are. With `If-Match`, only the version that it names is deleted.
#[endpoint(
    tags("configurations"),
    operation_id = "delete_configuration",
    security(["bearer" = []]),
    parameters(("configuration_id" = Uuid, Path, description = "The configuration"),
               ("If-Match" = Option<String>, Header, description = "The version that is to be deleted, as its `ETag`")),
    responses((status_code = 204, description = "It is deleted"),
              (status_code = 412, description = "It is not at the version that If-Match names", body = super::problem::ErrorBody))
)]
pub async fn delete_configuration(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let (user, id) = (user(depot)?, configuration_id(req)?);
    let origin = origin(&user, depot);
    let command = Command::Delete { configuration_id: id, expected: expected(req) };
    execute(depot, command, id, &origin).await?;
    res.status_code(StatusCode::NO_CONTENT);
    Ok(())
}
