//! The same system on a Redis Cluster of three nodes.

use std::process::Command;
use std::time::Duration;

use reelstream::dev::{PrivateRedis, free_port};
use reelstream::events::connection::Address;
use tempfile::TempDir;

use crate::harness::{ALL_ROLES, System, eventually, folder, short_request};

/// Three primaries that share the slots.
struct Cluster {
    nodes: Vec<PrivateRedis>,
    _folder: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let folder = folder();
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let nodes: Vec<PrivateRedis> = (0..3).map(|node| start_node(&folder, node, &settings)).collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { nodes, _folder: folder };
        eventually("all nodes agree", async || {
            cluster.nodes.iter().all(|node| cluster_info(node.port()).contains("cluster_state:ok"))
        })
        .await;
        cluster
    }

    fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}

/// The bus listens 10,000 ports above, so the port must be low enough.
fn start_node(folder: &TempDir, node: usize, settings: &[&str]) -> PrivateRedis {
    let place = folder.path().join(format!("node-{node}"));
    for _ in 0..50 {
        let port = free_port().unwrap();
        let bus = port.checked_add(10_000);
        if bus.is_some_and(|bus| std::net::TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return PrivateRedis::start_on(&place, port, settings).unwrap();
        }
    }
    panic!("no port whose bus port is free, too");
}

fn cluster_info(port: u16) -> String {
    let output =
        Command::new("redis-cli").args(["-p", &port.to_string(), "cluster", "info"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

// L10
#[tokio::test]
async fn every_primary_of_a_cluster_is_asked_whether_it_evicts() {
    let cluster = Cluster::start().await;
    let seed = format!("redis+cluster://127.0.0.1:{}", cluster.nodes[0].port());
    let address = Address::parse(&seed).unwrap();
    let durability = address.durability().await.unwrap();
    assert_eq!(durability.len(), 3);
    assert!(!durability.iter().any(|server| server.evicts()), "{durability:?}");
    let port = cluster.nodes[2].port().to_string();
    let evict = ["-p", &port, "config", "set", "maxmemory-policy", "allkeys-lru"];
    assert!(Command::new("redis-cli").args(evict).status().unwrap().success());
    let durability = address.durability().await.unwrap();
    assert_eq!(durability.iter().filter(|server| server.evicts()).count(), 1, "{durability:?}");
}

#[tokio::test]
async fn a_script_becomes_a_video_on_a_cluster() {
    let cluster = Cluster::start().await;
    let system = System::start_with(&ALL_ROLES, |config| config.redis.url = cluster.url()).await;
    let mut jobs = vec![];
    for _ in 0..4 {
        jobs.push(system.generate(&short_request()).await);
    }
    for job_id in &jobs {
        let statuses = system.statuses_until_ended(job_id, Duration::from_secs(120)).await;
        assert_eq!(statuses.last().unwrap()["status"], "completed", "{:?}", statuses.last());
        let video = system.get(&format!("/api/v1/videos/jobs/{job_id}/download")).await;
        assert_eq!(video.status(), 200);
    }
    let answer = system.get("/api/v1/system/health").await;
    let health: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(health["components"]["redis"]["status"], "healthy", "{health}");
    // The log is spread over the nodes: each partition is whole on one of them.
    let sizes = cluster.nodes.iter().map(|node| {
        let output =
            Command::new("redis-cli").args(["-p", &node.port().to_string(), "dbsize"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    });
    let used = sizes.filter(|keys| *keys > 0).count();
    assert!(used >= 2, "only {used} nodes hold keys");
    system.running.stop().await;
}
