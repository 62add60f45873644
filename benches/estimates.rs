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

use harness::{Running, System};

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
    workers.stop().await;
    system.running.stop().await;
    format!(
        "## Estimates\n\n{MEASURED} mixed jobs whose stages pretend to work, after {LEARNED_FROM} to learn from: how far `estimated_completion` of the\nfirst answer is from the completion, by the time that the job took.\n\n| figure | value | wanted |\n| --- | ---: | ---: |\n| median absolute error | {:.0} % | under 25 % |\n| 90th percentile | {:.0} % | |\n",
        quantile(0.5),
        quantile(0.9)
    )
}
