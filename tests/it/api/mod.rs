//! The HTTP API and the command line, as their users meet them.

mod accepted;
mod analytics_http;
mod cancelling;
mod cli;
mod contract;
mod documents;
mod guards;
mod hostile;
mod limits;
mod listing;
mod ranges;
mod reading;
mod schema;
mod system;
