//! How the scheduler shares many workers among many jobs, on a simulated clock: `cargo bench --features chaos --bench scheduler`

#![allow(clippy::unwrap_used, dead_code)]

mod report;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use reelstream::config::Streams;
use reelstream::consumers::rehearsal::Rehearsal;
use reelstream::consumers::simulation::{Fleet, Request, Simulated, SimulatedJob, simulate};
use reelstream::events::Priority;

use report::quantile;

/// Processor time for a second of video at 1080p, in ms: twelve videos of 96 s took 81 s on two cores (see "Under load").
const MS_PER_SECOND: u32 = 140;
/// Scenes of a video.
const SCENES: u32 = 10;
/// Words that are spoken in a second.
const WORDS_PER_SECOND: f64 = 2.5;

/// The same numbers in every run (an LCG, Numerical Recipes).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 24)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() * limit as f64) as usize
    }

    /// Time until the next of events that come so often in a second, by chance.
    fn pause(&mut self, per_second: f64) -> f64 {
        -(1.0 - self.next()).ln() / per_second
    }
}

fn fleet(workers: usize, processors: usize) -> Fleet {
    let streams = Streams::from_environment(&|_| None).unwrap();
    Fleet { workers, processors, max_scene_concurrency: 4, streams }
}

fn rehearsal() -> Rehearsal {
    Rehearsal { scenes: SCENES, ms_per_second: MS_PER_SECOND, is_cpu_bound: true, ..Rehearsal::default() }
}

fn request(at: f64, user: String, seconds: f64) -> Request {
    let words = (seconds * WORDS_PER_SECOND) as usize;
    Request { at: Duration::from_secs_f64(at), user_id: user, priority: Priority::Normal, words }
}

/// Videos of 30 to 180 s that come by chance, as many as keep so much of the slots busy. Some users ask far more often.
fn mixed(count: usize, users: usize, slots: usize, load: f64) -> Vec<Request> {
    let mut numbers = Numbers(11);
    let per_second = load * slots as f64 / (105.0 * f64::from(MS_PER_SECOND) / 1000.0);
    let mut at = 0.0;
    (0..count)
        .map(|_| {
            at += numbers.pause(per_second);
            let user = (numbers.next() * numbers.next() * users as f64) as usize;
            request(at, format!("user {user}"), 30.0 + numbers.below(150) as f64)
        })
        .collect()
}

fn seconds(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    times.map(|time| time.as_secs_f64()).collect()
}

/// How long jobs took, by the time that their work takes alone: 1 is as fast as can be.
fn slowdowns(found: &Simulated) -> BTreeMap<&str, Vec<f64>> {
    let mut by_user: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for job in &found.jobs {
        let work = job.plays_for.as_secs_f64() * f64::from(MS_PER_SECOND) / 1000.0;
        let slowdown = (job.completed - job.requested).as_secs_f64() / work;
        by_user.entry(&job.user_id).or_default().push(slowdown);
    }
    by_user
}

/// Jain's index over the mean slowdowns of users: 1 when all are served alike.
fn fairness(found: &Simulated) -> f64 {
    let means: Vec<f64> =
        slowdowns(found).values().map(|of_user| of_user.iter().sum::<f64>() / of_user.len() as f64).collect();
    let sum: f64 = means.iter().sum();
    sum * sum / (means.len() as f64 * means.iter().map(|mean| mean * mean).sum::<f64>())
}

fn stalled_share(found: &Simulated) -> f64 {
    let stalls = |job: &&SimulatedJob| job.stalled() > Duration::from_millis(500);
    found.jobs.iter().filter(stalls).count() as f64 / found.jobs.len() as f64 * 100.0
}

struct Table(String);

impl Table {
    fn row(&mut self, figure: &str, value: impl std::fmt::Display, wanted: &str) {
        writeln!(self.0, "| {figure} | {value} | {wanted} |").unwrap();
    }
}

fn main() {
    let mut table = Table("| figure | value | wanted |\n| --- | ---: | ---: |\n".to_owned());
    twelve_at_once(&mut table);
    more_workers(&mut table);
    many_users(&mut table);
    large_fleet(&mut table);
    let text = format!(
        "## The scheduler\n\nThe code that decides what follows what, on a simulated clock (`consumers/simulation`): {MS_PER_SECOND} ms of a core for a second of\nvideo, {SCENES} scenes a video, no time for Redis, no failures. A slot is a core. Every video has a viewer. Stalled: a viewer who begins as soon as they can waits\nfor later scenes for more than half a second in all.\n\n{}",
        table.0
    );
    report::write_section("scheduler", &text);
}

/// The same jobs as "Under load" measures.
fn twelve_at_once(table: &mut Table) {
    for (whose, users) in [("one user", 1), ("twelve users", 12)] {
        let requests: Vec<Request> =
            (0..12).map(|number| request(0.0, format!("user {}", number % users), 96.0)).collect();
        let found = simulate(&fleet(1, 2), &rehearsal(), &requests);
        let (playable, complete) = (
            seconds(found.jobs.iter().map(SimulatedJob::playable)),
            seconds(found.jobs.iter().map(|job| job.completed)),
        );
        let mean = complete.iter().sum::<f64>() / complete.len() as f64;
        table.row(
            &format!(
                "twelve videos of 96 s at once, of {whose}, two slots: all playable; the first complete, mean, last; stalled"
            ),
            format!(
                "{:.1} s; {:.1} s, {mean:.1} s, {:.1} s; {:.0} %",
                quantile(&playable, 1.0),
                quantile(&complete, 0.0),
                quantile(&complete, 1.0),
                stalled_share(&found)
            ),
            "",
        );
    }
}

fn more_workers(table: &mut Table) {
    let requests: Vec<Request> =
        (0..20).map(|number| request(0.0, format!("user {}", number % 5), 96.0)).collect();
    let takes = |workers| simulate(&fleet(workers, 2), &rehearsal(), &requests).makespan().as_secs_f64();
    let alone = takes(1);
    for (workers, wanted) in [(2, "at least 1.9"), (4, "at least 3.6")] {
        let ratio = format!("{:.2} times", alone / takes(workers));
        table.row(&format!("20 videos on {workers} workers of two slots, by one"), ratio, wanted);
    }
}

fn many_users(table: &mut Table) {
    let slots = 16;
    for load in [0.7, 0.95] {
        let found = simulate(&fleet(8, 2), &rehearsal(), &mixed(1000, 50, slots, load));
        let playable = seconds(found.jobs.iter().map(|job| job.playable() - job.requested));
        let all: Vec<f64> = slowdowns(&found).into_values().flatten().collect();
        table.row(
            &format!(
                "1,000 videos of 50 users on 8 workers, slots {:.0} % busy: playable after, p50 and p99; stalled",
                load * 100.0
            ),
            format!(
                "{:.1} s, {:.1} s; {:.0} %",
                quantile(&playable, 0.5),
                quantile(&playable, 0.99),
                stalled_share(&found)
            ),
            "",
        );
        table.row(
            "the same: time until complete by the work alone, p50 and p99; fairness among users (Jain's index)",
            format!("{:.1}, {:.1}; {:.2}", quantile(&all, 0.5), quantile(&all, 0.99), fairness(&found)),
            "",
        );
    }
}

fn large_fleet(table: &mut Table) {
    let (workers, slots) = (100, 200);
    let requests = mixed(10_000, 500, slots, 2.0);
    let began = Instant::now();
    let found = simulate(&fleet(workers, 2), &rehearsal(), &requests);
    let took = began.elapsed().as_secs_f64();
    let jobs = found.jobs.len() as f64;
    let calls = found.calls;
    table.row(
        "10,000 videos of 500 users on 100 workers, twice as many as they can make: share of the slots' time used",
        format!("{:.1} %", found.efficiency() * 100.0),
        "",
    );
    table.row(
        "the same: most jobs begun at a time; fairness among users",
        format!("{}; {:.2}", found.most_begun, fairness(&found)),
        "",
    );
    table.row(
        "the same: script calls that Redis gets for a video: appends, takes, looks; events",
        format!(
            "{:.0}, {:.0}, {:.0}; {:.0}",
            calls.appends as f64 / jobs,
            calls.takes as f64 / jobs,
            calls.looks as f64 / jobs,
            calls.events as f64 / jobs
        ),
        "",
    );
    let all = (calls.appends + calls.takes + calls.looks) as f64;
    table.row(
        "the same: calls a second that Redis gets from 200 busy cores",
        format!("{:.0}", all / found.makespan().as_secs_f64()),
        "",
    );
    println!("simulated in {took:.1} s");
}
