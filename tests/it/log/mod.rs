//! The event log on real Redis servers: appends, outages, a cluster.

mod append;
mod cluster;
pub mod model;
mod outages;
mod turns;
