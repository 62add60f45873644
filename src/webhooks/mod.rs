//! Webhooks by the Standard Webhooks specification (<https://www.standardwebhooks.com>): messages that are signed with a
//! secret that sender and receiver share.
//!
//! `signature` signs and verifies, `target` says where a message may go, `sender` sends one. Invariants: nothing is sent to
//! an address that is not public (unless it is configured), whatever a name resolves to, and no redirect is followed.
//! Deliberately absent: when a message is sent, and how often. That is decided in `domain::webhook` and carried out by
//! `consumers::callbacks`.

pub mod sender;
pub mod signature;
pub mod target;

pub use sender::Sender;
pub use signature::Secret;
pub use target::TargetPolicy;
