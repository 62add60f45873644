//! Workers: leases, retries, takeover, memory.

mod memory;
mod takeover;
mod worker;
