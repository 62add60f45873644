//! The tokens and the cost that the calls of one job may use.

use std::sync::Mutex;

/// An amount of use: of a call, a job, or a user's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    pub tokens: u64,
    /// Millionths of a dollar.
    pub micro_dollars: u64,
}

impl Spend {
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            micro_dollars: self.micro_dollars.saturating_add(other.micro_dollars),
        }
    }

    pub fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            micro_dollars: self.micro_dollars.saturating_sub(other.micro_dollars),
        }
    }
}

/// The reason why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {whose} would be {needed}, but may be {limit}")]
pub struct LimitReached {
    /// Such as `tokens`.
    pub what: &'static str,
    /// Such as `the job`.
    pub whose: &'static str,
    pub needed: u64,
    pub limit: u64,
}

impl LimitReached {
    /// Checks an amount against a limit.
    pub fn check(whose: &'static str, needed: Spend, limit: Spend) -> Result<(), Self> {
        let exceeds = |what, needed, limit| {
            if needed > limit { Err(Self { what, whose, needed, limit }) } else { Ok(()) }
        };
        exceeds("tokens", needed.tokens, limit.tokens)?;
        exceeds("millionths of a dollar", needed.micro_dollars, limit.micro_dollars)
    }
}

/// Counts what the calls of one job use. A call reserves the most that it can use before it is made.
#[derive(Debug)]
pub struct Budget {
    limit: Spend,
    spent: Mutex<Spend>,
}

impl Budget {
    /// `spent` was used before, by earlier attempts.
    pub fn new(limit: Spend, spent: Spend) -> Self {
        Self { limit, spent: Mutex::new(spent) }
    }

    /// Reserves an amount, unless it is more than is left.
    pub fn reserve(&self, most: Spend) -> Result<(), LimitReached> {
        let mut spent = self.lock();
        let needed = spent.plus(most);
        LimitReached::check("the job", needed, self.limit)?;
        *spent = needed;
        Ok(())
    }

    /// Replaces a reserved amount by the one that was used.
    pub fn settle(&self, reserved: Spend, used: Spend) {
        let mut spent = self.lock();
        *spent = spent.minus(reserved).plus(used);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Spend> {
        self.spent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(tokens: u64, micro_dollars: u64) -> Spend {
        Spend { tokens, micro_dollars }
    }

    #[test]
    fn what_is_reserved_counts_until_it_is_settled() {
        let budget = Budget::new(spend(100, 1000), spend(10, 0));
        budget.reserve(spend(60, 10)).unwrap();
        let refused = budget.reserve(spend(31, 10)).unwrap_err();
        assert_eq!(refused.to_string(), "tokens of the job would be 101, but may be 100");
        budget.settle(spend(60, 10), spend(20, 10));
        budget.reserve(spend(31, 10)).unwrap();
        let refused = budget.reserve(spend(1, 1000)).unwrap_err();
        assert_eq!(refused.what, "millionths of a dollar");
    }
}
