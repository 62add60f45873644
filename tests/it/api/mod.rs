//! The HTTP API and the command line, as their users meet them.

mod accepted;
mod cancelling;
mod cli;
mod contract;
mod guards;
mod hostile;
mod limits;
mod listing;
mod live;
