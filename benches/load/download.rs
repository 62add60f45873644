//! Downloading a large video, beside nginx with the same file.

use std::net::SocketAddr;
use std::time::Instant;

use reelstream::domain::job::Outcome;
use reelstream::events::job::{FileRole, StoredFile};

use crate::Table;
use crate::harness::short_request;
use crate::http::{Bytes, Connection, get};
use crate::processes::{Running, pretend, start_nginx};
use crate::report::{median, memory_of};

const FILE_BYTES: usize = 245_000_000;
const ROUNDS: usize = 5;

pub async fn measure(table: &mut Table) {
    let running = Running::start(&["project"]).await;
    let job_id = video_of(&running, FILE_BYTES).await;
    let token = running.system.token("user_1", "user");
    let ours = get(&format!("/api/v1/videos/jobs/{job_id}/download"), &token, "");
    let nginx = start_nginx(running.system.media(), running.system.servers.folder.path()).await;
    let theirs = get(&format!("/videos/{job_id}/large.mp4"), "", "");
    // The first one brings the file into memory.
    megabytes_per_second(running.address, &ours).await;
    let memory_before = memory_of(running.api.id(), "VmHWM");
    let (mut our_rates, mut their_rates) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        our_rates.push(megabytes_per_second(running.address, &ours).await);
        if let Some((_, address)) = &nginx {
            their_rates.push(megabytes_per_second(*address, &theirs).await);
        }
    }
    let growth = memory_of(running.api.id(), "VmHWM") - memory_before;
    let our_rate = median(our_rates);
    table.row("download of a file of 245 MB, one connection", format!("{our_rate:.0} MB/s"), "");
    if nginx.is_some() {
        let their_rate = median(their_rates);
        table.row("the same file from nginx (`sendfile`, one process)", format!("{their_rate:.0} MB/s"), "");
        table.row("ratio of the two", format!("{:.2}", our_rate / their_rate), "at least 0.5");
    } else {
        table.row("the same file from nginx", "not installed".to_owned(), "");
    }
    table.row("growth of the API process's peak memory after the first", format!("{growth:.1} MB"), "flat");
}

/// A completed job, whose video is not one, but is as large.
async fn video_of(running: &Running, bytes: usize) -> String {
    let job_id = running.system.generate(&short_request()).await;
    let key = format!("videos/{job_id}/large.mp4");
    let path = running.system.media().join(&key);
    let content: Vec<u8> =
        (0..bytes as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &content).unwrap();
    let blake3 = blake3::hash(&content).to_hex().to_string();
    let file = StoredFile {
        role: FileRole::Video,
        rendition: None,
        key,
        bytes: bytes as u64,
        blake3,
        stream: vec![],
    };
    let executor = running.executor().await;
    let store = |outcome: &mut Outcome| {
        if let Outcome::Stored { files, .. } = outcome {
            files.push(file.clone());
        }
    };
    while pretend(&executor, job_id.parse().unwrap(), store).await {}
    running.system.read_models().await.caught_up().await;
    job_id
}

async fn megabytes_per_second(address: SocketAddr, request: &Bytes) -> f64 {
    let mut connection = Connection::open(address).await;
    let began = Instant::now();
    let (status, bytes) = connection.drain(request).await;
    assert_eq!((status, bytes), (200, FILE_BYTES));
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}
