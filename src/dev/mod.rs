//! What `reel dev`, `reel demo` and the tests run on: private servers on free loopback ports, in a
//! folder of their own, and an issuer of session tokens with real keys.
//!
//! Never for production: whoever can read the issuer's key can sign a token for any user and role.

mod issuer;
mod postgres;
mod redis;
mod server;

pub use issuer::{Issuer, KEPT_ISSUER, TokenClaims, TokenSigner};
pub use postgres::PrivatePostgres;
pub use redis::PrivateRedis;
pub use server::{Error, free_port};
