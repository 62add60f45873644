//! `reel probe`: whether a role is ready, for health checks where nothing else can ask, such as in an image without a shell.
//!
//! A role that is not ready is no reason to restart it: each waits for its servers by itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::app;
use crate::config::{ApiConfig, PostgresConfig, RedisConfig, Streams, process_environment};
use crate::consumers::running_workers_here;
use crate::events::EventLog;
use crate::postgres;

/// Longest time that a probe may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that one server may take, so that the probe can name it.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Probed {
    /// Asks `/readyz` at the port of REEL_BIND
    Api,
    /// Looks for the heartbeat of a worker of this host in Redis
    Worker,
    /// Asks Redis and PostgreSQL for an answer
    Projector,
}

pub async fn probe(role: Probed) -> anyhow::Result<()> {
    let probed = async {
        match role {
            Probed::Api => api().await,
            Probed::Worker => worker().await,
            Probed::Projector => projector().await,
        }
    };
    let answered = tokio::time::timeout(PATIENCE, probed).await;
    answered.unwrap_or_else(|_| bail!("no answer within {} s", PATIENCE.as_secs()))
}

async fn api() -> anyhow::Result<()> {
    let url = ready_url(ApiConfig::from_environment(&process_environment)?.bind);
    // The API is on this host, whatever proxy the environment names.
    let client = reqwest::Client::builder().no_proxy().build().context("cannot set up the HTTP client")?;
    let answer = client.get(&url).send().await.with_context(|| format!("{url} does not answer"))?;
    if !answer.status().is_success() {
        bail!("{url} answered {}, expected 200; /api/v1/system/health says why", answer.status().as_u16());
    }
    Ok(())
}

fn ready_url(bind: SocketAddr) -> String {
    let mut address = bind;
    if bind.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!("http://{address}/readyz")
}

async fn worker() -> anyhow::Result<()> {
    if running_workers_here(&log().await?).await? == 0 {
        bail!("no worker of this host has sent a heartbeat in the last 10 s");
    }
    Ok(())
}

async fn projector() -> anyhow::Result<()> {
    answers("redis at REDIS_URL", async { Ok(log().await?.ping().await?) }).await?;
    let url = PostgresConfig::from_environment(&process_environment)?.url;
    let query = async {
        let pool = postgres::connect(&url).await?;
        sqlx::query("select 1").execute(&pool).await?;
        Ok(())
    };
    answers("postgres at DATABASE_URL", query).await
}

async fn answers(server: &str, asked: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let answered = tokio::time::timeout(SERVER_PATIENCE, asked).await;
    let answered = answered.with_context(|| format!("no answer within {} s", SERVER_PATIENCE.as_secs()));
    answered.flatten().with_context(|| format!("{server} does not answer"))
}

async fn log() -> anyhow::Result<EventLog> {
    let redis = RedisConfig::from_environment(&process_environment)?;
    let streams = Streams::from_environment(&process_environment)?;
    app::connect(&app::address(&redis)?, &redis, &streams).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(ready_url("0.0.0.0:8080".parse().unwrap()), "http://127.0.0.1:8080/readyz");
        assert_eq!(ready_url("[::1]:80".parse().unwrap()), "http://[::1]:80/readyz");
    }
}
