//! Lists of jobs, and the log lines of one.

use std::time::Duration;

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, short_request};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

async fn get(system: &System, user: &str, role: &str, path: &str) -> Value {
    let request = system.anonymous(Method::GET, path).bearer_auth(system.token(user, role));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

fn topics(answer: &Value) -> Vec<&str> {
    answer["jobs"].as_array().unwrap().iter().map(|job| job["topic"].as_str().unwrap()).collect()
}

// 002-4.4
#[tokio::test]
async fn jobs_are_listed_by_page_by_cursor_and_by_filter() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut ids = vec![];
    for number in 0..7 {
        let priority = if number < 2 { "urgent" } else { "low" };
        let body = json!({ "topic": format!("Topic {number}% of 100"), "script": "Ions move.", "quality": "low", "priority": priority });
        ids.push(system.generate(&body).await);
    }
    system.post(&format!("/api/v1/jobs/{}/cancel", ids[3]), &json!({})).await;
    let other =
        system.anonymous(Method::POST, "/api/v1/videos/generate").bearer_auth(system.token("user_2", "user"));
    assert_eq!(other.json(&short_request()).send().await.unwrap().status(), 201);
    system.read_models().await.caught_up().await;
    let own = async |query: &str| get(&system, "user_1", "user", &format!("/api/v1/jobs{query}")).await;

    let all = own("").await;
    assert_eq!((&all["total_count"], &all["has_next"], &all["page"]), (&json!(7), &json!(false), &json!(1)));
    assert_eq!(topics(&all)[0], "Topic 6% of 100", "newest first");
    assert_eq!(
        (&all["total_by_status"]["queued"], &all["total_by_status"]["cancelled"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(all["jobs"][0]["progress"]["current_stage"], "initializing");
    for (listed, description) in [(&all["jobs"][0], "Waiting for a worker"), (&all["jobs"][3], "Cancelled")] {
        let status = system.status(listed["job_id"].as_str().unwrap()).await;
        assert_eq!(listed["progress"]["stage_description"], description, "{listed}");
        assert_eq!(status["progress"]["stage_description"], description, "the same everywhere");
    }
    let second = own("?page=2&items_per_page=3&sort=created_at").await;
    assert_eq!(topics(&second), ["Topic 3% of 100", "Topic 4% of 100", "Topic 5% of 100"]);
    assert_eq!((&second["has_next"], &second["has_previous"]), (&json!(true), &json!(true)));

    // By cursor nothing is missed or doubled, whatever comes in between.
    let (mut seen, mut cursor) = (vec![], String::new());
    loop {
        let page = own(&format!("?items_per_page=2{cursor}")).await;
        seen.extend(topics(&page).into_iter().map(str::to_owned));
        system.generate(&short_request()).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).rev().map(|number| format!("Topic {number}% of 100")).collect();
    assert_eq!(seen, expected);

    assert_eq!(topics(&own("?status=cancelled").await), ["Topic 3% of 100"]);
    assert_eq!(own("?priority=urgent").await["total_count"], 2);
    assert_eq!(
        topics(&own("?q=TOPIC%204%25").await),
        ["Topic 4% of 100"],
        "in any case, and % is no wildcard"
    );
    let since = all["jobs"][1]["created_at"].as_str().unwrap();
    let until = all["jobs"][0]["created_at"].as_str().unwrap();
    assert_eq!(
        topics(&own(&format!("?created_after={since}&created_before={until}")).await),
        ["Topic 5% of 100"]
    );
    for (query, expected) in [
        ("?status=done", "one of queued, processing"),
        ("?items_per_page=101", "from 1 to 100"),
        ("?cursor=xyz", "next_cursor"),
        ("?created_after=today", "a time such as"),
        ("?sort=topic", "one of -created_at"),
    ] {
        let (status, error) = error_of(system.get(&format!("/api/v1/jobs{query}")).await).await;
        assert_eq!(status, 422, "{query}");
        assert!(error["details"][0]["msg"].as_str().unwrap().contains(expected), "{query}: {error}");
    }

    assert_eq!(topics(&get(&system, "user_2", "user", "/api/v1/jobs").await), ["Ions"], "nobody else's");
    let everybody = get(&system, "admin_1", "admin", "/api/v1/system/jobs?q=ions").await;
    assert!(everybody["total_count"].as_u64().unwrap() >= 1);
    assert_eq!(error_of(system.get("/api/v1/system/jobs").await).await.0, 403);
    system.running.stop().await;
}

// 002-4.4
#[tokio::test]
async fn jobs_are_listed_by_tag_and_in_every_order_and_pages_know_what_comes_before() {
    let system = System::start(&API_AND_PROJECTOR).await;
    for (topic, priority, tags) in [
        ("first", "low", json!(["Physics"])),
        ("second", "urgent", json!(["physics", "ions, and more"])),
        ("third", "normal", json!([])),
        ("fourth", "urgent", json!(["%"])),
        ("fifth", "high", json!(["ions"])),
    ] {
        let body = json!({ "topic": topic, "script": "Ions move.", "priority": priority, "tags": tags });
        system.generate(&body).await;
    }
    let models = system.read_models().await;
    models.caught_up().await;
    let own = async |query: &str| get(&system, "user_1", "user", &format!("/api/v1/jobs{query}")).await;
    assert_eq!(topics(&own("?tag=PHYSICS").await), ["second", "first"]);
    assert_eq!(topics(&own("?tag=ions").await), ["fifth"], "whole tags only");
    assert_eq!(topics(&own("?tag=ions%2C%20and%20more").await), ["second"]);
    assert_eq!(
        (own("?tag=%25").await["total_count"].clone(), own("?tag=ion").await["total_count"].clone()),
        (json!(1), json!(0))
    );
    let no_batch = own("?batch_id=00000000-0000-0000-0000-000000000000").await;
    assert_eq!((&no_batch["total_count"], &no_batch["has_previous"]), (&json!(0), &json!(false)));

    // The first is worked on last.
    let oldest = own("?sort=created_at&items_per_page=1").await;
    let oldest = oldest["jobs"][0]["job_id"].as_str().unwrap().to_owned();
    system.post(&format!("/api/v1/jobs/{oldest}/cancel"), &json!({})).await;
    models.caught_up().await;
    for (sort, expected) in [
        ("-created_at", ["fifth", "fourth", "third", "second", "first"]),
        ("created_at", ["first", "second", "third", "fourth", "fifth"]),
        ("-updated_at", ["first", "fifth", "fourth", "third", "second"]),
        ("updated_at", ["second", "third", "fourth", "fifth", "first"]),
        ("-priority", ["fourth", "second", "fifth", "third", "first"]),
        ("priority", ["first", "third", "fifth", "fourth", "second"]),
    ] {
        let (mut seen, mut pages, mut query) = (vec![], vec![], format!("?sort={sort}&items_per_page=2"));
        loop {
            let page = own(&query).await;
            seen.extend(topics(&page).into_iter().map(str::to_owned));
            pages.push((page["has_previous"].as_bool().unwrap(), page["has_next"].as_bool().unwrap()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            // A cursor knows its order.
            query = format!("?items_per_page=2&cursor={cursor}");
        }
        assert_eq!(seen, expected, "{sort}");
        assert_eq!(pages, [(false, true), (true, true), (true, false)], "{sort}");
    }

    // Nothing that matches comes before the place of a job that is not among the urgent ones.
    let page = own("?items_per_page=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let urgent = own(&format!("?priority=urgent&cursor={cursor}")).await;
    assert_eq!((topics(&urgent), &urgent["has_previous"]), (vec!["fourth", "second"], &json!(false)));
    assert_eq!(own("?page=9").await["has_previous"], true);
    let other_order = system.get(&format!("/api/v1/jobs?sort=priority&cursor={cursor}")).await;
    let (status, error) = error_of(other_order).await;
    assert_eq!((status, &error["details"][0]["loc"][1]), (422, &json!("cursor")));
    for query in ["?batch_id=x", "?batch_id=%00", "?tag=%00", "?sort=topic", "?cursor=%00"] {
        assert_eq!(error_of(system.get(&format!("/api/v1/jobs{query}")).await).await.0, 422, "{query}");
    }
    system.running.stop().await;
}

// 000-6.1, 002-3.2
#[tokio::test]
async fn a_jobs_log_lines_tell_what_happened() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;
    system.read_models().await.caught_up().await;
    let path = |query: &str| format!("/api/v1/jobs/{job_id}/logs{query}");
    let logs: Value = system.get(&path("")).await.json().await.unwrap();
    let messages: Vec<&str> =
        logs["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages[0], "A video was requested: low quality, normal priority");
    assert_eq!(messages.last(), Some(&"The video is ready"));
    assert_eq!(logs["total_count"], messages.len());
    assert!(
        logs["logs"].as_array().unwrap().iter().any(|line| line["level"] == "debug" && line["scene"] == 0),
        "{logs}"
    );
    let important: Value = system.get(&path("?level=warning")).await.json().await.unwrap();
    assert_eq!(important["logs"], json!([]));
    let two: Value = system.get(&path("?limit=2&offset=1")).await.json().await.unwrap();
    assert_eq!(two["logs"].as_array().unwrap().len(), 2);
    assert_eq!(two["logs"][0]["message"], messages[1]);
    assert_eq!(error_of(system.get(&path("?level=loud")).await).await.0, 422);
    let metadata: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap();
    let lines = metadata["processing"]["logs"].as_array().unwrap();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["level"] != "debug"), "{metadata}");
    system.running.stop().await;
}
