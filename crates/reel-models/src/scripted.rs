//! A server on the own machine that answers as a script says, in the protocols of all providers.
//!
//! It reads each request, records it, and hands it to a function that says what comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{ApiKey, Endpoint};
use crate::name::Provider;

/// A request that the server has received.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    /// The whole head, header names as they were sent.
    pub head: String,
    pub body: Value,
}

impl Received {
    /// Returns the instructions and the material, in whichever protocol they came.
    pub fn prompt(&self) -> (String, Value) {
        let body = &self.body;
        let (instructions, material) = if body["messages"][0]["role"] == "system" {
            (&body["messages"][0]["content"], &body["messages"][1]["content"])
        } else if body["system"].is_string() {
            (&body["system"], &body["messages"][0]["content"])
        } else {
            (&body["systemInstruction"]["parts"][0]["text"], &body["contents"][0]["parts"][0]["text"])
        };
        // Beside a picture, the material is one of several parts.
        let of_parts = || material.as_array().into_iter().flatten().find_map(|part| part["text"].as_str());
        let material = material.as_str().or_else(of_parts).unwrap_or_default();
        let instructions = instructions.as_str().unwrap_or_default().to_owned();
        (instructions, serde_json::from_str(material).unwrap_or_default())
    }

    /// Returns the picture in Base64, in whichever protocol it came.
    pub fn picture(&self) -> Option<String> {
        let body = &self.body;
        let url = body.pointer("/messages/1/content/1/image_url/url");
        let url = url.and_then(Value::as_str).and_then(|url| url.strip_prefix("data:image/png;base64,"));
        let data = ["/messages/0/content/0/source/data", "/contents/0/parts/1/inlineData/data"];
        let data = data.iter().find_map(|path| body.pointer(path)?.as_str());
        url.or(data).map(str::to_owned)
    }
}

/// The way in which the server answers a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A complete answer of a model with this text.
    Text(String),
    /// An answer of a model that refuses.
    Refusal,
    /// An answer that reached its limit.
    Cut(String),
    /// Any body with the status 200.
    Bytes(Vec<u8>),
    /// A status, and for how many seconds to wait.
    Status(u16, Option<u64>),
    /// A head that promises more bytes than come.
    Broken,
    /// Nothing, until the client goes away.
    Silence,
    /// A complete answer after a while.
    Slow(Duration, String),
}

/// The tokens that each answer says it used.
pub const INPUT_TOKENS: u64 = 100;
pub const OUTPUT_TOKENS: u64 = 20;

type Answering = dyn Fn(&Received) -> Reply + Send + Sync;

/// Stops when it is dropped.
pub struct Server {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (log, answer): (_, Arc<Answering>) = (received.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, log.clone(), answer.clone()));
            }
        });
        Ok(Self { url, received, task })
    }

    /// Returns an endpoint at which it is any provider.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url.clone(), key: Some(ApiKey("test-key".to_owned())) }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Serves one request; the connection closes after it.
async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Received>>>, answer: Arc<Answering>) {
    let Some(received) = receive(&mut stream).await else { return };
    log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(received.clone());
    let provider = provider_of(&received.path);
    let reply = answer(&received);
    let body = match reply {
        Reply::Text(text) => complete(provider, &text, false).to_string().into_bytes(),
        Reply::Cut(text) => complete(provider, &text, true).to_string().into_bytes(),
        Reply::Refusal => refusal(provider).to_string().into_bytes(),
        Reply::Bytes(bytes) => bytes,
        Reply::Slow(pause, text) => {
            tokio::time::sleep(pause).await;
            complete(provider, &text, false).to_string().into_bytes()
        }
        Reply::Status(status, wait) => {
            let wait = wait.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\n{wait}content-length: 2\r\nconnection: close\r\n\r\n{{}}"
            );
            let _client_gone = stream.write_all(head.as_bytes()).await;
            return;
        }
        Reply::Broken => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"choices\":";
            let _client_gone = stream.write_all(head.as_bytes()).await;
            return;
        }
        Reply::Silence => {
            let _client_gone = stream.read(&mut [0; 16]).await;
            return;
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    if stream.write_all(head.as_bytes()).await.is_ok() {
        let _client_gone = stream.write_all(&body).await;
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = vec![];
    let end = loop {
        let mut part = [0; 8192];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + length {
        let mut part = [0; 8192];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Some(Received { path, head, body: serde_json::from_slice(&bytes[end..]).unwrap_or_default() })
}

fn provider_of(path: &str) -> Provider {
    if path.contains("messages") {
        Provider::Anthropic
    } else if path.contains("generateContent") {
        Provider::Gemini
    } else {
        Provider::OpenAi
    }
}

fn complete(provider: Provider, text: &str, is_cut: bool) -> Value {
    let end = |complete, cut| if is_cut { cut } else { complete };
    match provider {
        Provider::OpenAi | Provider::Ollama => json!({
            "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": end("stop", "length") }],
            "usage": { "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS },
        }),
        Provider::Anthropic => json!({
            "content": [{ "type": "text", "text": text }], "stop_reason": end("end_turn", "max_tokens"),
            "usage": { "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS },
        }),
        Provider::Gemini => json!({
            "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": end("STOP", "MAX_TOKENS") }],
            "usageMetadata": { "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS },
        }),
    }
}

fn refusal(provider: Provider) -> Value {
    match provider {
        Provider::OpenAi | Provider::Ollama => {
            json!({ "choices": [{ "message": { "refusal": "I cannot." }, "finish_reason": "stop" }] })
        }
        Provider::Anthropic => json!({ "content": [], "stop_reason": "refusal" }),
        Provider::Gemini => json!({ "promptFeedback": { "blockReason": "SAFETY" } }),
    }
}
