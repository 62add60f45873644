//! What `reel dev`, `reel demo` and the tests run on: private servers on free loopback ports, in a
//! folder of their own, and an issuer of session tokens with real keys.
//!
//! Never for production: the issuer gives a token to whoever asks this process for one.

mod issuer;
mod postgres;
mod redis;
mod server;

pub use issuer::{Issuer, TokenClaims};
pub use postgres::PrivatePostgres;
pub use redis::PrivateRedis;
pub use server::{Error, free_port};
