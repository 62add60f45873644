//! Counts what the calls of language models use, by user and day.
//!
//! The counts are kept in Redis for two days, outside of the log, as those of rate limits are: after a loss of Redis the day
//! begins again, and the limit of each job still holds.

use chrono::Utc;
use reel_models::budget::{LimitReached, Spend};

use crate::events::EventLog;
use crate::telemetry::chain;

/// Longer than a day, whichever begins when a call is made.
const KEPT_SECONDS: u64 = 2 * 24 * 3600;
/// The most that one call can add. Redis counts up to some 9e18.
const MAX_STEP: u64 = 1_000_000_000_000;

#[derive(Clone)]
pub struct DaySpend {
    log: EventLog,
}

impl DaySpend {
    pub fn new(log: EventLog) -> Self {
        Self { log }
    }

    /// Reserves an amount of the user's day, unless it is more than is left. Where Redis does not answer, it counts as reserved.
    pub async fn reserve(&self, user_id: &str, most: Spend, limit: Spend) -> Result<(), LimitReached> {
        let Some(spent) = self.add(user_id, signed(most)).await else { return Ok(()) };
        let refused = LimitReached::check("the user's day", spent, limit);
        if refused.is_err() {
            let (tokens, micro_dollars) = signed(most);
            self.add(user_id, (-tokens, -micro_dollars)).await;
        }
        refused
    }

    /// Replaces a reserved amount by the one that was used.
    pub async fn settle(&self, user_id: &str, reserved: Spend, used: Spend) {
        let (reserved, used) = (signed(reserved), signed(used));
        self.add(user_id, (used.0 - reserved.0, used.1 - reserved.1)).await;
    }

    /// Adds to the counts of today, and returns them.
    async fn add(&self, user_id: &str, (tokens, micro_dollars): (i64, i64)) -> Option<Spend> {
        let digest = blake3::hash(user_id.as_bytes()).to_hex();
        let key = self.log.keys().model_spend(&digest, &Utc::now().date_naive().to_string());
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HINCRBY").arg(&key).arg("tokens").arg(tokens);
        pipe.cmd("HINCRBY").arg(&key).arg("micro_dollars").arg(micro_dollars);
        pipe.cmd("EXPIRE").arg(&key).arg(KEPT_SECONDS).ignore();
        let counted: Result<(i64, i64), _> = pipe.query_async(&mut self.log.connection()).await;
        match counted {
            Ok((tokens, micro_dollars)) => Some(Spend {
                tokens: tokens.max(0).unsigned_abs(),
                micro_dollars: micro_dollars.max(0).unsigned_abs(),
            }),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the use of language models was not counted");
                None
            }
        }
    }
}

fn signed(spend: Spend) -> (i64, i64) {
    let bounded = |amount: u64| amount.min(MAX_STEP) as i64;
    (bounded(spend.tokens), bounded(spend.micro_dollars))
}
