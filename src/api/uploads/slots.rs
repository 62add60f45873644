//! Bounds the requests that send files at the same time: each may fill some of the disk before anything is known of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use salvo::http::header::{HeaderValue, RETRY_AFTER};

use crate::api::problem::Problem;
use crate::error_codes::ErrorCode;

const MAX_SLOTS: usize = 32;
const MAX_SLOTS_PER_USER: usize = 4;
const RETRY_AFTER_S: u64 = 5;

/// Cheap to clone; clones share the slots.
#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<HashMap<String, usize>>>);

/// One request's place, until it is dropped.
pub struct Slot {
    slots: Slots,
    user: String,
}

impl Slots {
    pub fn take(&self, user: &str) -> Result<Slot, Problem> {
        let mut taken = self.lock();
        let refuse = |code, who: &str, max: usize| {
            let message = format!(
                "{who} are sending files in {max} requests, which is the most at a time; try again in {RETRY_AFTER_S} s"
            );
            Err(Problem::new(code, message).with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S)))
        };
        if taken.get(user).is_some_and(|own| *own >= MAX_SLOTS_PER_USER) {
            return refuse(ErrorCode::RateLimitExceeded, "you", MAX_SLOTS_PER_USER);
        }
        if taken.values().sum::<usize>() >= MAX_SLOTS {
            return refuse(ErrorCode::Overloaded, "all users", MAX_SLOTS);
        }
        *taken.entry(user.to_owned()).or_default() += 1;
        Ok(Slot { slots: self.clone(), user: user.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        let Some(own) = taken.get_mut(&self.user) else { return };
        *own -= 1;
        if *own == 0 {
            taken.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_all_slots_and_slots_come_back() {
        let slots = Slots::default();
        let own: Vec<Slot> = (0..MAX_SLOTS_PER_USER).map(|_| slots.take("a").ok().unwrap()).collect();
        assert_eq!(slots.take("a").err().unwrap().code, ErrorCode::RateLimitExceeded);
        let users =
            (MAX_SLOTS_PER_USER..MAX_SLOTS).map(|number| slots.take(&number.to_string()).ok().unwrap());
        let others: Vec<Slot> = users.collect();
        assert_eq!(slots.take("b").err().unwrap().code, ErrorCode::Overloaded);
        drop(own);
        assert!(slots.take("a").is_ok());
        drop(others);
        assert!(slots.lock().is_empty());
    }
}
