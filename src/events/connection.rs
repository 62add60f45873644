//! Connects to Redis: a single server, several servers with a primary, or a cluster. Connections recover after an outage
//! (000-5.5).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind,
    Value,
};
use tokio::sync::{Notify, watch};

use super::log::Error;

/// Longest time for a response: longer than any script may take.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
const MAX_RECONNECT_ATTEMPTS: usize = 2;
/// Interval of asking for the primary while no server is one.
const ELECTION_PAUSE: Duration = Duration::from_millis(200);

const ONE_SERVER: &str = "redis://";
const CLUSTER: &str = "redis+cluster://";

/// The address of Redis, in the form of `REDIS_URL`:
///
/// - `redis://host:port` one server
/// - `redis://host:port,host:port` servers of which one is the primary, found by asking each for its `ROLE`
/// - `redis+cluster://host:port,host:port` some nodes of a cluster
///
/// `user:password@` before the first host holds for all hosts that name none of their own; a comma in a password is
/// written `%2C`.
#[derive(Debug, Clone)]
pub struct Address {
    clients: Vec<Client>,
    is_cluster: bool,
}

impl Address {
    /// Parses an address, without connecting.
    pub fn parse(url: &str) -> RedisResult<Self> {
        let is_cluster = url.starts_with(CLUSTER);
        let scheme = if is_cluster { CLUSTER } else { ONE_SERVER };
        let Some(hosts) = url.strip_prefix(scheme) else {
            return Ok(Self { clients: vec![Client::open(url)?], is_cluster: false });
        };
        let shared = hosts.split(',').next().and_then(|first| first.rsplit_once('@'));
        let clients: RedisResult<Vec<Client>> = hosts
            .split(',')
            .map(|host| match shared {
                Some((credentials, _)) if !host.contains('@') => {
                    Client::open(format!("{ONE_SERVER}{credentials}@{host}"))
                }
                _ => Client::open(format!("{ONE_SERVER}{host}")),
            })
            .collect();
        Ok(Self { clients: clients?, is_cluster })
    }

    /// Connects. Every call opens new connections.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let refused = |source| Error::Redis { attempted: "accept a connection", source };
        if self.is_cluster {
            let nodes: Vec<_> =
                self.clients.iter().map(|client| client.get_connection_info().clone()).collect();
            let client = ClusterClientBuilder::new(nodes)
                .connection_timeout(CONNECTION_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .build()
                .map_err(refused)?;
            return client.get_async_connection().await.map(Connection::Cluster).map_err(refused);
        }
        if let [client] = &self.clients[..] {
            return connect_managed(client).await.map(Connection::Server).map_err(refused);
        }
        Primary::find(&self.clients).await.map(Connection::Primary).map_err(refused)
    }

    /// Opens a connection for subscriptions. Nodes of a cluster forward messages to each other, and a primary to its replicas, so
    /// any server that answers serves.
    pub async fn subscriber(&self) -> RedisResult<PubSub> {
        let mut refused = None;
        for client in &self.clients {
            match tokio::time::timeout(CONNECTION_TIMEOUT, client.get_async_pubsub()).await {
                Ok(Ok(subscriber)) => return Ok(subscriber),
                Ok(Err(error)) => refused = Some(error),
                Err(_) => refused = Some(timed_out()),
            }
        }
        Err(refused.unwrap_or_else(timed_out))
    }

    /// Returns the durability of every server that answers and may hold events: the named ones, and all primary nodes of a
    /// cluster.
    pub async fn durability(&self) -> Result<Vec<Durability>, Error> {
        let clients = match self.is_cluster {
            true => self.primary_nodes().await?,
            false => self.clients.clone(),
        };
        let mut found = vec![];
        for client in &clients {
            if let Ok(mut connection) = connect_managed(client).await {
                found.push(Durability::read(&mut connection).await?);
            }
        }
        Ok(found)
    }

    /// Lists the keys that match a pattern of `SCAN`. Of a cluster, asks every primary node.
    pub async fn scan(&self, pattern: &str) -> Result<BTreeSet<String>, Error> {
        let mut found = BTreeSet::new();
        if !self.is_cluster {
            scan(&mut self.connect().await?, pattern, &mut found).await?;
            return Ok(found);
        }
        for client in self.primary_nodes().await? {
            let refused = |source| Error::Redis { attempted: "accept a connection", source };
            let mut connection = connect_managed(&client).await.map_err(refused)?;
            scan(&mut connection, pattern, &mut found).await?;
        }
        Ok(found)
    }

    /// Asks the first node that answers for the primary nodes, and returns their addresses.
    async fn primary_nodes(&self) -> Result<Vec<Client>, Error> {
        let attempted = "list the cluster's nodes";
        let mut refused = timed_out();
        for client in &self.clients {
            let asked = async {
                let mut connection = connect_managed(client).await?;
                redis::cmd("CLUSTER").arg("NODES").query_async::<String>(&mut connection).await
            };
            match asked.await {
                Ok(nodes) => {
                    let seed = client.get_connection_info();
                    let of = |address| Client::open(seed.clone().set_addr(address));
                    let clients =
                        primaries(&nodes, seed.addr()).into_iter().map(of).collect::<RedisResult<_>>();
                    return clients.map_err(|source| Error::Redis { attempted, source });
                }
                Err(error) => refused = error,
            }
        }
        Err(Error::Redis { attempted, source: refused })
    }
}

/// Keys that a server looks at in one step of [`Address::scan`].
const SCANNED_KEYS: usize = 1000;

async fn scan(
    connection: &mut impl ConnectionLike,
    pattern: &str,
    found: &mut BTreeSet<String>,
) -> Result<(), Error> {
    let mut cursor = 0u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED_KEYS);
        let page: RedisResult<(u64, Vec<String>)> = command.query_async(connection).await;
        let (next, keys) = page.map_err(|source| Error::Redis { attempted: "list its keys", source })?;
        found.extend(keys);
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// Parses the addresses of the primary nodes in the answer to `CLUSTER NODES`. They take from the seed the host, where a node
/// states none, and TLS.
/// <https://redis.io/docs/latest/commands/cluster-nodes/>
fn primaries(nodes: &str, seed: &ConnectionAddr) -> Vec<ConnectionAddr> {
    let primary = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (address, flags) = (fields.next()?, fields.next()?);
        let is_primary = flags.split(',').any(|flag| flag == "master");
        let is_away = flags.split(',').any(|flag| ["fail", "handshake", "noaddr"].contains(&flag));
        // `host:port@bus port,hostname`
        let (host, port) = address.split('@').next()?.rsplit_once(':')?;
        let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?);
        (is_primary && !is_away).then(|| node_address(seed, host, port))
    };
    nodes.lines().filter_map(primary).collect()
}

fn node_address(seed: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    let own = |known: &String| if host.is_empty() { known.clone() } else { host.clone() };
    match seed {
        ConnectionAddr::TcpTls { host: known, insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: own(known),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        ConnectionAddr::Tcp(known, _) => ConnectionAddr::Tcp(own(known), port),
        _ => ConnectionAddr::Tcp(host, port),
    }
}

impl Address {
    /// Makes every server that answers rewrite its files from memory, so that no overwritten or deleted data stays in them, and
    /// waits for it. Returns the number of servers that did not answer.
    pub async fn rewrite_files(&self, patience: Duration) -> Result<usize, Error> {
        let mut silent = 0;
        for client in &self.clients {
            match connect_managed(client).await {
                Ok(mut connection) => rewrite_files(&mut connection, patience).await?,
                Err(_) => silent += 1,
            }
        }
        Ok(silent)
    }
}

/// Rewrites the append-only file and the snapshot, as far as the server has them.
async fn rewrite_files(connection: &mut ConnectionManager, patience: Duration) -> Result<(), Error> {
    let attempted = "write its files anew";
    let failed = |source| Error::Redis { attempted, source };
    let save: Vec<String> =
        redis::cmd("CONFIG").arg("GET").arg("save").query_async(connection).await.map_err(failed)?;
    let keeps_snapshots = save.get(1).is_some_and(|rules| !rules.is_empty());
    let keeps_log = Durability::read(connection).await?.append_only;
    let began = Instant::now();
    for (is_kept, command, last_status) in [
        (keeps_log, "BGREWRITEAOF", "aof_last_bgrewrite_status:ok"),
        (keeps_snapshots, "BGSAVE", "rdb_last_bgsave_status:ok"),
    ] {
        if !is_kept {
            continue;
        }
        // Another rewrite that runs already may have begun too early.
        wait_for_rewrites(connection, began, patience).await.map_err(failed)?;
        let _started: Value = redis::cmd(command).query_async(connection).await.map_err(failed)?;
        let info = wait_for_rewrites(connection, began, patience).await.map_err(failed)?;
        if !info.contains(last_status) {
            return Err(failed(std::io::Error::other(format!("{command} failed; its log says why")).into()));
        }
    }
    Ok(())
}

/// Waits until the server writes no file in the background, and returns its `INFO persistence`.
async fn wait_for_rewrites(
    connection: &mut ConnectionManager,
    began: Instant,
    patience: Duration,
) -> RedisResult<String> {
    const RUNNING: [&str; 4] = [
        "aof_rewrite_in_progress:1",
        "aof_rewrite_scheduled:1",
        "rdb_bgsave_in_progress:1",
        "async_loading:1",
    ];
    loop {
        let info: String = redis::cmd("INFO").arg("persistence").query_async(connection).await?;
        if !RUNNING.iter().any(|state| info.contains(state)) {
            return Ok(info);
        }
        if began.elapsed() > patience {
            return Err(timed_out());
        }
        tokio::time::sleep(ELECTION_PAUSE).await;
    }
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

async fn connect_managed(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_min_delay(FIRST_RECONNECT_PAUSE)
        .set_max_delay(MAX_RECONNECT_PAUSE)
        .set_number_of_retries(MAX_RECONNECT_ATTEMPTS);
    client.get_connection_manager_with_config(config).await
}

/// A multiplexed connection. Cheap to clone.
#[derive(Clone)]
pub enum Connection {
    Server(ConnectionManager),
    Primary(Primary),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Whether a pipeline may name keys of one slot only.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Connection::Server(server) => server.req_packed_command(cmd),
            Connection::Primary(primary) => {
                Box::pin(async move { primary.watch(primary.current().req_packed_command(cmd).await) })
            }
            Connection::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Connection::Primary(primary) => Box::pin(async move {
                primary.watch(primary.current().req_packed_commands(pipeline, offset, count).await)
            }),
            Connection::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// A connection to the primary of several servers. When it is gone, or has become a replica, all servers are asked again until
/// one is the primary.
#[derive(Clone)]
pub struct Primary {
    current: watch::Receiver<ConnectionManager>,
    lost: Arc<Notify>,
}

impl Primary {
    async fn find(clients: &[Client]) -> RedisResult<Self> {
        let first = elect(clients).await?;
        let (sender, current) = watch::channel(first);
        let lost = Arc::new(Notify::new());
        let (clients, noticed) = (clients.to_vec(), lost.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = noticed.notified() => {}
                    () = sender.closed() => return,
                }
                match elect(&clients).await {
                    Ok(connection) => drop(sender.send_replace(connection)),
                    Err(error) => {
                        tracing::warn!(%error, "no redis server says that it is the primary");
                        tokio::time::sleep(ELECTION_PAUSE).await;
                        noticed.notify_one();
                    }
                }
            }
        });
        Ok(Self { current, lost })
    }

    fn current(&self) -> ConnectionManager {
        self.current.borrow().clone()
    }

    fn watch<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result
            && (is_outcome_unknown(error) || is_read_only(error))
        {
            self.lost.notify_one();
        }
        result
    }
}

async fn elect(clients: &[Client]) -> RedisResult<ConnectionManager> {
    let mut refused = None;
    for client in clients {
        let asked = async {
            let mut connection = connect_managed(client).await?;
            let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
            let name: String =
                role.into_iter().next().map(redis::from_redis_value).transpose()?.unwrap_or_default();
            RedisResult::Ok((connection, name))
        };
        match asked.await {
            Ok((connection, role)) if role == "master" => return Ok(connection),
            Ok(_replica) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| (ErrorKind::Client, "no server is the primary").into()))
}

/// Returns `true` when the server may have applied the command without an answer.
pub fn is_outcome_unknown(error: &RedisError) -> bool {
    error.is_timeout()
        || error.is_io_error()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
}

/// Returns `true` when the server refused because it cannot write at present; nothing was applied.
pub fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The durability settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    pub append_only: bool,
    pub append_fsync: String,
    pub maxmemory_policy: String,
}

impl Durability {
    async fn read(connection: &mut ConnectionManager) -> Result<Self, Error> {
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

    /// Returns `true` when the server may evict events. Such a server cannot be a source of truth.
    pub fn evicts(&self) -> bool {
        self.maxmemory_policy != "noeviction"
    }

    /// Returns a warning for the operator; `None` when every acknowledged event is on disk.
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

#[cfg(test)]
mod tests {
    use super::*;

    // L10
    #[test]
    fn a_clusters_primary_nodes_are_found_in_what_a_node_says() {
        let nodes = "07c37df 127.0.0.1:30004@31004,host4 slave e7d1eec 0 1426238317239 4 connected\n\
            67ed2db :30002@31002 myself,master - 0 0 2 connected 5461-10922\n\
            292f8b3 10.0.0.3:30003@31003,host3 master - 0 1426238318243 3 connected 10923-16383\n\
            6ec2392 10.0.0.9:30005@31005 master,fail - 0 1426238316232 5 connected\n\
            824fe11 [::1]:30006@31006 master - 0 1426238317741 6 connected\n";
        let seed = ConnectionAddr::Tcp("seed".into(), 6379);
        let expected = [("seed", 30002), ("10.0.0.3", 30003), ("::1", 30006)];
        let expected: Vec<_> =
            expected.iter().map(|(host, port)| ConnectionAddr::Tcp((*host).into(), *port)).collect();
        assert_eq!(primaries(nodes, &seed), expected);
    }

    #[test]
    fn an_address_names_one_server_several_or_a_cluster() {
        let count = |url| Address::parse(url).map(|address| (address.clients.len(), address.is_cluster)).ok();
        assert_eq!(count("redis://127.0.0.1:6379"), Some((1, false)));
        assert_eq!(count("redis://127.0.0.1:1,127.0.0.1:2"), Some((2, false)));
        assert_eq!(count("redis+cluster://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"), Some((3, true)));
        assert_eq!(count("http://127.0.0.1"), None);
        assert_eq!(count("redis://127.0.0.1:1,:nonsense:"), None);
    }

    // L3
    #[test]
    fn credentials_go_to_every_host() {
        let users = |url: &str| -> Vec<(Option<String>, Option<String>)> {
            let address = Address::parse(url).unwrap();
            let settings = address.clients.iter().map(|client| client.get_connection_info().redis_settings());
            settings
                .map(|info| (info.username().map(str::to_owned), info.password().map(str::to_owned)))
                .collect()
        };
        let reel = (Some("reel".to_owned()), Some("s3,cret".to_owned()));
        let other = (Some("other".to_owned()), Some("pw".to_owned()));
        for scheme in ["redis://", "redis+cluster://"] {
            assert_eq!(
                users(&format!("{scheme}reel:s3%2Ccret@127.0.0.1:1,127.0.0.1:2")),
                [reel.clone(), reel.clone()]
            );
        }
        assert_eq!(users("redis://reel:s3%2Ccret@127.0.0.1:1,other:pw@127.0.0.1:2"), [reel, other]);
        assert_eq!(users("redis://127.0.0.1:1"), [(None, None)]);
    }
}
