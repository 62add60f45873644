//! Workers: leases, retries, takeover.

mod takeover;
mod worker;
