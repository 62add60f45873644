//! The whole system under load: API, worker and projector as processes of their own, as in production, and clients that
//! share the processors with them.
//! `cargo bench --features chaos --bench load [-- section…]`, with the sections of [`SECTIONS`].

#![allow(clippy::unwrap_used, dead_code)]

mod backlog;
mod download;
#[path = "../../tests/it/harness.rs"]
mod harness;
mod http;
mod jobs;
mod live;
mod processes;
#[path = "../report/mod.rs"]
mod report;
mod requests;

use std::fmt::Write;

use chrono::Utc;

const SECTIONS: [&str; 6] = ["jobs", "first_segment", "backlog", "requests", "live", "download"];

// As in `reel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if std::env::var_os(processes::HELLO).is_some() {
        return runtime.block_on(processes::say_hello());
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    assert!(named.iter().all(|name| SECTIONS.contains(&&**name)), "the sections are {SECTIONS:?}");
    let table = runtime.block_on(measure(&named));
    // A few sections alone are for whoever works on them.
    match named.is_empty() {
        true => report::write_section("load", &table),
        false => println!("{table}"),
    }
}

async fn measure(named: &[String]) -> String {
    let mut table = Table::new();
    for section in SECTIONS {
        if !named.is_empty() && !named.iter().any(|name| name == section) {
            continue;
        }
        eprintln!("load: {section}");
        match section {
            "jobs" => jobs::twelve_at_once(&mut table).await,
            "first_segment" => jobs::first_segment(&mut table).await,
            "backlog" => backlog::measure(&mut table).await,
            "requests" => requests::measure(&mut table).await,
            "live" => live::measure(&mut table).await,
            _ => download::measure(&mut table).await,
        }
    }
    table.text
}

/// The section of `docs/BENCHMARKS.md`.
pub struct Table {
    text: String,
}

impl Table {
    fn new() -> Self {
        let (date, cores) = (Utc::now().format("%Y-%m-%d"), std::thread::available_parallelism().unwrap());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap();
        let load = load.split(' ').next().unwrap();
        let text = format!(
            "## Under load\n\nAPI, worker and projector are processes of their own. Redis, PostgreSQL and all clients \
             share the machine's\nprocessors with them. Measured on {date} with {cores} cores; the load average before \
             was {load}.\n\n| figure | value | wanted |\n| --- | ---: | ---: |\n"
        );
        Self { text }
    }

    /// `wanted` is empty where nothing is.
    pub fn row(&mut self, figure: &str, value: String, wanted: &str) {
        eprintln!("  {figure}: {value}");
        writeln!(self.text, "| {figure} | {value} | {wanted} |").unwrap();
    }
}
