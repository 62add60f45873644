//! Who may open another job: the limits of the whole system, and those of each user.
//!
//! The script that appends counts the open jobs in Redis (`events/lua/open.lua`). This module reads the counts, uses them for
//! [`COUNTS_FOR`], and adds each job that it admits meanwhile. The sum is an upper bound of the open load, except for jobs
//! that other API processes admit in that time. It reads the counts again before it refuses a request.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
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
/// How long counts are used.
const COUNTS_FOR: Duration = Duration::from_millis(100);
/// How often the counts are read before a request is refused.
const MAX_COUNTS: usize = 3;
/// Users whose counts are kept.
const MAX_COUNTED: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

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
    ledger: Arc<Mutex<Ledger>>,
}

/// The open load, as far as this process knows it.
struct Ledger {
    /// Load that is admitted and not appended yet, by requester.
    pending: HashMap<String, OpenLoad>,
    /// By requester; keeps the requesters that asked last.
    accounts: LruCache<String, Account>,
}

#[derive(Default)]
struct Account {
    /// All load admitted since the account was opened.
    admitted: OpenLoad,
    counted: Option<Counted>,
}

#[derive(Clone, Copy)]
struct Counted {
    at: Instant,
    /// Open load in Redis, and the load that was pending when the count began.
    open: OpenLoad,
    /// The account's admitted load when the count began.
    admitted: OpenLoad,
}

impl Ledger {
    fn hold(&mut self, requester: &str, load: OpenLoad) {
        *self.pending.entry(requester.to_owned()).or_default() += load;
        self.accounts.get_or_insert_mut(requester.to_owned(), Account::default).admitted += load;
    }

    fn release(&mut self, requester: &str, load: OpenLoad) {
        let Some(pending) = self.pending.get_mut(requester) else { return };
        *pending -= load;
        if *pending == OpenLoad::default() {
            self.pending.remove(requester);
        }
    }

    /// Returns an upper bound of the open load; `None` when the count is older than [`COUNTS_FOR`].
    fn open(&mut self, requester: &str) -> Option<OpenLoad> {
        let account = self.accounts.get(requester)?;
        let counted = account.counted.filter(|counted| counted.at.elapsed() < COUNTS_FOR)?;
        Some(counted.upper_bound(account.admitted))
    }

    /// Begins a count. A job that is appended meanwhile may be counted twice, but never left out.
    fn begin_counting(&mut self, requester: &str) -> Counted {
        let open = self.pending.get(requester).copied().unwrap_or_default();
        let admitted = self.accounts.peek(requester).map_or(OpenLoad::default(), |account| account.admitted);
        Counted { at: Instant::now(), open, admitted }
    }

    /// Ends a count with the load that Redis has, and returns an upper bound of the open load.
    fn note(&mut self, requester: &str, mut begun: Counted, counted: OpenLoad) -> OpenLoad {
        begun.open += counted;
        begun.at = Instant::now();
        let account = self.accounts.get_or_insert_mut(requester.to_owned(), Account::default);
        account.counted = Some(begun);
        begun.upper_bound(account.admitted)
    }
}

impl Counted {
    /// Adds the load that was admitted since. An account that was forgotten meanwhile has less than before, and adds none.
    fn upper_bound(&self, admitted: OpenLoad) -> OpenLoad {
        let (mut open, mut since) = (self.open, admitted);
        since -= self.admitted;
        open += since;
        open
    }
}

/// A request for room.
struct Asked<'a> {
    requester: &'a str,
    load: OpenLoad,
    is_admin: bool,
    limits: &'a Limits,
}

/// Holds the room of what was admitted until it is dropped.
pub struct Admitted {
    ledger: Arc<Mutex<Ledger>>,
    requester: String,
    load: OpenLoad,
}

impl Default for Admission {
    fn default() -> Self {
        let ledger = Ledger { pending: HashMap::new(), accounts: LruCache::new(MAX_COUNTED) };
        Self { ledger: Arc::new(Mutex::new(ledger)) }
    }
}

impl Admission {
    /// Admits requests of a user, all of them, or says which limit they would pass.
    pub async fn admit(
        &self,
        queue: &WorkQueue,
        user: &User,
        requests: &[VideoRequest],
        limits: &Limits,
    ) -> Result<Admitted, Error> {
        let urgent_jobs =
            requests.iter().filter(|request| request.priority == Priority::Urgent).count() as u64;
        // Sealing writes content in Base64.
        let request_bytes = requests.iter().map(|request| recorded_bytes(request) as u64 * 4 / 3).sum();
        let load = OpenLoad { jobs: requests.len() as u64, urgent_jobs, request_bytes };
        let requester = requester(&user.id);
        let asked = Asked { requester: &requester, load, is_admin: user.role == Role::Admin, limits };
        if let Some(Ok(admitted)) = self.admit_by_ledger(&asked) {
            return Ok(admitted);
        }
        for _ in 1..MAX_COUNTS {
            match self.count_and_admit(queue, &asked).await {
                // While others are pending, some of them may have been counted twice.
                Err(Error::Refused(_)) if self.is_any_pending() => {}
                decided => return decided,
            }
        }
        self.count_and_admit(queue, &asked).await
    }

    /// Admits by the ledger alone; `None` when its counts are too old.
    fn admit_by_ledger(&self, asked: &Asked<'_>) -> Option<Result<Admitted, Refused>> {
        let mut ledger = self.ledger();
        let (of_all, of_user) = (ledger.open(ALL)?, ledger.open(asked.requester)?);
        Some(self.decide(&mut ledger, asked, of_all, of_user))
    }

    /// Reads the counts from Redis, and admits by them, however long Redis took.
    async fn count_and_admit(&self, queue: &WorkQueue, asked: &Asked<'_>) -> Result<Admitted, Error> {
        let (all, own) = {
            let mut ledger = self.ledger();
            (ledger.begin_counting(ALL), ledger.begin_counting(asked.requester))
        };
        let (open, (mut of_all, of_user)) =
            futures_util::future::try_join(queue.open(), queue.open_load(asked.requester)).await?;
        of_all.jobs = open;
        let mut ledger = self.ledger();
        let of_all = ledger.note(ALL, all, of_all);
        let of_user = ledger.note(asked.requester, own, of_user);
        Ok(self.decide(&mut ledger, asked, of_all, of_user)?)
    }

    /// Decides by the open load, and holds an admitted load at once: of two requests at the same time, the second sees the first.
    fn decide(
        &self,
        ledger: &mut Ledger,
        asked: &Asked<'_>,
        mut of_all: OpenLoad,
        mut of_user: OpenLoad,
    ) -> Result<Admitted, Refused> {
        of_all += asked.load;
        of_user += asked.load;
        check(asked, of_all, of_user)?;
        ledger.hold(asked.requester, asked.load);
        ledger.hold(ALL, asked.load);
        Ok(Admitted { ledger: self.ledger.clone(), requester: asked.requester.to_owned(), load: asked.load })
    }

    fn is_any_pending(&self) -> bool {
        !self.ledger().pending.is_empty()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `of_all` and `of_user` hold the load that is asked for, too.
fn check(asked: &Asked<'_>, of_all: OpenLoad, of_user: OpenLoad) -> Result<(), Refused> {
    let Asked { load, is_admin, limits, .. } = asked;
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

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.release(&self.requester, self.load);
        ledger.release(ALL, self.load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        open_jobs: 10,
        open_jobs_per_user: 3,
        open_urgent_jobs_per_user: 1,
        open_request_bytes: 1000,
        open_request_bytes_per_user: 500,
        upload_bytes_per_user: 0,
        min_free_bytes: 0,
        max_memory_bytes: 0,
    };

    fn refused(
        all: (u64, u64, u64),
        user: (u64, u64, u64),
        load: (u64, u64, u64),
        is_admin: bool,
    ) -> Option<String> {
        let load_of = |(jobs, urgent_jobs, request_bytes)| OpenLoad { jobs, urgent_jobs, request_bytes };
        let asked = Asked { requester: "a", load: load_of(load), is_admin, limits: &LIMITS };
        let checked = check(&asked, load_of(all), load_of(user));
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

    fn load(jobs: u64) -> OpenLoad {
        OpenLoad { jobs, urgent_jobs: 0, request_bytes: 7 * jobs }
    }

    fn counted(of_user: OpenLoad) -> Admission {
        let admission = Admission::default();
        let mut ledger = admission.ledger();
        for (whose, load) in [(ALL, load(0)), ("a", of_user)] {
            let begun = ledger.begin_counting(whose);
            ledger.note(whose, begun, load);
        }
        drop(ledger);
        admission
    }

    fn ask(admission: &Admission) -> Option<Result<Admitted, Refused>> {
        admission.admit_by_ledger(&Asked { requester: "a", load: load(1), is_admin: false, limits: &LIMITS })
    }

    #[test]
    fn what_is_admitted_is_held_until_it_is_dropped() {
        let admission = counted(load(0));
        let held = [ask(&admission), ask(&admission)].map(|admitted| admitted.unwrap().unwrap());
        assert_eq!(admission.ledger().pending[ALL], load(2));
        let [first, second] = held;
        drop(first);
        assert_eq!(admission.ledger().pending["a"], load(1));
        drop(second);
        assert!(admission.ledger().pending.is_empty());
    }

    #[test]
    fn requests_between_two_counts_do_not_pass_a_limit_together() {
        let admission = counted(load(1));
        // What was appended and dropped counts all the same.
        drop(ask(&admission).unwrap().unwrap());
        let held = ask(&admission).unwrap().unwrap();
        assert!(ask(&admission).unwrap().is_err(), "three are open");
        drop(held);
        assert!(ask(&admission).unwrap().is_err(), "until they are counted again");
    }

    #[test]
    fn counts_are_never_less_than_what_is_open_and_are_not_used_for_long() {
        let admission = counted(load(0));
        // One is appended while Redis counts: it may be in the count or not.
        let early = ask(&admission).unwrap().unwrap();
        let begun = admission.ledger().begin_counting("a");
        let meanwhile = ask(&admission).unwrap().unwrap();
        drop(early);
        admission.ledger().note("a", begun, load(1));
        assert_eq!(admission.ledger().open("a"), Some(load(3)));
        drop(meanwhile);
        assert_eq!(admission.ledger().open("a"), Some(load(3)), "it may have been appended");
        let long_ago = Instant::now().checked_sub(COUNTS_FOR).unwrap();
        admission.ledger().accounts.get_mut("a").unwrap().counted.as_mut().unwrap().at = long_ago;
        assert_eq!(admission.ledger().open("a"), None);
        assert!(ask(&admission).is_none(), "it has to be counted");
    }

    #[test]
    fn a_count_that_took_long_decides_all_the_same() {
        let admission = Admission::default();
        let begun = admission.ledger().begin_counting("a");
        std::thread::sleep(2 * COUNTS_FOR);
        assert_eq!(admission.ledger().note("a", begun, load(1)), load(1));
        assert_eq!(admission.ledger().open("a"), Some(load(1)));
    }

    #[test]
    fn an_account_that_is_forgotten_while_redis_counts_begins_anew() {
        let admission = Admission::default();
        admission.ledger().hold("a", load(2));
        admission.ledger().release("a", load(2));
        let begun = admission.ledger().begin_counting("a");
        admission.ledger().accounts.clear();
        assert_eq!(admission.ledger().note("a", begun, load(3)), load(3));
    }

    #[test]
    fn few_accounts_are_kept() {
        let admission = Admission::default();
        for user in 0..10_000 {
            admission.ledger().hold(&user.to_string(), load(1));
        }
        assert!(admission.ledger().accounts.len() <= MAX_COUNTED.get());
    }
}
