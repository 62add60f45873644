//! How many requests a client may send: by address before authentication, and by user and class of the route after it.
//!
//! Each client has a bucket for each limit (the GCRA of `governor`): `burst` requests at once, and one more after each
//! interval. A refused request costs nothing. Answers say how the client stands: `RateLimit-Limit`,
//! `RateLimit-Remaining` and `RateLimit-Reset` (draft-ietf-httpapi-ratelimit-headers-06), for the user where one is known and for
//! the address otherwise; refusals say when to ask again, with `Retry-After`.
//!
//! Invariants: at most [`MAX_KEYS`] clients are remembered for each limit, and a full store forgets the one that was silent
//! for longest, whose bucket is the likeliest to be full. Deliberately absent: counts shared by several API processes.
//! Each process counts for itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use lru::LruCache;
use salvo::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use salvo::prelude::*;
use serde_json::json;

use super::auth::User;
use super::problem::Problem;
use crate::config::{Rate, RateLimits};
use crate::controls::Controls;
use crate::error_codes::ErrorCode;

/// Clients that one limit remembers.
const MAX_KEYS: usize = 65_536;
/// Parts of a store, each behind a lock of its own.
const SHARDS: usize = 16;

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request is counted as. The route table gives one to every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteClass {
    Read,
    Write,
    /// Makes videos.
    Generate,
    /// Holds a connection open: WebSocket, server-sent events.
    Live,
}

impl RouteClass {
    pub fn name(self) -> &'static str {
        match self {
            RouteClass::Read => "read",
            RouteClass::Write => "write",
            RouteClass::Generate => "generate",
            RouteClass::Live => "live",
        }
    }
}

/// All limits of the process, as they are now. When operators change one, the buckets of all clients are full again.
pub struct CurrentLimiters {
    controls: Controls,
    latest: ArcSwap<Limiters>,
}

impl CurrentLimiters {
    pub fn new(controls: Controls) -> Self {
        let latest = ArcSwap::from_pointee(Limiters::new(controls.streams().rate_limits));
        Self { controls, latest }
    }

    fn get(&self) -> Arc<Limiters> {
        let (latest, rates) = (self.latest.load_full(), self.controls.streams().rate_limits);
        if latest.rates == rates {
            return latest;
        }
        let changed = Arc::new(Limiters::new(rates));
        self.latest.store(changed.clone());
        changed
    }
}

struct Limiters {
    rates: RateLimits,
    address: Option<Limiter>,
    read: Option<Limiter>,
    write: Option<Limiter>,
    generate: Option<Limiter>,
    live: Option<Limiter>,
}

impl Limiters {
    fn new(limits: RateLimits) -> Self {
        let limiter = |rate: Option<Rate>| rate.map(|rate| Limiter::new(rate, MAX_KEYS));
        Self {
            rates: limits,
            address: limiter(limits.address),
            read: limiter(limits.read),
            write: limiter(limits.write),
            generate: limiter(limits.generate),
            live: limiter(limits.live),
        }
    }

    fn of_class(&self, class: RouteClass) -> Option<&Limiter> {
        let limiter = match class {
            RouteClass::Read => &self.read,
            RouteClass::Write => &self.write,
            RouteClass::Generate => &self.generate,
            RouteClass::Live => &self.live,
        };
        limiter.as_ref()
    }
}

type Governor = RateLimiter<u128, Buckets, MonotonicClock, StateInformationMiddleware>;

/// One limit, with a bucket for each client.
struct Limiter {
    governor: Governor,
    rate: Rate,
}

/// How a client stands after a request.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    limit: u32,
    remaining: u32,
    /// Until the whole burst is there again.
    reset: Duration,
    /// Of a refused request: until one more is taken.
    retry_after: Option<Duration>,
}

impl Limiter {
    fn new(rate: Rate, max_keys: usize) -> Self {
        // The interval is never zero.
        let quota = Quota::with_period(rate.interval).unwrap_or(Quota::per_second(rate.burst));
        let buckets = Buckets::new(max_keys);
        let governor = Governor::new(quota.allow_burst(rate.burst), buckets, MonotonicClock);
        Self { governor, rate }
    }

    /// Counts a request of the client, unless it is refused.
    fn count(&self, client: u128) -> Standing {
        let Rate { burst, interval } = self.rate;
        match self.governor.check_key(&client) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = interval.saturating_mul(burst.get().saturating_sub(remaining));
                Standing { limit: burst.get(), remaining, reset, retry_after: None }
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.governor.clock().now());
                let reset = interval.saturating_mul(burst.get());
                Standing { limit: burst.get(), remaining: 0, reset, retry_after: Some(wait) }
            }
        }
    }
}

impl Standing {
    fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT.clone(), HeaderValue::from(self.limit));
        headers.insert(REMAINING.clone(), HeaderValue::from(self.remaining));
        headers.insert(RESET.clone(), HeaderValue::from(whole_seconds(self.reset)));
    }

    /// The refusal, if the request was one too many.
    fn refusal(&self, name: &str, whose: &str) -> Option<Problem> {
        let seconds = whole_seconds(self.retry_after?).max(1);
        let message =
            format!("too many requests from {whose}; try again in {seconds} s (rate_limits.{name})");
        let details = json!({ "limit": format!("rate_limits.{name}"), "burst": self.limit });
        let problem = Problem { details, ..Problem::new(ErrorCode::RateLimitExceeded, message) };
        Some(problem.with_header(RETRY_AFTER, HeaderValue::from(seconds)))
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The buckets of a limit: a bounded number of them.
struct Buckets {
    shards: Vec<Mutex<LruCache<u128, Nanos>>>,
    max_keys_per_shard: usize,
}

impl Buckets {
    fn new(max_keys: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded())).collect();
        Self { shards, max_keys_per_shard: max_keys.div_ceil(SHARDS) }
    }

    /// An IPv6 network has its bits in the upper half, an IPv4 address in the lower.
    fn shard(&self, key: u128) -> &Mutex<LruCache<u128, Nanos>> {
        &self.shards[((key ^ (key >> 64)) % SHARDS as u128) as usize]
    }
}

impl StateStore for Buckets {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.shard(*key).lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, level) = measure(buckets.get(key).copied())?;
        buckets.put(*key, level);
        if buckets.len() > self.max_keys_per_shard {
            buckets.pop_lru();
        }
        Ok(outcome)
    }
}

/// Counts the requests of a network address, whatever they are for.
#[derive(Clone)]
pub struct LimitByAddress {
    pub limiters: Arc<CurrentLimiters>,
    pub trusted_proxies: usize,
}

#[handler]
impl LimitByAddress {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let limiters = self.limiters.get();
        let Some(limiter) = &limiters.address else { return };
        // Of a socket without an address, such as a Unix socket, there is nothing to tell clients apart by.
        let Some(peer) = req.remote_addr().clone().into_std() else { return };
        let address = client_address(peer.ip(), req.headers(), self.trusted_proxies);
        let standing = limiter.count(network(address));
        standing.write(res.headers_mut());
        if let Some(problem) = standing.refusal("address", "this address") {
            problem.render(req, depot, res);
            ctrl.skip_rest();
        }
    }
}

/// Counts the requests of a user. Stands behind the guard; where that let somebody in without a token, nobody is
/// counted.
#[derive(Clone)]
pub struct LimitByUser {
    pub limiters: Arc<CurrentLimiters>,
    pub class: RouteClass,
}

#[handler]
impl LimitByUser {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let limiters = self.limiters.get();
        let (Some(limiter), Ok(user)) = (limiters.of_class(self.class), depot.get_typed::<User>()) else {
            return;
        };
        let standing = limiter.count(digest(&user.id));
        standing.write(res.headers_mut());
        if let Some(problem) = standing.refusal(self.class.name(), "this user") {
            problem.render(req, depot, res);
            ctrl.skip_rest();
        }
    }
}

/// The address that a request comes from. Each trusted proxy has added the address of its peer at the end of
/// `X-Forwarded-For`; what stands before those, anybody may have written. Where the header is shorter than it must be, or
/// no address, the peer itself counts.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: usize) -> IpAddr {
    let Some(from_the_end) = trusted_proxies.checked_sub(1) else { return peer };
    let values = headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let entry = entries.iter().rev().nth(from_the_end);
    entry.and_then(|entry| parse_address(entry)).unwrap_or(peer)
}

/// Some proxies add the port.
fn parse_address(entry: &str) -> Option<IpAddr> {
    let in_brackets = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
    let address = in_brackets.unwrap_or(entry).parse();
    address.ok().or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

/// The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address, of which anybody has a whole one.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

fn digest(user: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(user.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(interval_ms: u64, burst: u32, max_keys: usize) -> Limiter {
        let per = Duration::from_millis(interval_ms);
        Limiter::new(Rate::new(burst, per, 1).unwrap(), max_keys)
    }

    #[test]
    fn a_burst_is_taken_at_once_and_the_next_request_is_told_when() {
        let limiter = limiter(60_000, 3, 100);
        for remaining in [2, 1, 0] {
            let standing = limiter.count(7);
            assert_eq!((standing.limit, standing.remaining, standing.retry_after), (3, remaining, None));
            assert_eq!(standing.reset, Duration::from_mins(u64::from(3 - remaining)));
        }
        let refused = limiter.count(7);
        let wait = refused.retry_after.unwrap();
        assert!(wait <= Duration::from_mins(1) && wait > Duration::from_secs(50), "{wait:?}");
        assert!(refused.refusal("read", "this user").is_some());
        assert_eq!(limiter.count(8).retry_after, None, "another client has a bucket of its own");
    }

    #[test]
    fn a_store_forgets_who_was_silent_for_longest_and_never_grows_past_its_bound() {
        let limiter = limiter(3_600_000, 2, 64);
        limiter.count(0);
        limiter.count(0);
        assert!(limiter.count(0).retry_after.is_some());
        for client in 1..10_000 {
            limiter.count(client);
        }
        let kept: usize =
            limiter.governor.into_state_store().shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!((48..=64).contains(&kept), "{kept}");
    }

    fn forwarded(peer: &str, header: &[&'static str], proxies: usize) -> String {
        let mut headers = HeaderMap::new();
        for value in header {
            headers.append(X_FORWARDED_FOR.clone(), HeaderValue::from_static(value));
        }
        client_address(peer.parse().unwrap(), &headers, proxies).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_added_tells_the_address() {
        assert_eq!(forwarded("10.0.0.1", &["1.1.1.1"], 0), "10.0.0.1");
        assert_eq!(forwarded("10.0.0.1", &["1.1.1.1"], 1), "1.1.1.1");
        assert_eq!(forwarded("10.0.0.1", &["6.6.6.6, 1.1.1.1"], 1), "1.1.1.1");
        assert_eq!(forwarded("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"], 2), "1.1.1.1");
        assert_eq!(forwarded("10.0.0.1", &["1.1.1.1:4711"], 1), "1.1.1.1");
        assert_eq!(forwarded("10.0.0.1", &["[2001:db8::1]:4711"], 1), "2001:db8::1");
        assert_eq!(forwarded("10.0.0.1", &["[2001:db8::1]"], 1), "2001:db8::1");
        for header in [&[][..], &["1.1.1.1"], &["unknown, 10.0.0.2"], &[""], &[",,,"]] {
            assert_eq!(forwarded("10.0.0.1", header, 2), "10.0.0.1", "{header:?}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:1.2.3.4"), of("1.2.3.4"));
        assert_ne!(of("1.2.3.4"), of("1.2.3.5"));
    }
}
