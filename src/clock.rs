//! Time comes in from here, so that tests can turn the hands.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Where `now` comes from. Microseconds, because that is what the log records.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

/// The hands of a clock.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl ManualClock {
    /// Forwards, or, with a negative step, back.
    pub fn advance(&self, step: TimeDelta) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += step;
    }

    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock that shows `time` until its hands are turned.
    pub fn manual(time: DateTime<Utc>) -> (Self, ManualClock) {
        let hands = ManualClock(Arc::new(Mutex::new(time)));
        let shown = hands.clone();
        (Self(Arc::new(move || shown.now())), hands)
    }

    /// A clock that always shows `time`.
    pub fn fixed(time: DateTime<Utc>) -> Self {
        Self(Arc::new(move || time))
    }

    pub fn now(&self) -> DateTime<Utc> {
        let now = (self.0)();
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }
}
