//! The OpenAPI document: generated from the endpoints, and completed from the route table.
//!
//! An endpoint declares what only it knows: its parameters, its success and what is particular in its errors. Everything
//! that follows from its route is added here, for all at once: who may call it, the errors that any such endpoint may
//! answer, headers, and the operation ids of `HEAD`. Examples are in `examples.rs`, shapes that the generator cannot say in
//! `shapes.rs`.

mod examples;
mod shapes;

use salvo::http::Method;
use salvo::oapi::security::{Http, HttpAuthScheme};
use salvo::oapi::{Info, OpenApi, SecurityScheme};
use salvo::prelude::*;
use serde_json::{Map, Value, json};

use super::{Access, Route, generate_schema, routes};
use crate::error_codes::ErrorCode;

const JSON: &str = "application/json";

/// The tags with their descriptions, in the order of the document.
const TAGS: [(&str, &str); 9] = [
    ("videos", "Making videos, and what is made."),
    ("jobs", "Lists, logs and histories of jobs, and cancelling."),
    ("uploads", "Files that requests refer to."),
    ("configurations", "Settings of requests, stored under a name."),
    ("live", "Watching jobs as they happen."),
    ("auth", "The caller, and what the identity provider tells."),
    ("system", "How the system is, and what operators do."),
    ("analytics", "Figures over time, for analysts."),
    ("audit", "What is recorded, for auditors."),
];

/// Operations whose answers have an `ETag`.
const WITH_ETAG: [&str; 11] = [
    "create_configuration",
    "get_configuration",
    "replace_configuration",
    "get_job",
    "get_job_status",
    "download_video",
    "stream_video",
    "get_thumbnail",
    "get_hls_file",
    "get_captions_vtt",
    "get_captions_srt",
];
/// The operation that takes the messages of the identity provider.
const SIGNED_MESSAGE: &str = "receive_clerk_webhook";
/// Operations that answer with a file: its media types, and what it is.
const FILES: [(&str, &[&str]); 6] = [
    ("download_video", &["video/mp4", "video/quicktime", "video/webm", "video/x-msvideo"]),
    ("stream_video", &["video/mp4"]),
    ("get_thumbnail", &["image/jpeg"]),
    ("get_hls_file", &["application/vnd.apple.mpegurl", "video/mp4"]),
    ("get_captions_vtt", &["text/vtt"]),
    ("get_captions_srt", &["application/x-subrip"]),
];

/// The document that `openapi.json` holds.
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(generated()).expect("an OpenAPI document is JSON");
    shapes::shorten_names(&mut document);
    shapes::add(&mut document);
    add_request_bodies(&mut document);
    add_event_stream(&mut document);
    document["servers"] = json!([{ "url": "/", "description": "This server" }]);
    document["info"]["contact"] =
        json!({ "name": "Reelstream", "url": "https://github.com/reelstream/reelstream" });
    document["info"]["license"] = json!({ "name": "Apache-2.0", "identifier": "Apache-2.0" });
    document["tags"] =
        TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    document["components"]["headers"] = shapes::headers();
    document["components"]["responses"] = error_responses();
    for route in routes() {
        complete(&mut document, &route);
    }
    document
}

/// The document as the endpoints declare it.
fn generated() -> OpenApi {
    let (versioned, unversioned): (Vec<Route>, Vec<Route>) =
        routes().into_iter().partition(|route| route.is_versioned);
    let collect = |router: Router, routes: Vec<Route>| {
        routes.into_iter().fold(router, |router, route| router.push(route.endpoint))
    };
    let router = Router::new()
        .push(collect(Router::with_path("api/v1"), versioned))
        .push(collect(Router::new(), unversioned));
    let bearer = Http::new(HttpAuthScheme::Bearer).bearer_format("JWT");
    OpenApi::with_info(
        Info::new("Reelstream", env!("CARGO_PKG_VERSION"))
            .description("Turns a topic or a script into a narrated MP4; every step is an immutable event."),
    )
    .add_security_scheme("bearer", SecurityScheme::Http(bearer))
    .merge_router(&router)
}

/// Adds the bodies that are JSON Schema, or files, and more than the generator can say.
fn add_request_bodies(document: &mut Value) {
    let (generate, definitions) = generate_schema::schema("/components/schemas");
    let (configuration, of_configuration) = generate_schema::configuration_schema();
    let batch = generate_schema::batch_schema("#/components/schemas/GenerateRequest");
    let files = json!({
        "type": "object",
        "properties": { "files": { "type": "array", "items": { "type": "string", "format": "binary" }, "minItems": 1, "maxItems": 10 } },
        "required": ["files"],
        "additionalProperties": false,
    });
    for (path, method, content_type, name) in [
        ("videos/generate", "post", JSON, "GenerateRequest"),
        ("videos/batch", "post", JSON, "BatchRequest"),
        ("configurations", "post", JSON, "ConfigurationRequest"),
        ("configurations/{configuration_id}", "put", JSON, "ConfigurationRequest"),
        ("uploads/content", "post", "multipart/form-data", "UploadRequest"),
    ] {
        let (path, content_type) = (path.replace('/', "~1"), content_type.replace('/', "~1"));
        let content = format!("/paths/~1api~1v1~1{path}/{method}/requestBody/content/{content_type}");
        let content = document.pointer_mut(&content).expect("the endpoint has such a body");
        content["schema"] = json!({ "$ref": format!("#/components/schemas/{name}") });
    }
    let schemas = &mut document["components"]["schemas"];
    schemas["GenerateRequest"] = generate;
    schemas["BatchRequest"] = batch;
    schemas["ConfigurationRequest"] = configuration;
    schemas["UploadRequest"] = files;
    for (name, definition) in definitions.into_iter().chain(of_configuration) {
        schemas[name] = definition;
    }
}

/// Adds that a job's events come as a stream, too.
fn add_event_stream(document: &mut Value) {
    let content = "/paths/~1api~1v1~1jobs~1{job_id}~1events/get/responses/200/content";
    let content = document.pointer_mut(content).expect("the endpoint answers with JSON");
    content["text/event-stream"] =
        json!({ "schema": { "type": "string" }, "example": examples::EVENT_STREAM });
}

/// An error that many endpoints may answer: its name among the components, its code, and what it means there.
type CommonError = (&'static str, ErrorCode, &'static str);

const BAD_REQUEST: CommonError = ("BadRequest", ErrorCode::BadRequest, "The request cannot be read");
const UNAUTHORIZED: CommonError = ("Unauthorized", ErrorCode::Unauthorized, "No valid session token");
const FORBIDDEN: CommonError = ("Forbidden", ErrorCode::Forbidden, "The caller's role may not call this");
const NOT_FOUND: CommonError = ("NotFound", ErrorCode::NotFound, "Unknown, or another user's");
const PRECONDITION: CommonError =
    ("PreconditionFailed", ErrorCode::PreconditionFailed, "What is there is none of what If-Match names");
const TIMED_OUT: CommonError =
    ("RequestTimeout", ErrorCode::RequestTimeout, "The body stood still, or took too long altogether");
const TOO_LARGE: CommonError = ("PayloadTooLarge", ErrorCode::PayloadTooLarge, "The body is too large");
const UNSUPPORTED: CommonError =
    ("UnsupportedMediaType", ErrorCode::UnsupportedMediaType, "The body is of a type that is not read here");
const NOT_SATISFIABLE: CommonError =
    ("RangeNotSatisfiable", ErrorCode::RangeNotSatisfiable, "The range lies outside the file");
const INVALID: CommonError = (
    "ValidationError",
    ErrorCode::ValidationError,
    "Some fields or parameters are not valid; each is listed",
);
const TOO_MANY: CommonError = (
    "TooManyRequests",
    ErrorCode::RateLimitExceeded,
    "Too much was asked for; Retry-After says when to ask again",
);
const UNAVAILABLE: CommonError = (
    "ServiceUnavailable",
    ErrorCode::ServiceUnavailable,
    "Out of reach for the moment; Retry-After says when to ask again",
);

const COMMON: [CommonError; 12] = [
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    TIMED_OUT,
    PRECONDITION,
    TOO_LARGE,
    UNSUPPORTED,
    NOT_SATISFIABLE,
    INVALID,
    TOO_MANY,
    UNAVAILABLE,
];

fn status_of(error: CommonError) -> String {
    error.1.http_status().to_string()
}

/// The common errors as components.
fn error_responses() -> Value {
    let responses = COMMON.map(|(name, code, about)| {
        let mut response = json!({
            "description": about,
            "content": { JSON: {
                "schema": { "$ref": "#/components/schemas/ErrorBody" },
                "example": examples::error(code),
            } },
        });
        add_headers(&mut response, &code.http_status().to_string(), "");
        (name.to_owned(), response)
    });
    Value::Object(Map::from_iter(responses))
}

/// Tells whether a route has parts that name something which may not be there.
fn names_something(route: &Route) -> bool {
    route.path.contains('{')
}

/// The common errors of one route.
fn errors_of(route: &Route, operation: &Value) -> Vec<CommonError> {
    let has_body = operation.get("requestBody").is_some();
    let parameters = operation["parameters"].as_array();
    let has_query = parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == "query"));
    let id = operation["operationId"].as_str().unwrap_or_default();
    let needs_token = route.access != Access::Public;
    let is_file = FILES.iter().any(|(file, _)| *file == id);
    // The message of a signed sender is read whatever its type is, and taken or not as a whole.
    let is_read_by_field = has_body && id != SIGNED_MESSAGE;
    let conditions = [
        (has_body, BAD_REQUEST),
        (needs_token, UNAUTHORIZED),
        (!matches!(route.access, Access::Public | Access::User), FORBIDDEN),
        (names_something(route), NOT_FOUND),
        (has_body, TIMED_OUT),
        (is_file, PRECONDITION),
        (has_body, TOO_LARGE),
        (is_read_by_field, UNSUPPORTED),
        (is_file && route.method == Method::GET, NOT_SATISFIABLE),
        (is_read_by_field || has_query, INVALID),
        // An address is limited whatever it asks for.
        (true, TOO_MANY),
        (needs_token, UNAVAILABLE),
    ];
    conditions.into_iter().filter(|(applies, _)| *applies).map(|(_, error)| error).collect()
}

/// Adds to the operation of a route what follows from the route.
fn complete(document: &mut Value, route: &Route) {
    let prefix = if route.is_versioned { "/api/v1/" } else { "/" };
    let pointer = format!(
        "/paths/{}/{}",
        format!("{prefix}{}", route.path).replace('~', "~0").replace('/', "~1"),
        route.method.as_str().to_ascii_lowercase()
    );
    let Some(operation) = document.pointer_mut(&pointer) else { return };
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    operation["security"] =
        if route.access == Access::Public { json!([]) } else { json!([{ "bearer": [] }]) };
    let errors = errors_of(route, operation);
    if FILES.iter().any(|(file, _)| *file == id) {
        add_file_conditions(operation, &route.method);
    }
    let responses = operation["responses"].as_object_mut().expect("an operation has responses");
    for error in errors {
        let described = || match route.method {
            // Without a body, which the component has.
            Method::HEAD => json!({ "description": error.2 }),
            _ => json!({ "$ref": format!("#/components/responses/{}", error.0) }),
        };
        responses.entry(status_of(error)).or_insert_with(described);
    }
    // Where another success is declared, the generator's own 200 says nothing.
    if ["101", "201", "204"].iter().any(|status| responses.contains_key(*status)) {
        responses.remove("200");
    }
    for (status, response) in responses.iter_mut() {
        if response.get("$ref").is_none() {
            describe_response(response, status, &id, &route.method);
        }
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    parameters.into_iter().flatten().for_each(describe_parameter);
    if route.method == Method::HEAD {
        operation["operationId"] = format!("head_{id}").into();
        operation["summary"] =
            format!("{}: the headers alone", operation["summary"].as_str().unwrap_or_default()).into();
    }
}

/// Adds the headers that a request for a file may have, and the answers that they lead to (RFC 9110, sections 13 and 14).
fn add_file_conditions(operation: &mut Value, method: &Method) {
    let conditions = [
        ("If-None-Match", "Versions of the file that the caller has: with one of them, 304."),
        ("If-Match", "Versions of the file that the caller wants: with none of them, 412."),
        ("Range", "The part that is wanted, in bytes. Several parts are answered with the whole file."),
        ("If-Range", "The version of the file of which a part is wanted: the whole of another is sent."),
    ];
    let is_of_get = |name: &str| *method == Method::GET || !name.contains("Range");
    let conditions = conditions.into_iter().filter(|(name, _)| is_of_get(name));
    let conditions = conditions.map(|(name, about)| {
        json!({ "name": name, "in": "header", "description": about, "required": false, "schema": { "type": "string" } })
    });
    operation["parameters"].as_array_mut().expect("a file is of a job").extend(conditions);
    let responses = operation["responses"].as_object_mut().expect("an operation has responses");
    let unchanged = json!({ "description": "The caller has the file: its ETag is one of If-None-Match" });
    responses.insert("304".to_owned(), unchanged);
    // Only of GET is said what a range means.
    if *method == Method::GET {
        responses.entry("206").or_insert_with(|| json!({ "description": "The part that was asked for" }));
    } else {
        responses.remove("206");
        responses.remove("416");
    }
}

/// Headers, an example, and what a file is.
fn describe_response(response: &mut Value, status: &str, id: &str, method: &Method) {
    add_headers(response, status, id);
    let is_success = status.starts_with('2');
    if let Some((_, types)) = FILES.iter().find(|(file, _)| *file == id).filter(|_| is_success) {
        let content = types.iter().map(|media_type| {
            let example = examples::file(media_type);
            let schema = match media_type.starts_with("text/") || media_type.contains("mpegurl") {
                true => json!({ "type": "string" }),
                false => json!({ "type": "string", "contentMediaType": media_type }),
            };
            ((*media_type).to_owned(), json!({ "schema": schema, "example": example }))
        });
        response["content"] = Value::Object(content.collect());
    }
    let example = match is_success {
        true => examples::success(id),
        false => examples::particular_error(id, status),
    };
    if let Some(content) = response.pointer_mut("/content/application~1json")
        && let Some(example) = example
    {
        content["example"] = example;
    }
    if let Some(content) = response.pointer_mut("/content/text~1plain")
        && let Some(example) = examples::text(id)
    {
        content["example"] = example.into();
    }
    if *method == Method::HEAD
        && let Some(response) = response.as_object_mut()
    {
        response.remove("content");
    }
}

fn add_headers(response: &mut Value, status: &str, id: &str) {
    let mut names = vec!["X-Request-Id"];
    let is_file = FILES.iter().any(|(file, _)| *file == id);
    match status {
        "201" if !["create_ticket", "upload_content"].contains(&id) => names.push("Location"),
        "206" => names.push("Content-Range"),
        "401" => names.push("WWW-Authenticate"),
        "416" => names.push("Content-Range"),
        "429" => names.extend(["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]),
        "503" => names.push("Retry-After"),
        _ => {}
    }
    if matches!(status, "200" | "201" | "206" | "304") && WITH_ETAG.contains(&id) {
        names.extend(["ETag", "Cache-Control"]);
    }
    if matches!(status, "200" | "206") && is_file {
        names.extend(["Accept-Ranges", "Content-Disposition"]);
    }
    if matches!(id, "generate_video" | "create_batch") && status == "201" {
        names.push("Idempotent-Replayed");
    }
    // Health tells what is unhealthy, and not when to ask again.
    if id == "get_health" {
        names.retain(|name| *name != "Retry-After");
    }
    for name in names {
        response["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

fn describe_parameter(parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    if let Some(choices) = shapes::choices(&name) {
        parameter["schema"]["enum"] = choices.into();
    }
    if let Some(example) = examples::parameter(&name) {
        parameter["example"] = example;
    }
}
