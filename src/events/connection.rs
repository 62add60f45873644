//! Connecting to Redis, and reading how durable it is.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use super::log::Error;

/// Longer than any script may take, shorter than a caller would wait.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Connects, and reconnects by itself ever after (000-5.5).
pub async fn connect(client: &redis::Client) -> Result<ConnectionManager, Error> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_max_delay(LONGEST_RECONNECT_PAUSE)
        .set_number_of_retries(3);
    client
        .get_connection_manager_with_config(config)
        .await
        .map_err(|source| Error::Redis { attempted: "accept a connection", source })
}

/// What the server's settings promise about the events it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    pub append_only: bool,
    pub append_fsync: String,
    pub maxmemory_policy: String,
}

impl Durability {
    pub async fn read(connection: &mut ConnectionManager) -> Result<Self, Error> {
        let mut setting =
            async |name: &'static str| {
                let pair: Vec<String> =
                    redis::cmd("CONFIG").arg("GET").arg(name).query_async(connection).await.map_err(
                        |source| Error::Redis { attempted: "tell its durability settings", source },
                    )?;
                Ok::<_, Error>(pair.into_iter().nth(1).unwrap_or_default())
            };
        Ok(Self {
            append_only: setting("appendonly").await? == "yes",
            append_fsync: setting("appendfsync").await?,
            maxmemory_policy: setting("maxmemory-policy").await?,
        })
    }

    /// Whether the server may throw events away when memory is short. Such a server cannot be a
    /// source of truth.
    pub fn evicts(&self) -> bool {
        self.maxmemory_policy != "noeviction"
    }

    /// What an operator should know; `None` when every acknowledged event is on disk.
    pub fn warning(&self) -> Option<String> {
        if !self.append_only {
            return Some(
                "appendonly is off: events since the last snapshot are lost when redis stops".into(),
            );
        }
        match self.append_fsync.as_str() {
            "always" => None,
            other => Some(format!(
                "appendfsync is {other}: up to a second of events can be lost when the machine stops"
            )),
        }
    }
}
