//! How far what jobs are said to take is from what they take: 200 mixed jobs whose stages only pretend to work.
//! `cargo bench --features chaos --bench estimates`

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../tests/it/harness.rs"]
mod harness;
mod report;

use std::time::Duration;

use chrono::{DateTime, Utc};
use reelstream::app::Role;
use reelstream::consumers::rehearsal::{Rehearsal, handlers};
use serde_json::{Value, json};

use harness::{Running, Servers, System};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const LEARNED_FROM: usize = 40;
const MEASURED: usize = 200;

/// The same numbers in every run (an LCG, Numerical Recipes).
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % limit
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    report::write_section("estimates", &report);
}

/// Jobs of 5 to 200 seconds of narration of five users, in bursts and one by one.
async fn measure() -> String {
    let system = System::start_on(Servers::private(), &API_AND_PROJECTOR, |_| {}).await;
    let rehearsal = Rehearsal { scenes: 4, ms_per_second: 6, is_cpu_bound: true, ..Rehearsal::default() };
    let workers = Running::start_with(system.config.clone(), &[Role::Worker], handlers(rehearsal)).await;
    let mut numbers = Numbers(7);
    let mut promised = vec![];
    for number in 0..LEARNED_FROM + MEASURED {
        let script = "word ".repeat(13 + numbers.below(487) as usize);
        let user = format!("user_{}", numbers.below(5));
        let request = system.anonymous(reqwest::Method::POST, "/api/v1/videos/generate");
        let request = request.bearer_auth(system.token(&user, "user"));
        let body = json!({ "topic": "Words", "script": script, "quality": "low" });
        let accepted: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        promised.push((
            accepted["job_id"].as_str().unwrap().to_owned(),
            time(&accepted["created_at"]),
            time(&accepted["estimated_completion"]),
        ));
        // Every twentieth job begins a burst of five.
        if number % 20 >= 5 {
            tokio::time::sleep(Duration::from_millis(u64::from(60 + numbers.below(240)))).await;
        }
    }
    let mut errors = vec![];
    for (job_id, created_at, promised) in promised.split_off(LEARNED_FROM) {
        let request = |path: String| {
            let request = system.anonymous(reqwest::Method::GET, &path);
            request.bearer_auth(system.token("admin_1", "admin")).send()
        };
        let done = loop {
            let answer = request(format!("/api/v1/videos/jobs/{job_id}/status?wait=20")).await.unwrap();
            let status: Value = answer.json().await.unwrap();
            if !status["completed_at"].is_null() {
                break time(&status["completed_at"]);
            }
            assert_ne!(status["status"], "failed", "{status}");
        };
        let (took, off) = ((done - created_at).as_seconds_f64(), (done - promised).as_seconds_f64());
        errors.push(off.abs() / took.max(0.001));
    }
    errors.sort_by(f64::total_cmp);
    let quantile = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize] * 100.0;
    workers.stop().await;
    system.running.stop().await;
    format!(
        "## Estimates\n\n{MEASURED} mixed jobs whose stages pretend to work, after {LEARNED_FROM} to learn from: how far `estimated_completion` of the\nfirst answer is from the completion, by the time that the job took.\n\n| figure | value | wanted |\n| --- | ---: | ---: |\n| median absolute error | {:.0} % | under 25 % |\n| 90th percentile | {:.0} % | |\n",
        quantile(0.5),
        quantile(0.9)
    )
}
