//! Parses the body of `POST /videos/batch`. Each job in it is the body of `POST /videos/generate`, and all faults of all
//! jobs are reported, with the index of the job in their place.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;

use super::generate_request::{
    Defaults, Faults, Fields, Kind, Reader, References, Resolved, TITLE_CHARACTERS, not_json, read_object,
    read_request, recorded_bytes,
};
use super::problem::Problem;
use crate::domain::batch::MAX_JOBS;
use crate::events::{Priority, Quality, VideoRequest};

pub const BATCH_NAME_CHARACTERS: (usize, usize) = TITLE_CHARACTERS;
/// Bytes of JSON of all requests of a batch, as they are recorded: one append holds them.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

const FIELDS: [&str; 3] = ["jobs", "batch_priority", "batch_name"];

#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    pub name: Option<String>,
    pub priority: Priority,
    pub jobs: Vec<VideoRequest>,
}

/// Reads the ids that each job has in the places for them. All else is left to [`parse`], which refuses what is wrong.
pub fn references(body: &[u8]) -> Vec<References> {
    let Ok(fields) = serde_json::from_slice::<Fields>(body) else { return vec![] };
    let jobs = fields.get("jobs").copied().filter(|jobs| Kind::of(jobs) == Kind::Array);
    match jobs.and_then(|jobs| Items::read(jobs).ok()) {
        Some(items) if items.count <= MAX_JOBS => {
            items.first.into_iter().map(|item| References::of(item.get().as_bytes())).collect()
        }
        _ => vec![],
    }
}

/// Parses a body whose [`references`] were looked up: `resolved` has what was found for each job, in their order; jobs
/// past its end refer to nothing. `batch_priority` is the priority of those jobs for which neither they nor their
/// configuration name one.
pub fn parse(body: &[u8], default_quality: Quality, resolved: &[Resolved]) -> Result<BatchRequest, Problem> {
    let fields = read_object(body)?;
    let mut reader = Reader::new(&fields, vec!["body"]);
    let priority = reader.one_of("batch_priority", &Priority::ALL, Priority::name).unwrap_or_default();
    let name = reader.text("batch_name", BATCH_NAME_CHARACTERS);
    reader.refuse_unknown(&FIELDS);
    if !reader.is_given("jobs") {
        reader.fail(&["jobs"], "is required", "missing");
    }
    let items = match reader.of_kind("jobs", Kind::Array) {
        Some(jobs) => Items::read(jobs).map_err(not_json)?,
        None => return Err(reader.faults.into_problem()),
    };
    let expected = format!("must have 1 to {MAX_JOBS}");
    match items.count {
        0 => reader.fail(&["jobs"], format!("has no items, but {expected}"), "too_short"),
        1..=MAX_JOBS => {}
        count => {
            reader.fail(&["jobs"], format!("has {count} items, but {expected}"), "too_long");
            return Err(too_many(reader.faults, count));
        }
    }
    let defaults = Defaults { quality: default_quality, priority };
    let jobs = read_jobs(&items.first, defaults, resolved, &mut reader.faults)?;
    let bytes: usize = jobs.iter().map(recorded_bytes).sum();
    if bytes > MAX_BATCH_BYTES {
        let msg = format!(
            "would be recorded as {bytes} bytes of JSON, but must have at most {MAX_BATCH_BYTES}; send it as several batches"
        );
        reader.fail(&["jobs"], msg, "too_long");
    }
    if reader.faults.listed.is_empty() {
        Ok(BatchRequest { name, priority, jobs })
    } else {
        Err(reader.faults.into_problem())
    }
}

/// The jobs that are valid; what is wrong with the others is added to `faults`.
fn read_jobs(
    items: &[&RawValue],
    defaults: Defaults,
    resolved: &[Resolved],
    faults: &mut Faults,
) -> Result<Vec<VideoRequest>, Problem> {
    let mut jobs = Vec::with_capacity(items.len());
    let nothing = Resolved::default();
    for (index, item) in items.iter().enumerate() {
        let resolved = resolved.get(index).unwrap_or(&nothing);
        let place = index.to_string();
        match read_request(item, &["body", "jobs", &place], defaults, resolved).map_err(not_json)? {
            Ok(job) => jobs.push(job),
            Err(more) => faults.extend(more),
        }
    }
    Ok(jobs)
}

/// Beside the list of faults, the details say how to send as many jobs.
fn too_many(faults: Faults, count: usize) -> Problem {
    let details = json!({
        "max_batch_size": MAX_JOBS,
        "suggested_batches": count.div_ceil(MAX_JOBS),
        "errors": faults.into_list(),
    });
    let message = format!("a batch of {count} jobs is too large; send at most {MAX_JOBS} at a time");
    Problem { details, message, ..Problem::validation(vec![]) }
}

/// The items of an array: how many there are, and as many of the first as a batch may have.
struct Items<'a> {
    count: usize,
    first: Vec<&'a RawValue>,
}

impl<'a> Items<'a> {
    fn read(array: &'a RawValue) -> Result<Self, serde_json::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items<'de>, A::Error> {
                let mut first = vec![];
                while first.len() < MAX_JOBS {
                    match items.next_element()? {
                        Some(item) => first.push(item),
                        None => return Ok(Items { count: first.len(), first }),
                    }
                }
                let mut count = first.len();
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Items { count, first })
            }
        }
        serde_json::Deserializer::from_str(array.get()).deserialize_seq(Counting)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ConfigurationId, UploadId};

    fn parsed(body: &Value) -> Result<BatchRequest, Problem> {
        parse(body.to_string().as_bytes(), Quality::High, &[])
    }

    fn job() -> Value {
        json!({"topic": "Ions", "script": "They move."})
    }

    /// `field: type` of every fault.
    fn faults(body: &Value) -> Vec<String> {
        let problem = parsed(body).unwrap_err();
        assert_eq!(problem.code.name(), "VALIDATION_ERROR");
        let describe = |fault: &Value| {
            let loc: Vec<_> =
                fault["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            format!("{}: {}", loc.join("."), fault["type"].as_str().unwrap())
        };
        problem.details.as_array().unwrap().iter().map(describe).collect()
    }

    #[test]
    fn a_jobs_own_priority_wins_over_that_of_the_batch() {
        let mut own = job();
        own["priority"] = json!("low");
        let wrapped = json!({"configuration": job(), "priority": "urgent"});
        let body =
            json!({"jobs": [job(), own, wrapped], "batch_priority": "high", "batch_name": " Chemistry "});
        let batch = parsed(&body).unwrap();
        let priorities: Vec<Priority> = batch.jobs.iter().map(|job| job.priority).collect();
        assert_eq!(priorities, [Priority::High, Priority::Low, Priority::Urgent]);
        assert_eq!((batch.priority, batch.name.as_deref()), (Priority::High, Some("Chemistry")));
        assert_eq!(parsed(&json!({"jobs": [job()]})).unwrap().jobs[0].priority, Priority::Normal);
    }

    // 002-10.1, 002-8.3
    #[test]
    fn every_fault_of_every_job_names_its_index() {
        let body = json!({
            "jobs": [job(), {"topic": "x"}, 7, {"configuration": {"topic": "ab", "script": "x"}}, {"configuration": []}],
            "batch_priority": "now", "batch_name": "", "colour": 1,
        });
        assert_eq!(
            faults(&body),
            [
                "body.batch_priority: not_allowed",
                "body.batch_name: too_short",
                "body.colour: unknown_field",
                "body.jobs.1.topic: too_short",
                "body.jobs.1.context: missing",
                "body.jobs.2: wrong_type",
                "body.jobs.3.configuration.topic: too_short",
                "body.jobs.4.configuration: wrong_type",
            ]
        );
        assert_eq!(faults(&json!({})), ["body.jobs: missing"]);
        assert_eq!(faults(&json!({"jobs": []})), ["body.jobs: too_short"]);
        assert_eq!(faults(&json!({"jobs": {}})), ["body.jobs: wrong_type"]);
        assert_eq!(faults(&json!([job()])), ["body: wrong_type"]);
        let many = faults(&json!({ "jobs": vec![json!({ "a": 1, "b": 2 }); MAX_JOBS] }));
        assert_eq!((many.len(), many.last().unwrap().as_str()), (101, "body: and_more"));
    }

    #[test]
    fn each_job_has_what_was_found_for_it() {
        let (configuration_id, upload_id) = (Uuid::now_v7(), Uuid::now_v7());
        let mut configured = job();
        configured["configuration_id"] = json!(configuration_id);
        let mut uploaded = job();
        uploaded["upload_ids"] = json!([upload_id]);
        let body =
            json!({"jobs": [job(), configured, {"configuration": uploaded}, 7], "batch_priority": "high"});
        let of_jobs = references(body.to_string().as_bytes());
        let expected = [
            References::default(),
            References { configuration_id: Some(ConfigurationId(configuration_id)), ..References::default() },
            References { upload_ids: vec![UploadId(upload_id)], ..References::default() },
            References::default(),
        ];
        assert_eq!(of_jobs, expected);
        assert_eq!(
            faults(&body),
            [
                "body.jobs.1.configuration_id: unknown",
                "body.jobs.2.configuration.upload_ids.0: unknown",
                "body.jobs.3: wrong_type",
            ]
        );
        assert!(references(b"{").is_empty());
        assert!(references(json!({ "jobs": vec![job(); MAX_JOBS + 1] }).to_string().as_bytes()).is_empty());
    }

    #[test]
    fn too_many_jobs_are_refused_with_how_to_send_them() {
        let problem = parsed(&json!({ "jobs": vec![job(); MAX_JOBS + 1], "batch_priority": 1 })).unwrap_err();
        assert_eq!(
            (&problem.details["max_batch_size"], &problem.details["suggested_batches"]),
            (&json!(50), &json!(2))
        );
        let errors = problem.details["errors"].as_array().unwrap();
        assert_eq!(errors[1]["loc"], json!(["body", "jobs"]));
        assert_eq!(errors[1]["msg"], "has 51 items, but must have 1 to 50");
        let huge = format!("{{\"jobs\": [{}1]}}", "1,".repeat(1_000_000));
        let problem = parse(huge.as_bytes(), Quality::High, &[]).unwrap_err();
        assert_eq!(problem.details["suggested_batches"], 20_001);
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = format!("{{\"jobs\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let problem = parse(deep.as_bytes(), Quality::High, &[]).unwrap_err();
        assert_eq!(problem.details[0]["loc"], json!(["body", "jobs", "0"]));
        let nul = json!({"jobs": [{"topic": "Ions\0", "script": "x"}], "batch_name": "a\0"});
        assert_eq!(faults(&nul), ["body.batch_name: not_text", "body.jobs.0.topic: not_text"]);
        let half = br#"{"jobs": [{"topic": "Ions \ud800", "script": "x"}]}"#;
        let problem = parse(half, Quality::High, &[]).unwrap_err();
        assert_eq!(problem.details[0]["loc"], json!(["body", "jobs", "0", "topic"]));
        let mut long = job();
        long["script"] = json!("\u{20000}".repeat(200_000));
        assert_eq!(faults(&json!({ "jobs": vec![long; 11] })), ["body.jobs: too_long"]);
    }
}
