//! Read models: fed, rebuilt, cut off from PostgreSQL, and queried by analysts.

#[cfg(feature = "parquet")]
mod analytics;
#[cfg(feature = "chaos")]
mod histories;
mod migrations;
pub mod postgres_outages;
pub mod quarantine;
pub mod read_models;
#[cfg(feature = "chaos")]
mod rebuild;
