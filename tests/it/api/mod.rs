//! The HTTP API and the command line, as their users meet them.

mod accepted;
mod batch;
mod cancelling;
mod clerk;
mod cli;
mod configurations;
mod contract;
mod deleting;
mod edge;
mod guards;
mod hostile;
mod limits;
mod listing;
mod live;
mod tokens;
mod uploads;
mod webhooks;
