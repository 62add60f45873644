//! Who may call which endpoint: the route table, walked as a whole.

use reelstream::api::{self, Access, Role as UserRole, Route};
use reelstream::app::Role;
use serde_json::Value;

use crate::harness::System;

static API: [Role; 1] = [Role::Api];

const ROLES: [(&str, UserRole); 4] = [
    ("user", UserRole::User),
    ("analyst", UserRole::Analyst),
    ("auditor", UserRole::Auditor),
    ("admin", UserRole::Admin),
];

/// Where a route is, for a job that does not exist.
fn paths(route: &Route) -> Vec<String> {
    let path =
        route.path.replace("{job_id}", &uuid::Uuid::nil().to_string()).replace("{file}", "master.m3u8");
    let path = path.replace("{batch_id}", &uuid::Uuid::nil().to_string());
    ["/api/v1/", "/"].iter().map(|prefix| format!("{prefix}{path}")).collect()
}

// 002-6.1, 002-6.4
#[tokio::test]
async fn every_route_lets_those_through_whom_its_guard_names_and_nobody_else() {
    let system = System::start(&API).await;
    let tokens = ROLES.map(|(name, role)| (Some((name, role)), Some(system.token("someone", name))));
    let callers: Vec<_> = tokens.into_iter().chain([(None, None)]).collect();
    let routes = api::routes();
    assert!(routes.len() > 20);
    for route in &routes {
        for path in paths(route) {
            for (caller, token) in &callers {
                let mut request = system.anonymous(route.method.clone(), &path);
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let answer = request.send().await.unwrap();
                let status = answer.status().as_u16();
                let what = format!("{} {path} as {caller:?} ({:?}): {status}", route.method, route.access);
                match caller {
                    None if route.access != Access::Public => assert_eq!(status, 401, "{what}"),
                    Some((_, role)) if !route.access.allows(*role) => assert_eq!(status, 403, "{what}"),
                    _ => {
                        assert!(![401, 403, 405].contains(&status), "{what}");
                        let body = answer.text().await.unwrap();
                        assert!(!body.contains("there is nothing at this path"), "{what}");
                    }
                }
            }
        }
    }
    system.running.stop().await;
}

#[test]
fn what_is_not_for_every_user_is_guarded() {
    let open_to_users = ["system/jobs/{job_id}/cancel", "system/metrics", "system/queue-status"];
    let pages = ["openapi.json", "docs", "docs/{file}", "redoc"];
    let public = [&["webhooks/clerk", "system/health", "healthz", "readyz", "metrics"], &pages[..]].concat();
    for route in api::routes() {
        let expected = match route.path {
            path if public.contains(&path) => Access::Public,
            path if open_to_users.contains(&path) => Access::User,
            path if path.starts_with("system/") => Access::Admin,
            path if path.starts_with("audit/") => Access::Auditor,
            path if path.starts_with("analytics/") => Access::Analyst,
            _ => Access::User,
        };
        assert_eq!(route.access, expected, "{} {}", route.method, route.path);
    }
}

#[test]
fn the_openapi_document_says_what_the_guards_do() {
    let document: Value = api::openapi();
    let mut operations = 0;
    let pages = ["openapi.json", "docs", "docs/{file}", "redoc"];
    for route in api::routes().iter().filter(|route| !pages.contains(&route.path)) {
        let method = route.method.as_str().to_lowercase();
        let prefix = if route.is_versioned { "/api/v1" } else { "" };
        let operation = &document["paths"][format!("{prefix}/{}", route.path)][&method];
        assert!(operation["operationId"].is_string(), "{method} {} is not documented", route.path);
        let needs_token = route.access != Access::Public;
        let asks_for_one = operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(asks_for_one, needs_token, "{method} {}", route.path);
        // Sockets are refused to pages of other origins.
        let has_role =
            !matches!(route.access, Access::Public | Access::User) || route.path == "ws/jobs/{job_id}";
        assert_eq!(operation["responses"]["403"].is_object(), has_role, "{method} {}", route.path);
        operations += 1;
    }
    let documented = document["paths"].as_object().unwrap().values();
    let documented: usize = documented.map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(documented, operations, "nothing is served that is not in the table");
}
