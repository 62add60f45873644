//! Clerk, beside the keys of its session tokens (`api::jwks`): who its users are, and what it tells by webhook.
//!
//! `client` asks Clerk's Backend API about a user, seldom and at a bounded rate. `webhooks` reads the messages that
//! Clerk sends. Deliberately absent: any decision that waits for Clerk. While it is away, users are what their tokens say.

pub mod client;
pub mod webhooks;

pub use client::{Client, Profile};
