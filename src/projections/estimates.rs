//! When jobs will be done: from what waits, the slots of the workers, and how fast the last jobs were made.
//!
//! Pure: a [`Forecast`] is made of values that the catalog has, which follows the log. The work of a job is the time that
//! attempts at its stages take, by stage; it is learned from the last jobs as a line over the seconds of narration, with
//! younger jobs weighing more ([`Speeds`]). What is open is then served in the order in which workers serve it: what has
//! begun, then by priority, and among users by turns.
//!
//! Deliberately absent: the content of jobs, and any promise. A voice that is slower today is learned after some jobs.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::events::{Priority, Quality, Stage};
use crate::ids::JobId;

const STAGES: usize = Stage::ALL.len();
const QUALITIES: usize = Quality::ALL.len();

/// How fast words are spoken, pauses included.
const WORDS_PER_MINUTE: f64 = 150.0;
/// How much a job weighs beside the one after it: after fourteen jobs it weighs half.
const DECAY: f64 = 0.95;
/// How much a job weighs for qualities that it was not made in.
const FOREIGN_WEIGHT: f64 = 0.03;
/// How much the first guess weighs beside one job.
const GUESS_WEIGHT: f64 = 0.05;

/// Open jobs of a forecast: more than `limits.open_jobs` allows by default.
const MAX_OPEN: usize = 50_000;

/// The narration of so many words.
pub fn narration_seconds(words: usize) -> f64 {
    words as f64 / WORDS_PER_MINUTE * 60.0
}

/// Time that attempts take, in seconds, by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work(pub [f64; STAGES]);

impl Work {
    fn add(&mut self, other: &Work) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// The part that is left for a job that is so far.
    fn left_at(&self, percentage: f64) -> Work {
        let mut left = *self;
        for (stage, seconds) in Stage::ALL.into_iter().zip(&mut left.0) {
            let (start, end) = (stage.starts_at_percent(), stage.percent_at(1.0));
            *seconds *= ((end - percentage) / (end - start)).clamp(0.0, 1.0);
        }
        left
    }
}

/// A job that was completed.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub quality: Quality,
    pub narration_seconds: f64,
    pub work: Work,
}

/// A line that is fitted to weighted points (least squares), going nowhere below zero.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    weight: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn decay(&mut self, factor: f64) {
        for sum in [&mut self.weight, &mut self.x, &mut self.y, &mut self.xx, &mut self.xy] {
            *sum *= factor;
        }
    }

    fn add(&mut self, x: f64, y: f64, weight: f64) {
        self.weight += weight;
        self.x += weight * x;
        self.y += weight * y;
        self.xx += weight * x * x;
        self.xy += weight * x * y;
    }

    fn at(&self, x: f64) -> f64 {
        let spread = self.weight * self.xx - self.x * self.x;
        let slope = if spread > 1e-9 { (self.weight * self.xy - self.x * self.y) / spread } else { 0.0 };
        let start = (self.y - slope * self.x) / self.weight.max(1e-9);
        let through_zero = || self.xy / self.xx.max(1e-9) * x;
        match (slope, start) {
            // Longer jobs do not take less.
            (slope, _) if slope < 0.0 => self.y / self.weight.max(1e-9),
            (_, start) if start < 0.0 => through_zero(),
            (slope, start) => start + slope * x,
        }
    }
}

/// How long work takes, by quality and stage, over the seconds of narration.
#[derive(Debug, Clone)]
pub struct Speeds([[Line; STAGES]; QUALITIES]);

impl Default for Speeds {
    /// A first guess, until jobs were completed.
    fn default() -> Self {
        let mut lines = [[Line::default(); STAGES]; QUALITIES];
        for (quality, lines) in Quality::ALL.into_iter().zip(&mut lines) {
            let size = pixels(quality) / pixels(Quality::High);
            for (stage, line) in Stage::ALL.into_iter().zip(lines) {
                let (start, slope) = match stage {
                    Stage::Initializing | Stage::Planning => (0.02, 0.0),
                    Stage::ScenarioCreation => (0.2, 0.03),
                    Stage::CodeGeneration => (0.05, 0.005),
                    Stage::Rendering => (0.2, 0.06 * size),
                    Stage::Combining => (0.05, 0.005 * size),
                    Stage::Storage => (0.1, 0.03 * size),
                };
                for seconds in [5.0, 120.0] {
                    line.add(seconds, start + slope * seconds, GUESS_WEIGHT);
                }
            }
        }
        Self(lines)
    }
}

fn pixels(quality: Quality) -> f64 {
    let (width, height) = quality.dimensions();
    f64::from(width) * f64::from(height)
}

impl Speeds {
    /// Learns from jobs in the order in which they were completed.
    pub fn learn(samples: &[Sample]) -> Self {
        samples.iter().fold(Self::default(), Self::and)
    }

    fn and(mut self, sample: &Sample) -> Self {
        for (quality, lines) in Quality::ALL.into_iter().zip(&mut self.0) {
            let is_own = quality == sample.quality;
            let size = pixels(quality) / pixels(sample.quality);
            for ((stage, line), seconds) in Stage::ALL.into_iter().zip(lines).zip(sample.work.0) {
                let scale = match stage {
                    Stage::Rendering | Stage::Combining | Stage::Storage => size,
                    Stage::Initializing
                    | Stage::Planning
                    | Stage::ScenarioCreation
                    | Stage::CodeGeneration => 1.0,
                };
                let weight = if is_own { 1.0 } else { FOREIGN_WEIGHT };
                line.decay(if is_own { DECAY } else { 1.0 });
                line.add(sample.narration_seconds, seconds * scale, weight);
            }
        }
        self
    }

    /// The work that a job of so much narration takes.
    pub fn work(&self, quality: Quality, narration_seconds: f64) -> Work {
        let known = Quality::ALL.into_iter().position(|known| known == quality).unwrap_or(0);
        Work(self.0[known].map(|line| line.at(narration_seconds)))
    }
}

/// How much is worked on at a time, by all workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slots {
    pub of_stage: [f64; STAGES],
    /// Pieces of one job at a time, in stages that go scene by scene.
    pub scenes_of_job: f64,
    /// Pieces of all stages together: the processor slots that they share.
    pub of_all: f64,
}

impl Slots {
    /// How long it takes until so much work of all jobs is done: what they share holds them up, or the stage that takes the
    /// longest.
    fn seconds_for(&self, work: &Work) -> f64 {
        let together = work.0.iter().sum::<f64>() / self.of_all.max(1.0);
        let stages = work.0.iter().zip(self.of_stage).map(|(seconds, slots)| seconds / slots.max(1.0));
        stages.fold(together, f64::max)
    }

    /// How long one job takes that has the workers to itself. Its scenes flow through their stages side by side.
    fn seconds_alone(&self, work: &Work) -> f64 {
        let (mut whole, mut scenes, mut longest) = (0.0, 0.0, 0.0_f64);
        for ((stage, seconds), slots) in Stage::ALL.into_iter().zip(work.0).zip(self.of_stage) {
            // Where no length is asked for, each scene is narrated by itself.
            if stage.is_per_scene() || stage == Stage::ScenarioCreation {
                scenes += seconds;
                longest = longest.max(seconds / self.scenes_of_job.min(slots).max(1.0));
            } else {
                whole += seconds;
            }
        }
        whole + longest.max(scenes / self.of_all.max(1.0))
    }
}

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenJob {
    pub job_id: JobId,
    pub user_id: String,
    pub priority: Priority,
    pub quality: Quality,
    pub has_begun: bool,
    pub percentage: f64,
    pub created_at: DateTime<Utc>,
    /// As long as it is expected to be, or was measured.
    pub narration_seconds: f64,
}

/// When each open job will be done, as of a moment.
#[derive(Debug, Clone)]
pub struct Forecast {
    at: DateTime<Utc>,
    speeds: Speeds,
    slots: Slots,
    completions: HashMap<JobId, DateTime<Utc>>,
    /// The work of jobs that come before a new one, by its priority.
    ahead: [Work; Priority::ALL.len()],
}

impl Forecast {
    pub fn new(at: DateTime<Utc>, speeds: Speeds, slots: Slots, mut jobs: Vec<OpenJob>) -> Self {
        jobs.sort_by_key(|job| job.created_at);
        let mut rounds: HashMap<(String, Priority), u32> = HashMap::new();
        let mut ordered: Vec<(bool, Priority, u32, OpenJob)> = jobs
            .into_iter()
            .map(|job| {
                if job.has_begun {
                    // What has begun is finished first, whatever its priority.
                    return (false, Priority::Urgent, 0, job);
                }
                let round = rounds.entry((job.user_id.clone(), job.priority)).or_default();
                *round += 1;
                (true, job.priority, *round, job)
            })
            .collect();
        ordered.sort_by_key(|(waits, priority, round, job)| (*waits, *priority, *round, job.created_at));
        let (mut before, mut completions) = (Work::default(), HashMap::with_capacity(ordered.len()));
        let mut ahead = [Work::default(); Priority::ALL.len()];
        for (_, _, _, job) in &ordered {
            let own = speeds.work(job.quality, job.narration_seconds).left_at(job.percentage);
            let seconds = slots.seconds_for(&before) + slots.seconds_alone(&own);
            completions.insert(job.job_id, later(at, seconds));
            before.add(&own);
            for (priority, ahead) in Priority::ALL.into_iter().zip(&mut ahead) {
                if job.has_begun || job.priority <= priority {
                    ahead.add(&own);
                }
            }
        }
        Self { at, speeds, slots, completions, ahead }
    }

    /// When a job will be done; `None` for one that was not open yet.
    pub fn completion_of(&self, job: JobId) -> Option<DateTime<Utc>> {
        self.completions.get(&job).copied()
    }

    /// Takes a job in that nobody knew of when the forecast was made, and tells when it will be done.
    pub fn accept(&mut self, job: &OpenJob) -> DateTime<Utc> {
        if let Some(known) = self.completion_of(job.job_id) {
            return known;
        }
        let completion =
            self.completion_of_new(job.created_at, job.priority, job.quality, job.narration_seconds);
        let own = self.speeds.work(job.quality, job.narration_seconds).left_at(job.percentage);
        for (priority, ahead) in Priority::ALL.into_iter().zip(&mut self.ahead) {
            if job.priority <= priority {
                ahead.add(&own);
            }
        }
        // While the catalog is away, no new forecast forgets the jobs that have ended.
        if self.completions.len() < MAX_OPEN {
            self.completions.insert(job.job_id, completion);
        }
        completion
    }

    /// When a job will be done that nobody knew of when the forecast was made.
    pub fn completion_of_new(
        &self,
        created_at: DateTime<Utc>,
        priority: Priority,
        quality: Quality,
        narration_seconds: f64,
    ) -> DateTime<Utc> {
        let own = self.speeds.work(quality, narration_seconds);
        let since = (created_at - self.at).num_milliseconds().max(0) as f64 / 1000.0;
        let wait = (self.wait_of_new(priority) - since).max(0.0);
        later(created_at, wait + self.slots.seconds_alone(&own))
    }

    /// Seconds after which a new job begins.
    pub fn wait_of_new(&self, priority: Priority) -> f64 {
        let known = Priority::ALL.into_iter().position(|known| known == priority).unwrap_or(0);
        self.slots.seconds_for(&self.ahead[known])
    }
}

fn later(from: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    // A year is as good as for ever.
    from + TimeDelta::milliseconds((seconds.clamp(0.0, 3.2e7) * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// Work of a job that renders at `factor` seconds a second.
    fn sample(quality: Quality, narration_seconds: f64, factor: f64) -> Sample {
        let mut work = Work::default();
        work.0[Stage::Rendering as usize] = 1.0 + factor * narration_seconds;
        work.0[Stage::Storage as usize] = 0.5;
        Sample { quality, narration_seconds, work }
    }

    fn rendering(speeds: &Speeds, quality: Quality, narration_seconds: f64) -> f64 {
        speeds.work(quality, narration_seconds).0[Stage::Rendering as usize]
    }

    #[test]
    fn the_speed_of_the_last_jobs_is_learned_with_their_fixed_part() {
        let lengths = [5.0, 60.0, 20.0, 120.0, 10.0];
        let samples: Vec<Sample> =
            lengths.iter().cycle().take(40).map(|length| sample(Quality::Low, *length, 0.1)).collect();
        let speeds = Speeds::learn(&samples);
        for length in [5.0, 90.0, 600.0] {
            let (found, expected) = (rendering(&speeds, Quality::Low, length), 1.0 + 0.1 * length);
            assert!((found / expected - 1.0).abs() < 0.1, "{length}: {found}, not {expected}");
        }
        // The machine is twice as slow now.
        let slower: Vec<Sample> =
            lengths.iter().cycle().take(60).map(|length| sample(Quality::Low, *length, 0.2)).collect();
        let speeds = Speeds::learn(&[samples, slower].concat());
        assert!((rendering(&speeds, Quality::Low, 100.0) / 21.0 - 1.0).abs() < 0.1);
        // Another quality follows by its size, until it has jobs of its own.
        let larger = rendering(&speeds, Quality::High, 100.0);
        assert!(larger > 2.0 * rendering(&speeds, Quality::Low, 100.0), "{larger}");
    }

    #[test]
    fn a_line_is_never_below_zero_and_never_falls() {
        let mut line = Line::default();
        assert_eq!(line.at(10.0), 0.0);
        line.add(10.0, 1.0, 1.0);
        assert_eq!(line.at(10.0), 1.0);
        line.add(100.0, 30.0, 1.0);
        assert!(line.at(0.0) >= 0.0 && line.at(1.0) > 0.0);
        line.add(200.0, 0.0, 5.0);
        assert!(line.at(1000.0) >= 0.0);
        assert!(Speeds::default().work(Quality::Ultra, 60.0).0.iter().all(|seconds| *seconds >= 0.0));
    }

    fn slots(of_all: f64) -> Slots {
        Slots { of_stage: [of_all; STAGES], scenes_of_job: 1.0, of_all: f64::INFINITY }
    }

    fn open(user: &str, priority: Priority, created: i64, has_begun: bool) -> OpenJob {
        OpenJob {
            job_id: JobId::new(),
            user_id: user.to_owned(),
            priority,
            quality: Quality::Low,
            has_begun,
            percentage: if has_begun { 80.0 } else { 0.0 },
            created_at: at(created),
            narration_seconds: 90.0,
        }
    }

    #[test]
    fn what_has_begun_is_done_first_then_by_priority_then_users_by_turns() {
        let jobs = [
            open("a", Priority::Normal, 1, false),
            open("a", Priority::Normal, 2, false),
            open("b", Priority::Normal, 3, false),
            open("c", Priority::Urgent, 4, false),
            open("a", Priority::Low, 0, true),
        ];
        let ids: Vec<JobId> = jobs.iter().map(|job| job.job_id).collect();
        let speeds = Speeds::learn(&vec![sample(Quality::Low, 90.0, 0.1); 30]);
        let forecast = Forecast::new(at(10), speeds, slots(1.0), jobs.to_vec());
        let mut order = vec![4, 3, 0, 2, 1];
        order.sort_by_key(|index| forecast.completion_of(ids[*index]).unwrap());
        assert_eq!(order, [4, 3, 0, 2, 1]);
        let after = |index: usize| {
            (forecast.completion_of(ids[index]).unwrap() - at(10)).num_milliseconds() as f64 / 1000.0
        };
        // Each renders for 10 s on the one slot, and is stored in half a second.
        assert!((after(4) - 10.5).abs() < 1.5, "{}", after(4));
        assert!((after(1) - after(2) - 10.0).abs() < 1.0, "{} {}", after(1), after(2));
        assert!(forecast.completion_of(JobId::new()).is_none());
        // A new urgent job waits for what has begun and what is urgent; one of low priority for all.
        let wait = |priority| forecast.wait_of_new(priority);
        assert!(wait(Priority::Urgent) + 20.0 < wait(Priority::Normal));
        assert!(wait(Priority::Normal) <= wait(Priority::Low));
        let new = forecast.completion_of_new(at(11), Priority::Normal, Quality::Low, 90.0);
        assert!(new > forecast.completion_of(ids[1]).unwrap());
        assert!(new < at(11) + TimeDelta::seconds(80));
    }

    struct Simulated {
        open: OpenJob,
        starts: f64,
        ends: f64,
    }

    impl Simulated {
        fn sample(&self) -> Sample {
            let mut work = Work::default();
            work.0[Stage::Rendering as usize] = self.ends - 0.5 - self.starts;
            work.0[Stage::Storage as usize] = 0.5;
            Sample { quality: Quality::Low, narration_seconds: self.open.narration_seconds, work }
        }

        fn open_at(&self, now: f64) -> OpenJob {
            let done = ((now - self.starts) / (self.ends - self.starts)).clamp(0.0, 1.0);
            let has_begun = self.starts <= now;
            OpenJob {
                has_begun,
                percentage: if has_begun { 80.0 + 10.0 * done } else { 0.0 },
                ..self.open.clone()
            }
        }
    }

    /// Jobs of mixed lengths come at random to two slots that serve them in order, each up to a quarter faster or slower than
    /// the others: what a new job is told, against what becomes of it.
    #[test]
    fn in_a_simulation_of_200_mixed_jobs_the_median_error_is_under_a_quarter() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1_u32 << 24)
        };
        let moment = |seconds: f64| later(at(0), seconds);
        let (mut jobs, mut free, mut now): (Vec<Simulated>, [f64; 2], f64) = (vec![], [0.0; 2], 0.0);
        let (mut errors, mut longest_wait): (Vec<f64>, f64) = (vec![], 0.0);
        for number in 0..240 {
            now += if random() < 0.2 { 0.0 } else { random() * 18.0 };
            let narration_seconds = 5.0 + random() * 195.0;
            let seconds = (1.0 + 0.1 * narration_seconds) * (0.75 + random() * 0.5);
            let slot = if free[0] <= free[1] { 0 } else { 1 };
            let starts = free[slot].max(now);
            free[slot] = starts + seconds;
            let ends = starts + seconds + 0.5;
            longest_wait = longest_wait.max(starts - now);
            let (done, running): (Vec<&Simulated>, Vec<&Simulated>) =
                jobs.iter().partition(|job| job.ends <= now);
            let samples: Vec<Sample> = done.into_iter().map(Simulated::sample).collect();
            let open_jobs = running.into_iter().map(|job| job.open_at(now)).collect();
            let forecast = Forecast::new(moment(now), Speeds::learn(&samples), slots(2.0), open_jobs);
            let told =
                forecast.completion_of_new(moment(now), Priority::Normal, Quality::Low, narration_seconds);
            if number >= 40 {
                let told = (told - moment(now)).num_milliseconds() as f64 / 1000.0;
                errors.push((told - (ends - now)).abs() / (ends - now));
            }
            let open = OpenJob {
                narration_seconds,
                created_at: moment(now),
                ..open("a", Priority::Normal, 0, false)
            };
            jobs.push(Simulated { open, starts, ends });
        }
        assert!(longest_wait > 20.0, "some wait: {longest_wait}");
        errors.sort_by(f64::total_cmp);
        let median = errors[errors.len() / 2];
        assert!(median < 0.25, "{median}");
    }

    #[test]
    fn what_was_accepted_since_is_ahead_of_what_comes_next() {
        let speeds = Speeds::learn(&vec![sample(Quality::Low, 90.0, 0.1); 30]);
        let mut forecast = Forecast::new(at(0), speeds, slots(1.0), vec![]);
        let jobs: Vec<OpenJob> = (0..4).map(|_| open("a", Priority::Normal, 0, false)).collect();
        let told: Vec<DateTime<Utc>> = jobs.iter().map(|job| forecast.accept(job)).collect();
        for pair in told.windows(2) {
            let apart = (pair[1] - pair[0]).as_seconds_f64();
            assert!((apart - 10.0).abs() < 1.0, "each renders for 10 s, and waits for those before: {apart}");
        }
        assert_eq!(forecast.accept(&jobs[0]), told[0], "it is known already");
        assert_eq!(forecast.completion_of(jobs[3].job_id), Some(told[3]));
        let urgent = forecast.accept(&open("b", Priority::Urgent, 0, false));
        assert!(urgent <= told[0], "it waits for nobody");
    }

    #[test]
    fn a_forecast_that_is_never_made_anew_stays_bounded() {
        let mut forecast = Forecast::new(at(0), Speeds::default(), slots(1.0), vec![]);
        for _ in 0..MAX_OPEN + 10 {
            forecast.accept(&open("a", Priority::Normal, 0, false));
        }
        assert_eq!(forecast.completions.len(), MAX_OPEN);
    }

    #[test]
    fn stages_that_share_processors_hold_each_other_up() {
        let work = Work([1.0; STAGES]);
        let slots = |of_all| Slots { of_stage: [2.0; STAGES], scenes_of_job: 2.0, of_all };
        assert_eq!(slots(f64::INFINITY).seconds_for(&work), 0.5);
        assert_eq!(slots(2.0).seconds_for(&work), STAGES as f64 / 2.0);
        // Three stages go scene by scene, and four in one piece.
        assert_eq!(slots(2.0).seconds_alone(&work), 4.0 + 1.5);
        assert_eq!(slots(f64::INFINITY).seconds_alone(&work), 4.0 + 0.5);
    }

    #[test]
    fn twice_the_slots_halve_the_wait_and_nothing_waits_when_nothing_is_open() {
        let jobs: Vec<OpenJob> = (0..10).map(|number| open("a", Priority::Normal, number, false)).collect();
        let wait = |slots: Slots, jobs: &[OpenJob]| {
            Forecast::new(at(20), Speeds::default(), slots, jobs.to_vec()).wait_of_new(Priority::Normal)
        };
        let (one, two) = (wait(slots(1.0), &jobs), wait(slots(2.0), &jobs));
        assert!((one / two - 2.0).abs() < 1e-6, "{one} {two}");
        assert_eq!(wait(slots(1.0), &[]), 0.0);
    }

    #[test]
    fn what_is_left_falls_with_the_percentage() {
        let work = Work([1.0; STAGES]);
        let sum = |percentage| work.left_at(percentage).0.iter().sum::<f64>();
        assert_eq!(sum(0.0), 7.0);
        assert_eq!(sum(50.0), 4.0, "code generation and what follows");
        assert!((sum(85.0) - 2.5).abs() < 1e-9, "half of rendering, and what follows");
        assert_eq!(sum(100.0), 0.0);
    }
}
