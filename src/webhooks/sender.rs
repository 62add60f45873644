//! Sends one message: to the very addresses that were checked, without redirects, within a bounded time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::Url;

use super::signature::Secret;
use super::target::{self, TargetPolicy};

/// For everything: looking up the name, connecting, sending, and the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("Reelstream/", env!("CARGO_PKG_VERSION"));

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the receiver's URL is not fit")]
    Url(#[from] target::Unfit),
    #[error("the receiver's name stands for an address that is not public")]
    PrivateAddress,
    #[error("the receiver did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the receiver cannot be reached")]
    Unreachable(#[source] reqwest::Error),
}

/// A message to a receiver.
#[derive(Debug, Clone)]
pub struct Message {
    /// The same each time it is sent, so that a receiver can tell that it knows it.
    pub id: String,
    /// When it is sent, in seconds since 1970.
    pub timestamp: i64,
    /// JSON.
    pub body: String,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    secret: Secret,
    policy: TargetPolicy,
}

impl Sender {
    pub fn new(secret: Secret, policy: TargetPolicy) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            // A proxy would look the name up by itself.
            .no_proxy()
            // A connection is not used again: what it leads to was checked once.
            .pool_max_idle_per_host(0)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(CheckedResolver { policy }))
            .build()?;
        Ok(Self { http, secret, policy })
    }

    /// Sends a message, and returns the status of the answer. Its body is not read.
    pub async fn send(&self, url: &str, message: &Message) -> Result<u16, Error> {
        let url = target::parse(url)?;
        // An address that stands in the URL is not looked up.
        self.policy.check(&url)?;
        let answer = self.request(url, message).send().await.map_err(not_sent)?;
        Ok(answer.status().as_u16())
    }

    fn request(&self, url: Url, message: &Message) -> reqwest::RequestBuilder {
        let Message { id, timestamp, body } = message;
        let signature = self.secret.sign(id, *timestamp, body.as_bytes());
        let request = self.http.post(url).header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp.to_string());
        request.header("webhook-signature", signature).body(body.clone())
    }
}

fn not_sent(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::Timeout;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if found.is::<NotPublic>() {
            return Error::PrivateAddress;
        }
        cause = found.source();
    }
    // What a user wrote is for no log.
    Error::Unreachable(error.without_url())
}

#[derive(Debug, thiserror::Error)]
#[error("an address of {0} is not public")]
struct NotPublic(String);

/// Resolves names to addresses that may be asked. What it gives is what is connected to.
struct CheckedResolver {
    policy: TargetPolicy,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // A name that stands for both kinds is not what it seems.
            if addresses.iter().any(|address| !policy.allows(address.ip())) {
                return Err(NotPublic(name).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
