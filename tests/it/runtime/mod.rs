//! Workers: leases, retries, takeover, processes over several aggregates.

mod process_manager;
mod takeover;
mod worker;
