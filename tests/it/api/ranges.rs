//! Parts of files and preconditions (RFC 9110, sections 13 and 14), case by case.

use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{ALL_ROLES, System, error_of, files_under, short_request};

/// The answer that a case expects: a status, and the part of the file that is sent.
type Expected = (u16, Option<std::ops::Range<usize>>);

async fn send(system: &System, method: Method, path: &str, headers: &[(&str, String)]) -> Response {
    let request = headers
        .iter()
        .fold(system.request(method, path), |request, (name, value)| request.header(*name, value));
    request.send().await.unwrap()
}

// 000-4.2
#[tokio::test]
async fn ranges_and_preconditions_are_answered_as_the_rfc_says() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.completed(&short_request()).await;
    let path = format!("/api/v1/videos/jobs/{job_id}/download");
    let whole = system.get(&path).await;
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    let file = whole.bytes().await.unwrap();
    let n = file.len();
    let all = || Some(0..n);
    let (strong, weak, other) = (etag.clone(), format!("W/{etag}"), "\"other\"".to_owned());
    let date = "Fri, 27 Nov 2026 10:00:00 GMT".to_owned();

    let ranges: Vec<(String, Expected)> = vec![
        ("bytes=0-".into(), (206, all())),
        ("bytes=0-0".into(), (206, Some(0..1))),
        ("bytes=100-299".into(), (206, Some(100..300))),
        (format!("bytes={}-", n - 1), (206, Some(n - 1..n))),
        ("bytes=-1".into(), (206, Some(n - 1..n))),
        (format!("bytes=-{}", n + 1000), (206, all())),
        (format!("bytes=10-{}", n + 1000), (206, Some(10..n))),
        ("BYTES=0-9".into(), (206, Some(0..10))),
        // Several parts may be answered with the whole file.
        ("bytes=0-1,5-6".into(), (200, all())),
        (format!("bytes={}0-0", "0-0,".repeat(1000)), (200, all())),
        // Another unit, and no unit, are no ranges.
        ("lines=0-1".into(), (200, all())),
        ("0-1".into(), (200, all())),
        (format!("bytes={n}-"), (416, None)),
        ("bytes=-0".into(), (416, None)),
        ("bytes=9-3".into(), (416, None)),
        ("bytes=x-y".into(), (416, None)),
        ("bytes=".into(), (416, None)),
        ("bytes=18446744073709551616-".into(), (416, None)),
    ];
    for (range, (status, part)) in ranges {
        let answer = send(&system, Method::GET, &path, &[("Range", range.clone())]).await;
        assert_eq!(answer.status(), status, "{range}");
        let header = answer.headers().get("content-range").map(|value| value.to_str().unwrap().to_owned());
        match (status, part) {
            (416, _) => {
                assert_eq!(header.as_deref(), Some(format!("bytes */{n}").as_str()), "{range}");
                assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
                assert_eq!(error_of(answer).await.1["error_code"], "RANGE_NOT_SATISFIABLE");
            }
            (status, Some(part)) => {
                let expected = (status == 206).then(|| format!("bytes {}-{}/{n}", part.start, part.end - 1));
                assert_eq!(header, expected, "{range}");
                assert_eq!(answer.headers()["content-length"], part.len().to_string().as_str(), "{range}");
                assert_eq!(answer.bytes().await.unwrap(), file[part], "{range}");
            }
            (_, None) => unreachable!("{range} says nothing"),
        }
    }

    let part = "bytes=0-9".to_owned();
    let preconditions: Vec<(Vec<(&str, String)>, u16)> = vec![
        (vec![("If-Range", strong.clone()), ("Range", part.clone())], 206),
        // If-Range compares strongly, and there is no Last-Modified to compare with.
        (vec![("If-Range", weak.clone()), ("Range", part.clone())], 200),
        (vec![("If-Range", other.clone()), ("Range", part.clone())], 200),
        (vec![("If-Range", date.clone()), ("Range", part.clone())], 200),
        // A range that lies outside another version of the file is no error.
        (vec![("If-Range", other.clone()), ("Range", format!("bytes={n}-"))], 200),
        (vec![("If-None-Match", strong.clone())], 304),
        (vec![("If-None-Match", weak.clone())], 304),
        (vec![("If-None-Match", format!("{other}, {strong}"))], 304),
        (vec![("If-None-Match", "*".into())], 304),
        (vec![("If-None-Match", other.clone())], 200),
        (vec![("If-None-Match", strong.clone()), ("Range", part.clone())], 304),
        (vec![("If-Match", strong.clone())], 200),
        (vec![("If-Match", "*".into()), ("Range", part.clone())], 206),
        (vec![("If-Match", weak.clone())], 412),
        (vec![("If-Match", other.clone())], 412),
        (vec![("If-Match", other.clone()), ("If-None-Match", strong.clone())], 412),
    ];
    for (headers, status) in preconditions {
        for method in [Method::GET, Method::HEAD] {
            // Only of GET is said what a range means.
            let expected = if method == Method::HEAD && status == 206 { 200 } else { status };
            let answer = send(&system, method.clone(), &path, &headers).await;
            assert_eq!(answer.status(), expected, "{method} {headers:?}");
            let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
            if expected == 412 {
                // A refusal is JSON, and no file to save.
                assert!(kind.unwrap().starts_with("application/json"), "{method} {headers:?}");
                assert!(!answer.headers().contains_key("content-disposition"), "{method} {headers:?}");
            } else {
                assert_eq!(answer.headers()["etag"], etag.as_str(), "{method} {headers:?}");
            }
            if method == Method::HEAD && expected == 200 {
                assert_eq!(answer.headers()["content-length"], n.to_string().as_str(), "{headers:?}");
                assert_eq!(answer.headers()["accept-ranges"], "bytes");
            }
            if [304, 412].contains(&expected) && method == Method::HEAD || expected == 304 {
                assert!(answer.bytes().await.unwrap().is_empty(), "{method} {headers:?}");
            }
        }
    }

    // An empty file has no part.
    let captions =
        files_under(system.media()).into_iter().find(|file| file.ends_with("captions.vtt")).unwrap();
    std::fs::write(system.media().join(captions), b"").unwrap();
    let path = format!("/api/v1/videos/jobs/{job_id}/captions.vtt");
    let empty = system.get(&path).await;
    assert_eq!((empty.status().as_u16(), &empty.headers()["content-length"]), (200, &"0".parse().unwrap()));
    assert!(empty.bytes().await.unwrap().is_empty());
    for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
        let answer = send(&system, Method::GET, &path, &[("Range", range.into())]).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-range"]),
            (416, &"bytes */0".parse().unwrap())
        );
    }
    assert_eq!(send(&system, Method::HEAD, &path, &[("Range", "bytes=0-".into())]).await.status(), 200);
    system.running.stop().await;
}

// 002-8.3
#[tokio::test]
async fn all_faults_of_a_query_are_told_and_rejections_tell_the_state() {
    let system = System::start(&ALL_ROLES).await;
    let (status, error) =
        error_of(system.get("/api/v1/jobs?page=0&status=done&colour=1&sort=x&q=%00").await).await;
    assert_eq!((status, &error["error_code"]), (422, &json!("VALIDATION_ERROR")));
    let details = error["details"].as_array().unwrap();
    let mut named: Vec<&str> = details.iter().map(|detail| detail["loc"][1].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["colour", "page", "q", "sort", "status"]);
    let many: Vec<String> = (0..500).map(|number| format!("x{number}=1")).collect();
    let (_, error) = error_of(system.get(&format!("/api/v1/jobs?{}", many.join("&"))).await).await;
    assert_eq!(error["details"].as_array().unwrap().len(), 100);

    let job_id = system.completed(&short_request()).await;
    let admin = async |path: &str, kind: &str, body: &str| {
        let request = system.anonymous(Method::POST, path).bearer_auth(system.token("admin_1", "admin"));
        error_of(request.header("Content-Type", kind).body(body.to_owned()).send().await.unwrap()).await
    };
    let reprocess = format!("/api/v1/system/jobs/{job_id}/reprocess");
    let (status, error) = admin(&reprocess, "application/json", "{}").await;
    assert_eq!(status, 409);
    assert_eq!(
        error["details"],
        json!({ "status": "completed", "progress": 100.0, "current_stage": "completed" })
    );
    let (status, error) = admin(&format!("/api/v1/jobs/{job_id}/cancel"), "application/json", "").await;
    assert_eq!(
        (status, &error["details"]["status"], &error["details"]["progress"]),
        (409, &json!("completed"), &json!(100.0))
    );
    let (status, error) = admin(&reprocess, "application/json", r#"{"from_stage": 7, "x": 1, "y": 2}"#).await;
    let details = error["details"].as_array().unwrap();
    let mut named: Vec<String> =
        details.iter().map(|detail| format!("{} {}", detail["loc"][1], detail["type"])).collect();
    named.sort();
    assert_eq!(status, 422);
    assert_eq!(named, [r#""from_stage" "wrong_type""#, r#""x" "unknown_field""#, r#""y" "unknown_field""#]);
    for (kind, body, expected) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 422),
        ("application/json", r#"{"from_stage": "\ud800"}"#, 400),
        ("application/json", r#"{"from_stage": "lunch"}"#, 422),
        ("text/plain", "{}", 415),
        ("application/json", &format!("{{\"x\": \"{}\"}}", "x".repeat(20_000)), 413),
        ("application/json", &"[".repeat(10_000), 400),
    ] {
        assert_eq!(admin(&reprocess, kind, body).await.0, expected, "{kind} {}", &body[..body.len().min(40)]);
    }
    system.running.stop().await;
}
