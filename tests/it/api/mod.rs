//! The HTTP API and the command line, as their users meet them.

mod accepted;
mod batch;
mod cancelling;
mod cli;
mod configurations;
mod contract;
mod deleting;
mod guards;
mod hostile;
mod limits;
mod listing;
mod uploads;
