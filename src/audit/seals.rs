//! Seals: signed statements of what a partition's chain was at a sequence number. They are kept in Postgres, outside
//! Redis, and written once; `reel audit export` gives them out, for whoever trusts neither.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sqlx::PgPool;

use super::Error;
use crate::events::chain::Chain;
use crate::signing::{SigningKey, is_signed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seal {
    pub partition: u16,
    pub seq: u64,
    /// The partition's chain up to and including `seq`, in hex.
    pub chain: String,
    pub signed_at: DateTime<Utc>,
    pub key_id: String,
    /// Ed25519 over [`Seal::statement`], in hex.
    pub signature: String,
}

impl Seal {
    pub fn sign(partition: u16, chain: &Chain, signed_at: DateTime<Utc>, key: &SigningKey) -> Self {
        let mut seal = Self {
            partition,
            seq: chain.seq,
            chain: chain.hash.clone(),
            signed_at,
            key_id: key.key_id(),
            signature: String::new(),
        };
        seal.signature = key.sign(&seal.statement());
        seal
    }

    /// What is signed.
    pub fn statement(&self) -> String {
        let at = self.signed_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        format!("reelstream seal 1 {} {} {} {at}", self.partition, self.seq, self.chain)
    }

    pub fn is_signed_by_any(&self, public_keys: &[String]) -> bool {
        public_keys.iter().any(|key| is_signed(key, &self.statement(), &self.signature))
    }
}

#[derive(Clone)]
pub struct Seals {
    pool: PgPool,
}

#[derive(sqlx::FromRow)]
struct Row {
    partition: i16,
    seq: i64,
    chain: String,
    signed_at: DateTime<Utc>,
    key_id: String,
    signature: String,
}

impl From<Row> for Seal {
    fn from(row: Row) -> Self {
        let Row { partition, seq, chain, signed_at, key_id, signature } = row;
        Self { partition: partition as u16, seq: seq as u64, chain, signed_at, key_id, signature }
    }
}

impl Seals {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Keeps a seal; the first one for its place stays.
    pub async fn keep(&self, seal: &Seal) -> Result<(), Error> {
        sqlx::query(
            "insert into audit_seals (partition, seq, chain, signed_at, key_id, signature) values ($1, $2, $3, $4, $5, $6)
             on conflict do nothing",
        )
        .bind(seal.partition as i16)
        .bind(seal.seq as i64)
        .bind(&seal.chain)
        .bind(seal.signed_at)
        .bind(&seal.key_id)
        .bind(&seal.signature)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn last(&self, partition: u16) -> Result<Option<Seal>, Error> {
        let row: Option<Row> =
            sqlx::query_as("select * from audit_seals where partition = $1 order by seq desc limit 1")
                .bind(partition as i16)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(Seal::from))
    }

    /// All of a partition, in their order.
    pub async fn all(&self, partition: u16) -> Result<Vec<Seal>, Error> {
        let rows: Vec<Row> = sqlx::query_as("select * from audit_seals where partition = $1 order by seq")
            .bind(partition as i16)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Seal::from).collect())
    }
}
