//! An HTTP/1.1 client that costs little: it shares the processors with the server that it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A request as it goes over the wire.
pub type Bytes = Arc<[u8]>;

pub fn get(path: &str, token: &str, headers: &str) -> Bytes {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n");
    head.into_bytes().into()
}

pub fn post(path: &str, token: &str, body: &Value) -> Bytes {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    head.into_bytes().into()
}

/// A connection that is kept open between requests.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(&mut self, request: &[u8]) -> Answer<'_> {
        let Head { status, body_at, length } = self.send_for_head(request).await;
        while self.buffer.len() < body_at + length {
            self.read().await;
        }
        Answer { status, body: &self.buffer[body_at..] }
    }

    /// Sends a request and reads its whole answer without keeping it. Returns the status and the bytes of the body.
    pub async fn drain(&mut self, request: &[u8]) -> (u16, usize) {
        let Head { status, body_at, length } = self.send_for_head(request).await;
        let mut left = length - (self.buffer.len() - body_at);
        self.buffer.resize(256 * 1024, 0);
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            left -= read;
        }
        (status, length)
    }

    async fn send_for_head(&mut self, request: &[u8]) -> Head {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            self.read().await;
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                return Head::parse(&self.buffer[..end + 4]);
            }
        }
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(read > 0, "the server closed the connection");
    }
}

struct Head {
    status: u16,
    body_at: usize,
    /// Of the body.
    length: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap().to_ascii_lowercase();
        assert!(!text.contains("\r\ntransfer-encoding"), "this client wants to know the length: {text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.map_or(0, |length| length.trim().parse().unwrap());
        Self { status: text[9..12].parse().unwrap(), body_at: bytes.len(), length }
    }
}

/// What many requests took.
pub struct Load {
    pub per_second: f64,
    pub times_ms: Vec<f64>,
}

/// The requests of a load, by their number.
pub type Requests = Arc<dyn Fn(usize) -> Bytes + Send + Sync>;

/// Sends requests until the time is up, each connection its next one when it has its answer.
pub async fn saturate(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    requests: Requests,
    expected: u16,
) -> Load {
    let began = Instant::now();
    let clients = (0..connections).map(|first| {
        let requests = requests.clone();
        async move {
            let mut connection = Connection::open(address).await;
            let mut times_ms = vec![];
            let mut number = first;
            while began.elapsed() < duration {
                let request = requests(number);
                let sent = Instant::now();
                let Answer { status, body } = connection.send(&request).await;
                assert_eq!(status, expected, "{}", String::from_utf8_lossy(body));
                times_ms.push(sent.elapsed().as_secs_f64() * 1e3);
                number += connections;
            }
            times_ms
        }
    });
    let times_ms = clients.collect::<JoinSet<_>>().join_all().await.concat();
    Load { per_second: times_ms.len() as f64 / began.elapsed().as_secs_f64(), times_ms }
}

/// Sends so many requests a second. A request's time counts from when it was due, so that a server that stands still for
/// a moment shows in all requests of that moment; the timer adds up to 1 ms.
pub async fn send_steadily(
    address: SocketAddr,
    per_second: usize,
    duration: Duration,
    requests: Requests,
    expected: u16,
) -> Load {
    const CONNECTIONS: usize = 50;
    let began = Instant::now();
    let total = (per_second as f64 * duration.as_secs_f64()) as usize;
    let clients = (0..CONNECTIONS).map(|first| {
        let requests = requests.clone();
        async move {
            let mut connection = Connection::open(address).await;
            let mut times_ms = vec![];
            for number in (first..total).step_by(CONNECTIONS) {
                let due = began + Duration::from_secs_f64(number as f64 / per_second as f64);
                tokio::time::sleep_until(due).await;
                let Answer { status, body } = connection.send(&requests(number)).await;
                assert_eq!(status, expected, "{}", String::from_utf8_lossy(body));
                times_ms.push(due.elapsed().as_secs_f64() * 1e3);
            }
            times_ms
        }
    });
    let times_ms = clients.collect::<JoinSet<_>>().join_all().await.concat();
    Load { per_second: times_ms.len() as f64 / began.elapsed().as_secs_f64(), times_ms }
}
