//! The settings of streams.toml that a running process can change: limits and rates.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    Error, JOBS, MAX_JOBS, MAX_MIB, MAX_REQUESTS, MIB_OR_MORE, MIB_OR_NONE, Rate, RateLimits, Streams,
};

const MIB: u64 = 1024 * 1024;
const EXPECTED_RATE: &str =
    "requests a second and a burst, such as 50/500, each from 0 to 1000000; 0/0 is no limit";

/// The text is the name: its place in streams.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
pub enum Tunable {
    #[strum(serialize = "limits.open_jobs")]
    OpenJobs,
    #[strum(serialize = "limits.open_jobs_per_user")]
    OpenJobsPerUser,
    #[strum(serialize = "limits.open_urgent_jobs_per_user")]
    OpenUrgentJobsPerUser,
    #[strum(serialize = "limits.open_requests_mib")]
    OpenRequestsMib,
    #[strum(serialize = "limits.open_requests_mib_per_user")]
    OpenRequestsMibPerUser,
    #[strum(serialize = "limits.upload_mib_per_user")]
    UploadMibPerUser,
    #[strum(serialize = "limits.min_free_mb")]
    MinFreeMb,
    #[strum(serialize = "limits.max_memory_mb")]
    MaxMemoryMb,
    #[strum(serialize = "rate_limits.address")]
    RateOfAddress,
    #[strum(serialize = "rate_limits.read")]
    RateOfReads,
    #[strum(serialize = "rate_limits.write")]
    RateOfWrites,
    #[strum(serialize = "rate_limits.generate")]
    RateOfGenerate,
    #[strum(serialize = "rate_limits.live")]
    RateOfLive,
}

/// A number in streams.toml: where it is kept, how many bytes one of it is, and its range.
struct Number<'a> {
    kept: &'a mut u64,
    unit: u64,
    low: u64,
    high: u64,
    expected: &'static str,
}

enum Place<'a> {
    Number(Number<'a>),
    Rate(&'a mut Option<Rate>),
}

impl Tunable {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    fn place(self, streams: &mut Streams) -> Place<'_> {
        let jobs = |kept| Number { kept, unit: 1, low: 1, high: MAX_JOBS, expected: JOBS };
        let mib = |kept| Number { kept, unit: MIB, low: 1, high: MAX_MIB, expected: MIB_OR_MORE };
        let mib_or_none = |kept| Number { low: 0, expected: MIB_OR_NONE, ..mib(kept) };
        let (limits, RateLimits { address, read, write, generate, live }) =
            (&mut streams.limits, &mut streams.rate_limits);
        match self {
            Self::OpenJobs => Place::Number(jobs(&mut limits.open_jobs)),
            Self::OpenJobsPerUser => Place::Number(jobs(&mut limits.open_jobs_per_user)),
            Self::OpenUrgentJobsPerUser => Place::Number(jobs(&mut limits.open_urgent_jobs_per_user)),
            Self::OpenRequestsMib => Place::Number(mib(&mut limits.open_request_bytes)),
            Self::OpenRequestsMibPerUser => Place::Number(mib(&mut limits.open_request_bytes_per_user)),
            Self::UploadMibPerUser => Place::Number(mib(&mut limits.upload_bytes_per_user)),
            Self::MinFreeMb => Place::Number(mib_or_none(&mut limits.min_free_bytes)),
            Self::MaxMemoryMb => Place::Number(mib_or_none(&mut limits.max_memory_bytes)),
            Self::RateOfAddress => Place::Rate(address),
            Self::RateOfReads => Place::Rate(read),
            Self::RateOfWrites => Place::Rate(write),
            Self::RateOfGenerate => Place::Rate(generate),
            Self::RateOfLive => Place::Rate(live),
        }
    }

    /// Returns the value as text, in the units of streams.toml; a rate as requests a second and burst.
    pub fn get(self, streams: &Streams) -> String {
        match self.place(&mut streams.clone()) {
            Place::Number(Number { kept, unit, .. }) => (*kept / unit).to_string(),
            Place::Rate(None) => "0/0".to_owned(),
            Place::Rate(Some(rate)) => {
                let per_second = (1000.0 / rate.interval.as_secs_f64()).round() / 1000.0;
                format!("{per_second}/{}", rate.burst)
            }
        }
    }

    /// Sets the value that a text stands for.
    pub fn set(self, streams: &mut Streams, value: &str) -> Result<(), Error> {
        let refused = |expected| Error::Invalid {
            name: self.name(),
            value: value.chars().take(40).collect(),
            expected,
        };
        match self.place(streams) {
            Place::Number(Number { kept, unit, low, high, expected }) => {
                let number: Option<u64> = value.parse().ok();
                let number = number.filter(|number| (low..=high).contains(number));
                *kept = number.ok_or_else(|| refused(expected))? * unit;
            }
            Place::Rate(rate) => {
                let numbers = value.split_once('/').and_then(|(requests, burst)| {
                    Some((requests.parse::<u32>().ok()?, burst.parse::<u32>().ok()?))
                });
                let numbers =
                    numbers.filter(|(requests, burst)| *requests <= MAX_REQUESTS && *burst <= MAX_REQUESTS);
                let (requests, burst) = numbers.ok_or_else(|| refused(EXPECTED_RATE))?;
                *rate = Rate::new(burst, Duration::from_secs(1), requests);
            }
        }
        Ok(())
    }

    /// Copies the value of `from`.
    fn copy(self, from: &Streams, to: &mut Streams) {
        match (self.place(&mut from.clone()), self.place(to)) {
            (Place::Number(from), Place::Number(to)) => *to.kept = *from.kept,
            (Place::Rate(from), Place::Rate(to)) => *to = *from,
            (Place::Number(_), Place::Rate(_)) | (Place::Rate(_), Place::Number(_)) => {}
        }
    }
}

/// Returns `true` when the settings differ in something that only holds from the next start on.
pub fn needs_restart(running: &Streams, read: &Streams) -> bool {
    let mut tuned = running.clone();
    Tunable::ALL.iter().for_each(|tunable| tunable.copy(read, &mut tuned));
    tuned != *read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Streams {
        Streams::from_environment(&|_| None).unwrap()
    }

    #[test]
    fn every_tunable_setting_is_one_of_streams_toml_and_reads_back_as_it_was_set() {
        let shipped: toml::Table = toml::from_str(super::super::SHIPPED_STREAMS).unwrap();
        for tunable in Tunable::ALL {
            let (table, key) = tunable.name().split_once('.').unwrap();
            assert!(shipped[table].get(key).is_some(), "{}", tunable.name());
            let is_rate = table == "rate_limits";
            let mut changed = streams();
            let value = if is_rate { "7/70" } else { "7" };
            tunable.set(&mut changed, value).unwrap();
            assert_eq!(tunable.get(&changed), value);
            assert_ne!(changed, streams(), "{}", tunable.name());
            assert!(!needs_restart(&streams(), &changed));
            assert_eq!(Tunable::parse(tunable.name()), Some(*tunable));
            if is_rate {
                tunable.set(&mut changed, "0/0").unwrap();
                assert_eq!(tunable.get(&changed), "0/0");
            }
        }
        assert_eq!(Tunable::parse("partitions"), None);
    }

    #[test]
    fn a_value_out_of_range_is_refused_and_changes_nothing() {
        for (name, value) in [
            ("limits.open_jobs", "0"),
            ("limits.open_jobs", "10000001"),
            ("limits.open_jobs", "-1"),
            ("limits.open_jobs", "many"),
            ("limits.upload_mib_per_user", "99999999999999999999"),
            ("rate_limits.read", "50"),
            ("rate_limits.read", "50/"),
            ("rate_limits.read", "1000001/5"),
            ("rate_limits.read", "-1/5"),
        ] {
            let mut streams = streams();
            let error = Tunable::parse(name).unwrap().set(&mut streams, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value) && error.contains("must be"), "{error}");
            assert_eq!(streams, self::streams());
        }
    }

    #[test]
    fn a_setting_that_is_not_tunable_needs_a_restart() {
        let mut changed = streams();
        changed.partitions += 1;
        assert!(needs_restart(&streams(), &changed));
    }
}
