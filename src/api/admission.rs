//! Who may open another job: the limits of the whole system, and those of each user.
//!
//! What is open is counted in Redis, by the script that appends (`events/lua/open.lua`). An admission is held until its
//! request is appended, so that requests at the same time cannot pass a limit together; those of other API processes
//! can, by what each of them admits meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use salvo::http::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::generate_request::recorded_bytes;
use super::problem::Problem;
use super::{Role, User};
use crate::config::Limits;
use crate::error_codes::ErrorCode;
use crate::events::queue::OpenLoad;
use crate::events::work::requester;
use crate::events::{self, Priority, VideoRequest, WorkQueue};

/// When to ask again. Jobs take from seconds to minutes.
const RETRY_AFTER_S: u64 = 30;
/// The requester that stands for all.
const ALL: &str = "*";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] events::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The limit that a request would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    limit: Limit,
    open: u64,
    max: u64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { open, max, .. } = self;
        let (what, unit, limit, advice) = (self.what(), self.unit(), self.limit(), self.advice());
        write!(
            f,
            "{what}: {open} of at most {max} {unit} are open ({limit}); {advice}, and try again in {RETRY_AFTER_S} s"
        )
    }
}

impl std::error::Error for Refused {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Jobs,
    RequestBytes,
    JobsPerUser,
    UrgentJobsPerUser,
    RequestBytesPerUser,
}

impl Refused {
    fn is_of_user(&self) -> bool {
        !matches!(self.limit, Limit::Jobs | Limit::RequestBytes)
    }

    fn what(&self) -> &'static str {
        if self.is_of_user() { "you have too much open" } else { "the system has too much open" }
    }

    fn unit(&self) -> &'static str {
        match self.limit {
            Limit::Jobs | Limit::JobsPerUser => "jobs",
            Limit::UrgentJobsPerUser => "urgent jobs",
            Limit::RequestBytes | Limit::RequestBytesPerUser => "bytes of requests",
        }
    }

    /// Its name in streams.toml.
    fn limit(&self) -> &'static str {
        match self.limit {
            Limit::Jobs => "limits.open_jobs",
            Limit::RequestBytes => "limits.open_requests_mib",
            Limit::JobsPerUser => "limits.open_jobs_per_user",
            Limit::UrgentJobsPerUser => "limits.open_urgent_jobs_per_user",
            Limit::RequestBytesPerUser => "limits.open_requests_mib_per_user",
        }
    }

    fn advice(&self) -> &'static str {
        match self.limit {
            Limit::Jobs | Limit::RequestBytes => "wait until some have ended",
            Limit::UrgentJobsPerUser => "wait until one of yours has ended, or choose another priority",
            Limit::JobsPerUser | Limit::RequestBytesPerUser => {
                "wait until one of yours has ended, or cancel one"
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problem = match refused.is_of_user() {
            true => Problem::new(ErrorCode::RateLimitExceeded, refused.to_string()),
            false => Problem::new(ErrorCode::Overloaded, refused.to_string()),
        };
        let details = json!({ "limit": refused.limit(), "open": refused.open, "max": refused.max });
        Self { details, ..problem }.with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
    }
}

/// Cheap to clone; clones share what is being admitted.
#[derive(Clone)]
pub struct Admission {
    limits: Limits,
    pending: Pending,
}

/// What is admitted and not appended yet, by requester.
type Pending = Arc<Mutex<HashMap<String, OpenLoad>>>;

/// Holds the room of what was admitted until it is dropped.
pub struct Admitted {
    pending: Pending,
    requester: String,
    load: OpenLoad,
}

impl Admission {
    pub fn new(limits: Limits) -> Self {
        Self { limits, pending: Pending::default() }
    }

    /// Admits requests of a user, all of them, or says which limit they would pass.
    pub async fn admit(
        &self,
        queue: &WorkQueue,
        user: &User,
        requests: &[VideoRequest],
    ) -> Result<Admitted, Error> {
        let urgent_jobs =
            requests.iter().filter(|request| request.priority == Priority::Urgent).count() as u64;
        // Sealing writes content in Base64.
        let request_bytes = requests.iter().map(|request| recorded_bytes(request) as u64 * 4 / 3).sum();
        let load = OpenLoad { jobs: requests.len() as u64, urgent_jobs, request_bytes };
        let requester = requester(&user.id);
        // First held, then counted: of two at the same time, at least one sees the other.
        let admitted = Admitted::hold(self.pending.clone(), requester.clone(), load);
        let (open, (mut of_all, mut of_user)) =
            futures_util::future::try_join(queue.open(), queue.open_load(&requester)).await?;
        of_all.jobs = open;
        {
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            of_all += pending.get(ALL).copied().unwrap_or_default();
            of_user += pending.get(&requester).copied().unwrap_or_default();
        }
        self.check(load, of_all, of_user, user.role == Role::Admin)?;
        Ok(admitted)
    }

    /// `of_all` and `of_user` hold `load`, too.
    fn check(
        &self,
        load: OpenLoad,
        of_all: OpenLoad,
        of_user: OpenLoad,
        is_admin: bool,
    ) -> Result<(), Refused> {
        let limits = &self.limits;
        let within = |limit, with: u64, own: u64, max: u64| match with > max {
            true => Err(Refused { limit, open: with - own, max }),
            false => Ok(()),
        };
        within(Limit::JobsPerUser, of_user.jobs, load.jobs, limits.open_jobs_per_user)?;
        if load.urgent_jobs > 0 && !is_admin {
            let max = limits.open_urgent_jobs_per_user;
            within(Limit::UrgentJobsPerUser, of_user.urgent_jobs, load.urgent_jobs, max)?;
        }
        let max = limits.open_request_bytes_per_user;
        within(Limit::RequestBytesPerUser, of_user.request_bytes, load.request_bytes, max)?;
        within(Limit::Jobs, of_all.jobs, load.jobs, limits.open_jobs)?;
        within(Limit::RequestBytes, of_all.request_bytes, load.request_bytes, limits.open_request_bytes)
    }
}

impl Admitted {
    fn hold(pending: Pending, requester: String, load: OpenLoad) -> Self {
        {
            let mut held = pending.lock().unwrap_or_else(PoisonError::into_inner);
            *held.entry(requester.clone()).or_default() += load;
            *held.entry(ALL.to_owned()).or_default() += load;
        }
        Self { pending, requester, load }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut held = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for whose in [self.requester.as_str(), ALL] {
            let Some(load) = held.get_mut(whose) else { continue };
            *load -= self.load;
            if *load == OpenLoad::default() {
                held.remove(whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(Limits {
            open_jobs: 10,
            open_jobs_per_user: 3,
            open_urgent_jobs_per_user: 1,
            open_request_bytes: 1000,
            open_request_bytes_per_user: 500,
            upload_bytes_per_user: 0,
            min_free_bytes: 0,
            max_memory_bytes: 0,
        })
    }

    fn refused(
        all: (u64, u64, u64),
        user: (u64, u64, u64),
        load: (u64, u64, u64),
        is_admin: bool,
    ) -> Option<String> {
        let load_of = |(jobs, urgent_jobs, request_bytes)| OpenLoad { jobs, urgent_jobs, request_bytes };
        let checked = admission().check(load_of(load), load_of(all), load_of(user), is_admin);
        checked.err().map(|refused| refused.to_string())
    }

    // H5, L6
    #[test]
    fn each_limit_says_what_is_open_and_what_to_do() {
        let (small, urgent) = ((1, 0, 10), (1, 1, 10));
        assert_eq!(refused((10, 0, 1000), (3, 0, 500), small, false), None);
        assert_eq!(
            refused((4, 0, 40), (4, 0, 40), small, false).unwrap(),
            "you have too much open: 3 of at most 3 jobs are open (limits.open_jobs_per_user); \
             wait until one of yours has ended, or cancel one, and try again in 30 s"
        );
        assert!(
            refused((4, 2, 40), (2, 2, 40), urgent, false).unwrap().contains("1 of at most 1 urgent jobs")
        );
        assert_eq!(refused((4, 2, 40), (2, 2, 40), urgent, true), None, "admins may");
        assert_eq!(refused((4, 2, 40), (2, 2, 40), small, false), None, "it is not urgent");
        assert!(
            refused((2, 0, 501), (2, 0, 501), small, false).unwrap().contains("491 of at most 500 bytes")
        );
        assert!(
            refused((11, 0, 40), (1, 0, 40), small, false)
                .unwrap()
                .starts_with("the system has too much open: 10 of")
        );
        assert!(
            refused((9, 0, 1001), (1, 0, 40), small, false).unwrap().contains("limits.open_requests_mib")
        );
    }

    #[test]
    fn what_is_dropped_is_not_held_any_more() {
        let admission = admission();
        let load = OpenLoad { jobs: 1, urgent_jobs: 0, request_bytes: 7 };
        let held = Admitted::hold(admission.pending.clone(), "a".into(), load);
        let other = Admitted::hold(admission.pending.clone(), "a".into(), load);
        assert_eq!(admission.pending.lock().unwrap()[ALL].request_bytes, 14);
        drop(held);
        assert_eq!(admission.pending.lock().unwrap()["a"], load);
        drop(other);
        assert!(admission.pending.lock().unwrap().is_empty());
    }
}
