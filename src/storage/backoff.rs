//! Pauses between the attempts at an upload.

use std::time::Duration;

use uuid::Uuid;

/// Attempts at an upload after the first one failed (000-5.4, 001-4.7).
pub const RETRIES: usize = 3;

const FIRST: Duration = Duration::from_millis(500);

/// Returns the pause before each retry. They double, and jitter takes off up to a half, so that machines that failed
/// together do not come back together.
pub fn delays() -> [Duration; RETRIES] {
    let random = Uuid::new_v4().as_u128();
    let mut most = FIRST;
    std::array::from_fn(|retry| {
        let half = most.as_millis() as u64 / 2;
        let taken_off = (random >> (32 * retry)) as u64 % (half + 1);
        let delay = most - Duration::from_millis(taken_off);
        most *= 2;
        delay
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // 000-5.4
    #[test]
    fn three_delays_double_and_vary_by_half() {
        for _ in 0..1000 {
            let delays = delays();
            assert_eq!(delays.len(), 3);
            for (delay, most) in delays.into_iter().zip([500, 1000, 2000]) {
                assert!((most / 2..=most).contains(&(delay.as_millis() as u64)), "{delay:?}");
            }
        }
        let different: std::collections::BTreeSet<_> = (0..50).map(|_| delays()).collect();
        assert!(different.len() > 40);
    }
}
