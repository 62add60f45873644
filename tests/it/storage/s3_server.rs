//! An S3 server for tests: the real protocol, signatures and expiry included, over a folder; and faults on demand.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use reelstream::storage::{S3Credentials, S3Settings, StorageMode, StorageSettings};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const BUCKET: &str = "videos";
const KEY_ID: &str = "AKIATESTS";
const SECRET: &str = "secret-of-tests";

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An answer with a status and an S3 error code.
    Answer(u16, &'static str),
    /// The connection ends without an answer, before the server has done anything.
    Cut,
    /// The server does it, and the answer gets lost.
    LoseAnswer,
    /// The answer ends after so many bytes of its body.
    CutAnswer(usize),
    /// A byte of the request's body changes on its way.
    CorruptRequest,
    /// A byte of the answer's body changes on its way.
    CorruptAnswer,
    /// The server takes this long.
    Delay(Duration),
    /// By the server's clock, it is an hour later, so it refuses the signature. The answer to HEAD has no body.
    WrongClock,
    /// The server reads the body of a part, and keeps nothing of it.
    Swallow,
}

/// When something goes wrong.
struct Rule {
    method: &'static str,
    /// What the path with its query contains.
    target: String,
    fault: Fault,
    /// Requests that it still applies to.
    left: usize,
}

#[derive(Default)]
struct Shared {
    rules: Vec<Rule>,
    /// Method, and path with query, of each request.
    requests: Vec<(String, String)>,
}

pub struct S3Server {
    pub folder: TempDir,
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    serving: Option<JoinHandle<()>>,
}

impl S3Server {
    pub async fn start() -> Self {
        let folder = crate::harness::folder();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Self { folder, address, shared: Arc::default(), serving: None };
        server.start_again().await;
        server
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let files = s3s_fs::FileSystem::new(self.folder.path()).unwrap();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let (service, shared) = (service.build(), self.shared.clone());
        self.serving = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (service, shared) = (service.clone(), shared.clone());
                connections.spawn(async move {
                    let answer = service_fn(|request| answer(service.clone(), shared.clone(), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _cut = server.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        }));
    }

    /// Ends the server with all its connections.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _aborted = serving.await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn settings(&self, mode: StorageMode) -> StorageSettings {
        StorageSettings { mode, s3: Some(self.s3()), ..StorageSettings::default() }
    }

    pub fn s3(&self) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: None,
            endpoint: Some(self.url()),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: true,
            credentials: Some(S3Credentials {
                access_key_id: KEY_ID.to_owned(),
                secret_access_key: SECRET.to_owned(),
                session_token: None,
            }),
        }
    }

    /// The same settings for a process of its own.
    pub fn environment(&self, mode: &str) -> Vec<(&'static str, String)> {
        vec![
            ("VIDEO_STORAGE_MODE", mode.to_owned()),
            ("S3_BUCKET", BUCKET.to_owned()),
            ("S3_ENDPOINT", self.url()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// Lets `times` requests of a method, whose path and query contain `target`, go wrong.
    pub fn fail(&self, method: &'static str, target: &str, fault: Fault, times: usize) {
        let rule = Rule { method, target: target.to_owned(), fault, left: times };
        self.shared.lock().unwrap().rules.push(rule);
    }

    pub fn mend(&self) {
        self.shared.lock().unwrap().rules.clear();
    }

    /// The number of requests of a method whose path and query contain `target`.
    pub fn count(&self, method: &str, target: &str) -> usize {
        let shared = self.shared.lock().unwrap();
        shared.requests.iter().filter(|(of, path)| of == method && path.contains(target)).count()
    }

    /// The keys of all objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        let bucket = self.folder.path().join(BUCKET);
        let (mut keys, mut folders) = (vec![], vec![bucket.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => keys.push(path.strip_prefix(&bucket).unwrap().display().to_string()),
                }
            }
        }
        keys.sort();
        keys
    }

    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// Files of uploads in parts that are neither completed nor aborted.
    pub fn unfinished(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".upload") && name != BUCKET).collect()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

async fn answer(
    service: S3Service,
    shared: Arc<Mutex<Shared>>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, std::io::Error> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let method = request.method().to_string();
    let fault = shared.lock().unwrap().next(&method, &target);
    let request = match fault {
        Some(Fault::Answer(status, code)) => {
            let status = StatusCode::from_u16(status).unwrap();
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on demand</Message></Error>"
            );
            // The body is read, or the client may not see the answer.
            let _ignored = request.into_body().collect().await;
            return Ok(Response::builder().status(status).body(s3s::Body::from(body)).unwrap());
        }
        Some(Fault::WrongClock) => {
            let is_head = request.method() == hyper::Method::HEAD;
            let _ignored = request.into_body().collect().await;
            let code = "<Error><Code>RequestTimeTooSkewed</Code><Message>on demand</Message></Error>";
            let body = if is_head { s3s::Body::empty() } else { s3s::Body::from(code.to_owned()) };
            let date = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).format("%a, %d %b %Y %H:%M:%S GMT");
            let answer = Response::builder().status(403).header("date", date.to_string());
            return Ok(answer.body(body).unwrap());
        }
        Some(Fault::Swallow) => {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(std::io::Error::other)?;
            }
            let answer = Response::builder().header("etag", "\"swallowed\"");
            let completed = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>";
            return Ok(answer.body(s3s::Body::from(completed.to_owned())).unwrap());
        }
        Some(Fault::Cut) => return Err(std::io::Error::other("cut")),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            request.map(s3s::Body::from)
        }
        Some(Fault::CorruptRequest) => {
            let (parts, body) = request.into_parts();
            let mut bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Request::from_parts(parts, s3s::Body::from(bytes))
        }
        _ => request.map(s3s::Body::from),
    };
    let response =
        service.call(request).await.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    match fault {
        Some(Fault::LoseAnswer) => Err(std::io::Error::other("lost")),
        Some(Fault::CutAnswer(after)) => Ok(response.map(|body| change(body, Some(after)))),
        Some(Fault::CorruptAnswer) => Ok(response.map(|body| change(body, None))),
        _ => Ok(response),
    }
}

impl Shared {
    fn next(&mut self, method: &str, target: &str) -> Option<Fault> {
        self.requests.push((method.to_owned(), target.to_owned()));
        let applies = |rule: &&mut Rule| {
            rule.left > 0 && rule.method == method && target.contains(rule.target.as_str())
        };
        let rule = self.rules.iter_mut().find(applies)?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }
}

/// Ends a body after so many bytes, or changes its first byte.
fn change(body: s3s::Body, cut_after: Option<usize>) -> s3s::Body {
    let mut sent = 0;
    let pieces = body.map(move |piece| {
        let piece: Bytes = piece.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
        let before = sent;
        sent += piece.len();
        match cut_after {
            Some(after) if sent > after && before >= after => Err(std::io::Error::other("cut")),
            Some(after) => Ok(piece.slice(..piece.len().min(after - before.min(after)))),
            None if before == 0 => {
                let mut changed = piece.to_vec();
                changed[0] ^= 1;
                Ok(Bytes::from(changed))
            }
            None => Ok(piece),
        }
    });
    // The end that is cut off is an error, too: the client must not take what came for all.
    let end = futures_util::stream::once(async move {
        match cut_after {
            Some(_) => Err(std::io::Error::other("cut")),
            None => Ok(Bytes::new()),
        }
    });
    let frames = pieces.chain(end).map(|piece| piece.map(hyper::body::Frame::data));
    s3s::Body::http_body_unsync(http_body_util::StreamBody::new(frames))
}
