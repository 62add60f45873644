//! Tenants: nobody learns anything of what is another user's, not even that it is there.
//!
//! The matrix is made of the OpenAPI document: every operation, with every id that its path, its query and its body may
//! hold, in every combination with what changes its answer. An operation that comes later is in it.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use reelstream::api::openapi;
use reelstream::app::Role;
use reelstream::projections::catalog::Catalog;
use reelstream::projections::rebuild;
use reqwest::Method;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::belongings::Belongings;
use super::schema::resolve;
use crate::harness::System;

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];
/// As long as every other id, and nothing's.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// Where an id stands in a request.
const HERE: &str = "{id}";

/// A request but for one id, which stands at [`HERE`].
#[derive(Debug, Clone)]
struct Case {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    is_socket: bool,
    /// What the id is of: the name of a path parameter.
    kind: &'static str,
}

/// What an answer shows, but for the time and the request's own id.
#[derive(Debug, PartialEq)]
struct Shown {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// What the ids of a field or a parameter are of.
fn kind_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "job_id" => "job_id",
        "batch_id" => "batch_id",
        "configuration_id" => "configuration_id",
        "upload_id" | "upload_ids" => "upload_id",
        _ => return None,
    })
}

#[track_caller]
fn kind_or_panic(name: &str, operation: &str) -> &'static str {
    kind_of(name).unwrap_or_else(|| {
        panic!("{operation}: this test does not know what `{name}` is the id of; add it to `kind_of`, and one to `Belongings`")
    })
}

fn is_id(name: &str, schema: &Value) -> bool {
    // Where names are listed, they are everybody's.
    schema["enum"].is_null()
        && (schema["format"] == "uuid" || name.ends_with("_id") || name.ends_with("_ids"))
}

/// All requests that an operation's ids make.
fn cases_of(document: &Value, method: &str, path: &str, operation: &Value, files: &[String]) -> Vec<Case> {
    let name = operation["operationId"].as_str().unwrap();
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    let (mut paths, mut kind) = (vec![path.to_owned()], None);
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let parameter = parameter["name"].as_str().unwrap();
        let place = format!("{{{parameter}}}");
        if parameter == "file" {
            let of_file =
                |path: &String| files.iter().map(|file| path.replace(&place, file)).collect::<Vec<_>>();
            paths = paths.iter().flat_map(of_file).collect();
        } else {
            assert_eq!(kind, None, "{name}: this test knows paths with one id only");
            kind = Some(kind_or_panic(parameter, name));
            paths.iter_mut().for_each(|path| *path = path.replace(&place, HERE));
        }
    }
    let body = operation["requestBody"]["content"]["application/json"].as_object();
    let example = body.map(|body| {
        let example = body.get("example").cloned().unwrap_or_else(|| json!({}));
        assert!(example.is_object(), "{name}: the example of its body is no object");
        example
    });
    let one = |path: &str, kind, body: Option<Value>| Case {
        method: method.to_uppercase().parse().unwrap(),
        path: path.to_owned(),
        headers: vec![],
        body,
        is_socket: operation["responses"]["101"].is_object(),
        kind,
    };
    let mut cases = vec![];
    if let Some(kind) = kind {
        cases.extend(paths.iter().map(|path| one(path, kind, example.clone())));
    }
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
        let parameter_name = parameter["name"].as_str().unwrap();
        if is_id(parameter_name, &parameter["schema"]) {
            let path = format!("{path}?{parameter_name}={HERE}");
            cases.push(one(&path, kind_or_panic(parameter_name, name), None));
        }
    }
    if let Some(body) = body {
        for (pointer, field) in id_fields(document, &body["schema"]) {
            let filled = with_id(example.clone().unwrap(), &pointer);
            cases.push(one(
                &path.replace(&format!("{{{}}}", kind.unwrap_or("-")), UNKNOWN),
                kind_or_panic(&field, name),
                Some(filled),
            ));
        }
    }
    let variants = cases.iter().flat_map(|case| variants(case, &parameters, operation));
    variants.collect()
}

/// The request, and the same with each of the headers that may change its answer.
fn variants(case: &Case, parameters: &[&Value], operation: &Value) -> Vec<Case> {
    let mut variants = vec![case.clone()];
    let mut add = |name: &str, value: &str| {
        let mut variant = case.clone();
        variant.headers.push((name.to_owned(), value.to_owned()));
        variants.push(variant);
    };
    for header in parameters.iter().filter(|parameter| parameter["in"] == "header") {
        let name = header["name"].as_str().unwrap();
        let value = header["example"].as_str().unwrap_or_else(|| panic!("the header {name} has no example"));
        add(name, value);
        if name.contains("Match") {
            add(name, "*");
        }
    }
    let media_types = operation["responses"]["200"]["content"].as_object();
    media_types.into_iter().flat_map(Map::keys).for_each(|media_type| add("Accept", media_type));
    variants
}

/// The places of all ids that a body may hold, and the names of their fields.
fn id_fields(document: &Value, schema: &Value) -> Vec<(Vec<String>, String)> {
    let mut found = vec![];
    collect_ids(document, schema, &mut vec![], &mut vec![], &mut found);
    found
}

fn collect_ids<'a>(
    document: &'a Value,
    schema: &'a Value,
    place: &mut Vec<String>,
    seen: &mut Vec<&'a str>,
    found: &mut Vec<(Vec<String>, String)>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        if !seen.contains(&reference) {
            seen.push(reference);
            collect_ids(document, resolve(document, reference).unwrap(), place, seen, found);
            seen.pop();
        }
        return;
    }
    for kind in ["anyOf", "oneOf", "allOf"] {
        for part in schema[kind].as_array().into_iter().flatten() {
            collect_ids(document, part, place, seen, found);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        place.push(name.clone());
        let is_list = property["items"].is_object();
        if is_id(name, property) || is_list && is_id(name, &property["items"]) {
            if is_list {
                place.push("0".to_owned());
            }
            found.push((place.clone(), name.clone()));
            if is_list {
                place.pop();
            }
        } else {
            collect_ids(document, property, place, seen, found);
        }
        place.pop();
    }
    if schema["items"].is_object() {
        place.push("0".to_owned());
        collect_ids(document, &schema["items"], place, seen, found);
        place.pop();
    }
}

/// The body with an id at a place. What is on the way to it is made of the example: `{"configuration": …}` holds all of it.
fn with_id(body: Value, place: &[String]) -> Value {
    let Some((first, rest)) = place.split_first() else { return HERE.into() };
    if first == "0" {
        let item = body.get(0).cloned().unwrap_or_else(|| json!({}));
        return json!([with_id(item, rest)]);
    }
    let mut body = body;
    match (body.get(first).cloned(), rest) {
        (Some(inner), _) => body[first] = with_id(inner, rest),
        (None, [] | [_]) if rest.is_empty() || rest[0] == "0" => body[first] = with_id(json!([]), rest),
        // A wrapper around all fields, beside which nothing else may be.
        (None, _) => {
            let inner = with_id(body, rest);
            let name = inner["name"].clone();
            body = json!({ first: inner });
            if !name.is_null() {
                body[first].as_object_mut().unwrap().remove("name");
                body["name"] = name;
            }
        }
    }
    body
}

impl Case {
    fn filled(&self, id: &str) -> Self {
        let body = self.body.as_ref().map(|body| body.to_string().replace(HERE, id));
        Self {
            path: self.path.replace(HERE, id),
            body: body.map(|body| serde_json::from_str(&body).unwrap()),
            ..self.clone()
        }
    }

    /// What `user_2` is shown.
    async fn shown(&self, system: &System, id: &str) -> Shown {
        let case = self.filled(id);
        let token = system.token("user_2", "user");
        if self.is_socket {
            return shown_by_socket(system, &case, &token, id).await;
        }
        let mut request = system.anonymous(case.method.clone(), &case.path).bearer_auth(token);
        for (name, value) in &case.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &case.body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), headers(answer.headers()));
        Shown { status, headers, body: comparable(&answer.text().await.unwrap(), id) }
    }
}

fn headers(headers: &reqwest::header::HeaderMap) -> BTreeMap<String, String> {
    let of_time = ["date", "x-request-id", "sec-websocket-accept"];
    let kept = headers.iter().filter(|(name, _)| !of_time.contains(&name.as_str()));
    kept.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

/// A body without what differs between any two answers.
fn comparable(body: &str, id: &str) -> String {
    let body = body.replace(id, HERE);
    let Ok(mut body) = serde_json::from_str::<Value>(&body) else { return body };
    for name in ["timestamp", "request_id"] {
        if let Some(value) = body.pointer_mut(&format!("/error/{name}")) {
            assert!(value.is_string());
            *value = Value::Null;
        }
    }
    body.to_string()
}

/// What the handshake and the messages of a socket show, until it is closed.
async fn shown_by_socket(system: &System, case: &Case, token: &str, id: &str) -> Shown {
    let host = system.running.url.strip_prefix("http://").unwrap();
    let mut request = format!("ws://{host}{}", case.path).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut socket, answer) = client_async(request, stream).await.unwrap();
    let mut said = String::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Ping(_) | Message::Pong(_) => {}
            other => said += &format!("{other:?}\n"),
        }
    }
    assert!(said.contains("4404"), "{said}");
    Shown {
        status: answer.status().as_u16(),
        headers: headers(answer.headers()),
        body: comparable(&said, id),
    }
}

/// What `user_1` sees of their things.
async fn seen_by_owner(system: &System, belongings: &Belongings) -> Vec<(u16, Value)> {
    let paths = [
        ("job_id", "videos/jobs/{}/status"),
        ("batch_id", "videos/batch/{}"),
        ("configuration_id", "configurations/{}"),
        ("upload_id", "uploads/{}"),
    ];
    let mut seen = vec![];
    for (kind, path) in paths {
        for id in &belongings.ids[kind] {
            let answer = system.get(&format!("/api/v1/{}", path.replace("{}", id))).await;
            let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
            let mut body: Value = serde_json::from_str(&comparable(&body, id)).unwrap();
            forget_estimates(&mut body);
            seen.push((status, body));
        }
    }
    seen
}

/// They change with the time.
fn forget_estimates(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("estimated_completion");
            fields.values_mut().for_each(forget_estimates);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_estimates),
        _ => {}
    }
}

// 002-2.5, 002-6.3
#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_user_s_looks_like_what_is_not_there() {
    let document = openapi();
    let system = System::start(&API_AND_PROJECTOR).await;
    let belongings = Belongings::make(&system).await;
    let before = seen_by_owner(&system, &belongings).await;
    let mut files = belongings.ids["file"].clone();
    files.push("nothing.m4s".to_owned());
    let (mut compared, mut kinds) = (0, BTreeMap::<&str, usize>::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for case in cases_of(&document, method, path, operation, &files) {
                let unknown = case.shown(&system, UNKNOWN).await;
                let again = case.shown(&system, UNKNOWN).await;
                assert_eq!(unknown, again, "{case:?}: two answers of the same kind differ");
                for id in &belongings.ids[case.kind] {
                    assert_eq!(case.shown(&system, id).await, unknown, "{case:?} of {id}");
                }
                compared += 1;
                *kinds.entry(case.kind).or_default() += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert_eq!(seen_by_owner(&system, &belongings).await, before, "nothing was changed");
    system.running.stop().await;
}

/// How many rows of each table of the read models a query without a condition finds; `None` where it is refused.
async fn rows_shown(pool: &PgPool, catalog: &Catalog) -> BTreeMap<String, Option<i64>> {
    let query = "select schemaname || '.' || tablename from pg_tables
                 where schemaname in ('catalog', 'library', 'trail') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
    let mut shown = BTreeMap::new();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let mut reader = catalog.reader().await.unwrap();
        let count = match sqlx::query_scalar(count).fetch_one(reader.connection()).await {
            Ok(count) => Some(count),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => None,
            Err(error) => panic!("{table}: {error}"),
        };
        shown.insert(table, count);
    }
    shown
}

// 002-2.5
#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_its_condition_finds_no_row_of_another_user() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let belongings = Belongings::make(&system).await;
    let models = system.read_models().await;
    let shown = async |user: &str| rows_shown(&models.pool, &models.catalog.seen_by(user)).await;
    let check = async || {
        let own = shown("user_1").await;
        let read = "catalog.batches catalog.jobs catalog.logs catalog.scenes catalog.stages catalog.user_jobs catalog.videos \
                    library.configurations library.heads library.uploads";
        for table in read.split_whitespace() {
            assert!(own[table] > Some(0), "{table} shows a user nothing of their own: {own:?}");
        }
        for user in ["user_2", "", "user_1' or true; reset role; --", "user_1\\"] {
            for (table, rows) in shown(user).await {
                assert!(matches!(rows, None | Some(0)), "{table} shows {user} {rows:?} rows of another user");
            }
        }
        let all = rows_shown(&models.pool, &models.catalog).await;
        assert!(all.values().all(Option::is_some), "who sees all is refused nothing: {all:?}");
    };
    check().await;
    // Where a table has no row, the log is asked.
    for job in &belongings.ids["job_id"] {
        let catalog = models.catalog.seen_by("user_2");
        let job = job.parse().unwrap();
        assert!(catalog.video(job).await.unwrap().is_none());
        assert!(catalog.scenes(job, 1).await.unwrap().is_empty());
        assert!(catalog.folded(job, u64::MAX).await.unwrap().is_none());
    }
    // A rebuild brings in other tables.
    for name in ["catalog", "library"] {
        rebuild::rebuild(&models.log, &models.model(name), false, &watch::Sender::default()).await.unwrap();
    }
    check().await;
    system.running.stop().await;
}

#[test]
fn ids_are_found_wherever_a_body_may_hold_them() {
    let document = openapi();
    let found = |name: &str| -> Vec<String> {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        id_fields(&document, &schema).into_iter().map(|(place, _)| place.join("/")).collect()
    };
    let of_one =
        ["configuration_id", "upload_ids/0", "configuration/configuration_id", "configuration/upload_ids/0"];
    assert_eq!(found("GenerateRequest"), of_one);
    assert_eq!(found("BatchRequest"), of_one.map(|place| format!("jobs/0/{place}")));
    let example = json!({ "jobs": [{ "topic": "Ions" }, { "topic": "Lamps" }] });
    let place = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        with_id(example.clone(), &place("jobs/0/configuration/upload_ids/0")),
        json!({ "jobs": [{ "configuration": { "topic": "Ions", "upload_ids": [HERE] } }] })
    );
    assert_eq!(
        with_id(example, &place("jobs/0/configuration_id")),
        json!({ "jobs": [{ "topic": "Ions", "configuration_id": HERE }] })
    );
}
