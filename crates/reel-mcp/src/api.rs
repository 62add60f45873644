//! Asks the HTTP API, and makes of its errors what an agent can act on.

use std::fmt::{self, Display};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// Longer than the longest `?wait`.
const TIMEOUT: Duration = Duration::from_secs(40);
/// More than any answer that the tools read.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Faults that an error lists.
const MAX_FAULTS: usize = 20;

/// An API at an address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// The API, asked by one user.
pub struct Session<'a> {
    api: &'a Api,
    /// The value of the `Authorization` header.
    authorization: &'a str,
}

/// An error that says what happened and what to do.
#[derive(Debug)]
pub struct Failure {
    /// `None` when the API did not answer.
    status: Option<StatusCode>,
    code: String,
    message: String,
    faults: Vec<String>,
    advice: Option<String>,
}

impl Api {
    pub fn new(url: &str) -> Result<Self, crate::Error> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(crate::Error::Client)?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned() })
    }

    pub fn session<'a>(&'a self, authorization: &'a str) -> Session<'a> {
        Session { api: self, authorization }
    }

    /// Returns the whole URL of a path under `/api/v1`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }
}

impl Session<'_> {
    pub fn url(&self, path: &str) -> String {
        self.api.url(path)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        read_json(self.send(self.request(Method::GET, path)).await?).await
    }

    pub async fn post(&self, path: &str, body: Option<&Value>, key: Option<&str>) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        read_json(self.send(request).await?).await
    }

    /// Reads a file: its type and its bytes.
    pub async fn file(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        match answer.status().is_success() {
            true => read_bytes(answer).await,
            false => Err(read_failure(answer).await),
        }
    }

    /// Returns the status of a job once its version differs from `version`, or `None` after `wait_seconds`.
    pub async fn changed_status(
        &self,
        job_id: &str,
        version: u64,
        wait_seconds: u64,
    ) -> Result<Option<Value>, Failure> {
        let path = format!("/videos/jobs/{job_id}/status?wait={wait_seconds}");
        let request = self.request(Method::GET, &path).header("If-None-Match", format!("\"v{version}\""));
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            _ => read_json(answer).await.map(Some),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.api.http.request(method, self.api.url(path)).header("Authorization", self.authorization)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| {
            let (message, advice) = if error.is_builder() {
                ("the token has characters that no header can carry".to_owned(), ADVICE_TOKEN)
            } else if error.is_timeout() {
                (format!("the API at {} did not answer in time", self.api.base), ADVICE_LATER)
            } else {
                (format!("no API answers at {}", self.api.base), ADVICE_START)
            };
            Failure {
                status: None,
                code: "API_UNREACHABLE".to_owned(),
                message,
                faults: vec![],
                advice: Some(advice.to_owned()),
            }
        })
    }
}

const ADVICE_TOKEN: &str =
    "ask the user for a valid session token (REEL_TOKEN, or the Authorization header over HTTP)";
const ADVICE_LATER: &str = "try again in a minute";
const ADVICE_START: &str = "ask the user to start it (`reel dev` does on a development machine), or to set REEL_API_URL to its address";

async fn read_json(answer: Response) -> Result<Value, Failure> {
    if !answer.status().is_success() {
        return Err(read_failure(answer).await);
    }
    let bytes = read_bytes(answer).await?;
    serde_json::from_slice(&bytes).map_err(|_| Failure::unreadable("is no JSON"))
}

async fn read_bytes(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    while let Some(part) = answer.chunk().await.map_err(|_| Failure::unreadable("broke off"))? {
        if bytes.len() + part.len() > MAX_ANSWER_BYTES {
            return Err(Failure::unreadable("is larger than 32 MiB"));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

async fn read_failure(answer: Response) -> Failure {
    let status = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body: Value = read_bytes(answer)
        .await
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let error = &body["error"];
    let details = error["details"].as_array().into_iter().flatten();
    Failure {
        status: Some(status),
        code: error["error_code"].as_str().unwrap_or("UNKNOWN").to_owned(),
        message: error["message"].as_str().unwrap_or("the API gave no reason").to_owned(),
        faults: details.take(MAX_FAULTS).map(describe_fault).collect(),
        advice: advice(status, retry_after),
    }
}

fn describe_fault(detail: &Value) -> String {
    let place: Vec<String> = detail["loc"].as_array().into_iter().flatten().map(plain).collect();
    let place = place.join(".");
    let place = place.strip_prefix("body.").unwrap_or(&place);
    format!("{place} {}", detail["msg"].as_str().unwrap_or_default())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn advice(status: StatusCode, retry_after_s: Option<u64>) -> Option<String> {
    let advice = match status {
        StatusCode::UNAUTHORIZED => ADVICE_TOKEN.to_owned(),
        StatusCode::NOT_FOUND => {
            "the id may be wrong, or the video may be another user's; list_videos lists those of this user"
                .to_owned()
        }
        StatusCode::CONFLICT => "read the video's state with get_video first".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY => {
            "correct the arguments that are listed, and call again".to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => "send less: a script has at most 200,000 characters".to_owned(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => match retry_after_s {
            Some(seconds) => format!("wait {seconds} s, and call again"),
            None => ADVICE_LATER.to_owned(),
        },
        _ => return None,
    };
    Some(advice)
}

impl Failure {
    fn unreadable(what: &str) -> Self {
        Self {
            status: None,
            code: "API_UNREADABLE".to_owned(),
            message: format!("the API's answer {what}"),
            faults: vec![],
            advice: Some(ADVICE_LATER.to_owned()),
        }
    }

    /// Builds the error of arguments that do not fit.
    pub fn of_arguments(message: impl Into<String>, faults: Vec<String>) -> Self {
        Self {
            status: Some(StatusCode::UNPROCESSABLE_ENTITY),
            code: "VALIDATION_ERROR".to_owned(),
            message: message.into(),
            faults: faults.into_iter().take(MAX_FAULTS).collect(),
            advice: advice(StatusCode::UNPROCESSABLE_ENTITY, None),
        }
    }

    /// Builds the error of a video that is not far enough.
    pub fn not_yet(message: impl Into<String>, advice: &str) -> Self {
        Self {
            status: Some(StatusCode::CONFLICT),
            code: "CONFLICT".to_owned(),
            message: message.into(),
            faults: vec![],
            advice: Some(advice.to_owned()),
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " ({})", status.as_u16())?;
        }
        write!(f, ": {}", self.message)?;
        for fault in &self.faults {
            write!(f, "\n- {fault}")?;
        }
        match &self.advice {
            Some(advice) => write!(f, "\nWhat to do: {advice}."),
            None => Ok(()),
        }
    }
}
