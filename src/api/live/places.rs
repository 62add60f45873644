//! How many live connections each user has open in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone; clones share the counts.
#[derive(Clone)]
pub struct Places {
    max_per_user: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One connection of a user; counts until it is dropped.
pub struct Place {
    places: Places,
    user_id: String,
}

impl Places {
    pub fn new(max_per_user: usize) -> Self {
        Self { max_per_user, taken: Arc::default() }
    }

    pub fn max_per_user(&self) -> usize {
        self.max_per_user
    }

    /// `None` when the user has as many as one may.
    pub fn take(&self, user_id: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(user_id).copied().unwrap_or(0);
        if count >= self.max_per_user {
            return None;
        }
        taken.insert(user_id.to_owned(), count + 1);
        Some(Place { places: self.clone(), user_id: user_id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_left_can_be_taken_again_and_nothing_is_kept_of_users_without_one() {
        let places = Places::new(2);
        let first = places.take("a").unwrap();
        let _second = places.take("a").unwrap();
        assert!(places.take("a").is_none());
        let other = places.take("b").unwrap();
        drop(first);
        assert!(places.take("a").is_some());
        drop(other);
        assert_eq!(places.taken.lock().unwrap().len(), 1);
    }
}
