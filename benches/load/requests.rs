//! Polling: the status endpoint beside a route that does nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::Table;
use crate::harness::short_request;
use crate::http::{Bytes, Connection, Requests, get, saturate, send_steadily};
use crate::processes::{Process, Running, pretend, start_hello};
use crate::report::{median, quantile};

const JOBS: usize = 100;
/// Enough that all scenes are planned, and some are made.
const PIECES: usize = 8;
const CONNECTIONS: usize = 50;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const STEADY_RATE: usize = 1000;
const STEADY: Duration = Duration::from_secs(5);

pub async fn measure(table: &mut Table) {
    let running = Running::start(&["project"]).await;
    let (hello, hello_address) = start_hello();
    let (statuses, not_modified) = polls(&running).await;
    let hello_requests: Requests = Arc::new(|_| get("/hello", "", ""));
    let (mut rates, mut cpu) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
    // By turns, so that what else the machine does meets all alike.
    for _ in 0..ROUNDS {
        let loads: [(&Process, _, &Requests, u16); 3] = [
            (&hello, hello_address, &hello_requests, 200),
            (&running.api, running.address, &statuses, 200),
            (&running.api, running.address, &not_modified, 304),
        ];
        for (index, (process, address, requests, expected)) in loads.into_iter().enumerate() {
            let before = process.cpu_seconds();
            let load = saturate(address, CONNECTIONS, ROUND, requests.clone(), expected).await;
            cpu[index].push((process.cpu_seconds() - before) / load.times_ms.len() as f64 * 1e6);
            rates[index].push(load.per_second);
        }
    }
    let [hello_rate, status_rate, not_modified_rate] = rates.map(median);
    table.row("a route that does nothing (salvo), 50 connections", format!("{hello_rate:.0}/s"), "");
    table.row("status", format!("{status_rate:.0}/s"), "");
    table.row("ratio of the two", format!("{:.2}", status_rate / hello_rate), "at least 0.5");
    table.row("status that has not changed (304)", format!("{not_modified_rate:.0}/s"), "");
    table.row("its ratio", format!("{:.2}", not_modified_rate / hello_rate), "at least 0.6");
    let [hello_cpu, status_cpu, not_modified_cpu] = cpu.map(median);
    table.row(
        "CPU time of the server for one: nothing, a status, a 304",
        format!("{hello_cpu:.0} µs, {status_cpu:.0} µs, {not_modified_cpu:.0} µs"),
        "",
    );
    let steady = send_steadily(running.address, STEADY_RATE, STEADY, statuses, 200).await;
    table.row(
        &format!("status, {STEADY_RATE} requests a second wanted and {:.0} sent, p50", steady.per_second),
        format!("{:.1} ms", quantile(&steady.times_ms, 0.5)),
        "",
    );
    table.row("the same, p99", format!("{:.1} ms", quantile(&steady.times_ms, 0.99)), "under 5 ms");
}

/// Polls of jobs that are being made: those that are answered with the status, and those that have it already.
async fn polls(running: &Running) -> (Requests, Requests) {
    let system = &running.system;
    let executor = running.executor().await;
    let jobs = (0..JOBS).map(|_| async {
        let job_id = system.generate(&short_request()).await;
        for _ in 0..PIECES {
            assert!(pretend(&executor, job_id.parse().unwrap(), |_| {}).await);
        }
        job_id
    });
    let jobs = join_all(jobs).await;
    system.read_models().await.caught_up().await;
    let token = system.token("user_1", "user");
    let mut connection = Connection::open(running.address).await;
    let (mut statuses, mut not_modified): (Vec<Bytes>, Vec<Bytes>) = (vec![], vec![]);
    for job_id in jobs {
        let path = format!("/api/v1/videos/jobs/{job_id}/status");
        let status = get(&path, &token, "");
        let answer: Value = serde_json::from_slice(connection.send(&status).await.body).unwrap();
        assert_eq!(answer["status"], "processing");
        not_modified.push(get(&path, &token, &format!("If-None-Match: \"v{}\"\r\n", answer["version"])));
        statuses.push(status);
    }
    let by_turns = |requests: Vec<Bytes>| -> Requests {
        Arc::new(move |number| requests[number % requests.len()].clone())
    };
    (by_turns(statuses), by_turns(not_modified))
}
