//! Workers: leases, retries, takeover, memory, processes over several aggregates.

mod alerts;
mod memory;
mod probes;
mod process_manager;
mod render_slots;
mod scheduling;
mod takeover;
mod traces;
mod worker;
