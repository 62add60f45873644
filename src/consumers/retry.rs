//! Retries: the backoff after a failure, and the release of delayed work.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events::WorkQueue;
use crate::telemetry::chain;

const FIRST_DELAY_MS: u64 = 1000;
const MAX_DELAY_MS: u64 = 60_000;
/// Interval of releases, and so the longest delay of due work.
const RELEASE_INTERVAL: Duration = Duration::from_millis(250);

/// Returns the backoff after a failed attempt. It doubles each time, and jitter takes off up to a half, so that work that failed
/// together is not retried together.
pub fn delay_ms(attempt: u32) -> u64 {
    delay_with(attempt, Uuid::new_v4().as_u128())
}

fn delay_with(attempt: u32, random: u128) -> u64 {
    let doubled = FIRST_DELAY_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let most = doubled.min(MAX_DELAY_MS);
    most / 2 + (random % u128::from(most / 2 + 1)) as u64
}

/// Releases delayed work when it is due, until `stop`.
pub async fn release(queue: WorkQueue, stop: CancellationToken) {
    loop {
        for partition in queue.keys().partitions() {
            if let Err(error) = queue.release_due(partition).await {
                tracing::debug!(partition, error = %chain(&error), "delayed work was not released");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RELEASE_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_vary_by_half() {
        let range = |attempt| (delay_with(attempt, 0), delay_with(attempt, 500), delay_with(attempt, 30_000));
        assert_eq!(range(1), (500, 1000, 941));
        assert_eq!(delay_with(2, 0), 1000);
        assert_eq!(delay_with(3, 0), 2000);
        assert_eq!(delay_with(30, 0), 30_000);
        assert_eq!(delay_with(30, 30_000), 60_000);
    }
}
