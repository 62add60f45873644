//! The event log on real Redis servers: appends, outages, a cluster.

mod append;
mod cluster;
mod growth;
pub mod model;
mod outages;
mod turns;
