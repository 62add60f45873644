//! The HTTP API and the command line, as their users meet them.

mod cancelling;
mod cli;
mod contract;
mod guards;
mod hostile;
mod listing;
