//! Serves agents over the Model Context Protocol: tools that make and change videos, and finished videos as resources.
//!
//! Everything is a request to the HTTP API with the user's own token, so a user's rights, limits and rate limits hold
//! without another line of code. Over stdio, the process has one token; over HTTP, each request carries its caller's.
//! Texts of users, and of the API, are data: they reach an agent inside JSON values, and nothing here acts on them.
//!
//! Deliberately absent: another way to the log, state between two requests, and the prompts and tasks of the protocol.

mod answers;
mod api;
mod arguments;
mod handler;
pub mod http;
mod resources;
mod scenes;
mod tools;
mod watch;

pub use api::Api;
pub use handler::{Agents, Caller};

use rmcp::ServiceExt;
use rmcp::transport::stdio;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error(
        "{0} is no loopback address: tokens would travel unencrypted; use 127.0.0.1:PORT, behind a proxy with TLS"
    )]
    NotLoopback(std::net::SocketAddr),
    #[error("the agent did not begin as the protocol says")]
    Begin(#[source] Box<rmcp::service::ServerInitializeError>),
    #[error("the connection to the agent broke")]
    Broken(#[source] tokio::task::JoinError),
}

/// Serves one agent over standard input and output until it closes them.
///
/// Standard output carries nothing but the protocol.
pub async fn serve_stdio(agents: Agents) -> Result<(), Error> {
    let begun = agents.serve(stdio()).await;
    // An agent that goes before its first request has asked for nothing.
    let running = match begun {
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        begun => begun.map_err(|error| Error::Begin(Box::new(error)))?,
    };
    running.waiting().await.map(|_reason| ()).map_err(Error::Broken)
}
