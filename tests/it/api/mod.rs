//! The HTTP API and the command line, as their users meet them.

mod accepted;
mod analytics_http;
mod batch;
mod belongings;
mod cancelling;
mod clerk;
mod cli;
mod configurations;
mod contract;
mod deleting;
mod documents;
mod edge;
mod guards;
mod hostile;
mod limits;
mod listing;
mod live;
mod ranges;
mod reading;
mod schema;
mod system;
mod strangers;
mod tokens;
mod uploads;
mod webhooks;
