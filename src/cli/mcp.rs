//! `reel mcp`: serves agents over the Model Context Protocol, as a client of the API.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use reel_mcp::{Agents, Api, http, serve_stdio};

use super::{ApiArguments, NO_TOKEN, start_logs};
use crate::app;

#[derive(Args)]
pub struct Mcp {
    /// Serve streamable HTTP on this loopback address instead of standard input and output; callers send their own tokens
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    #[command(flatten)]
    api: ApiArguments,
}

/// Standard output carries the protocol, so everything else goes to standard error.
pub async fn mcp(arguments: Mcp) -> anyhow::Result<()> {
    let Mcp { http: address, api } = arguments;
    start_logs("warn")?;
    let client = Api::new(&api.url)?;
    let Some(address) = address else {
        let token = api.token.as_deref().context(NO_TOKEN)?;
        return Ok(serve_stdio(Agents::of_user(client, token)).await?);
    };
    let stop = app::stop_on_signals()?;
    let say =
        |address| eprintln!("serving agents at http://{address}/mcp; each request needs its caller's token");
    Ok(http::serve(Agents::of_callers(client), address, stop, say).await?)
}
