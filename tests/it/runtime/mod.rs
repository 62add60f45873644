//! Workers: leases, retries, takeover, memory, processes over several aggregates.

mod alert_causes;
mod alert_webhook;
mod alerts;
mod dashboards;
mod memory;
mod operations;
mod probes;
mod process_manager;
mod prometheus;
mod render_slots;
mod scheduling;
mod takeover;
mod traces;
mod worker;
