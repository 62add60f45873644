//! The messages that Clerk sends, signed by the Standard Webhooks specification (Clerk uses Svix, which began it).

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::webhooks::Secret;
use crate::webhooks::signature::Refusal;

const MAX_ID_BYTES: usize = 255;

/// What a message leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A user's account is gone.
    UserDeleted { user_id: String },
    /// A user's details, or their role, may be others now.
    UserUpdated { user_id: String },
    /// Nothing that matters here.
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "a message needs the headers svix-id, svix-timestamp and svix-signature, or those with webhook- in place of svix-"
    )]
    Headers,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the message is no JSON object with a type")]
    Parse(#[source] serde_json::Error),
    #[error("the message names no user")]
    NoUser,
}

/// What a message's headers say.
pub struct Headers<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

impl<'a> Headers<'a> {
    /// Finds them under either name. `header` gives a header's value.
    pub fn find(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        let found = ["svix", "webhook"].into_iter().find_map(|prefix| {
            let of = |name: &str| header(&format!("{prefix}-{name}"));
            Some(Self { id: of("id")?, timestamp: of("timestamp")?, signature: of("signature")? })
        });
        found.ok_or(Error::Headers)
    }

    /// Names the message: a second delivery has the same name.
    pub fn command_name(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("clerk:{}", self.id).as_bytes())
    }
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    #[serde(default)]
    data: Value,
}

/// Reads a message whose signature is valid. `now` is in seconds since 1970.
pub fn read(secret: &Secret, headers: &Headers<'_>, body: &[u8], now: i64) -> Result<Happened, Error> {
    secret.verify(headers.id, headers.timestamp, headers.signature, body, now)?;
    let message: Message = serde_json::from_slice(body).map_err(Error::Parse)?;
    let user_id = || {
        let id = message.data["id"].as_str().filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        id.map(str::to_owned).ok_or(Error::NoUser)
    };
    match message.r#type.as_str() {
        "user.deleted" => Ok(Happened::UserDeleted { user_id: user_id()? }),
        "user.updated" => Ok(Happened::UserUpdated { user_id: user_id()? }),
        _ => Ok(Happened::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_only_with_a_valid_signature() {
        let secret = Secret::parse(&Secret::generate().unwrap()).unwrap();
        let read = |body: &str| {
            let signature = secret.sign("msg_1", 1000, body.as_bytes());
            let headers = Headers { id: "msg_1", timestamp: "1000", signature: &signature };
            super::read(&secret, &headers, body.as_bytes(), 1001)
        };
        let deleted =
            read(r#"{"type":"user.deleted","data":{"id":"user_1","deleted":true,"object":"user"}}"#);
        assert_eq!(deleted.unwrap(), Happened::UserDeleted { user_id: "user_1".into() });
        assert_eq!(read(r#"{"type":"session.created","data":{"id":"sess_1"}}"#).unwrap(), Happened::Other);
        for body in [
            r#"{"type":"user.deleted"}"#,
            r#"{"type":"user.deleted","data":{"id":""}}"#,
            r#"{"type":"user.deleted","data":[1]}"#,
        ] {
            assert!(matches!(read(body), Err(Error::NoUser)), "{body}");
        }
        for body in ["", "[]", "7", r#"{"type":7}"#, &"[".repeat(100_000)] {
            assert!(matches!(read(body), Err(Error::Parse(_))), "{body:.20}");
        }
        let forged = Headers { id: "msg_1", timestamp: "1000", signature: "v1,AAAA" };
        let refused = super::read(&secret, &forged, b"{}", 1000);
        assert!(matches!(refused, Err(Error::Refused(Refusal::Signature))));
    }

    #[test]
    fn either_name_of_the_headers_will_do() {
        let found = Headers::find(|name| name.strip_prefix("webhook-").map(|_| "x"));
        assert!(found.is_ok());
        assert!(
            Headers::find(|name| (name != "svix-signature" && name.starts_with("svix")).then_some("x"))
                .is_err()
        );
    }
}
