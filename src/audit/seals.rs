//! Seals: signed statements of a partition's chain at a sequence number. They are written once to Postgres, outside Redis;
//! `reel audit export` prints them, for those who trust neither.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::Error;
use crate::events::CHAIN_START;
use crate::events::chain::Chain;
use crate::signing::{SigningKey, is_signed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub partition: u16,
    pub seq: u64,
    /// The partition's chain up to and including `seq`, in hex.
    pub chain: String,
    pub signed_at: DateTime<Utc>,
    /// Digest of the partition's previous seal; 64 zeros for the first one, `None` in unchained seals of early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    pub key_id: String,
    /// Ed25519 over [`Seal::statement`], in hex.
    pub signature: String,
}

impl Seal {
    /// Signs a seal that follows `previous`.
    pub fn sign(
        partition: u16,
        chain: &Chain,
        signed_at: DateTime<Utc>,
        previous: Option<&Seal>,
        key: &SigningKey,
    ) -> Self {
        let mut seal = Self {
            partition,
            seq: chain.seq,
            chain: chain.hash.clone(),
            signed_at,
            previous: Some(previous.map_or_else(|| CHAIN_START.to_owned(), Seal::digest)),
            key_id: key.key_id(),
            signature: String::new(),
        };
        seal.signature = key.sign(&seal.statement());
        seal
    }

    /// Returns the signed text.
    pub fn statement(&self) -> String {
        let at = self.signed_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let Self { partition, seq, chain, .. } = self;
        match &self.previous {
            None => format!("reelstream seal 1 {partition} {seq} {chain} {at}"),
            Some(previous) => format!("reelstream seal 2 {partition} {seq} {chain} {at} {previous}"),
        }
    }

    /// Returns the BLAKE3 of statement and signature, in hex.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.statement().as_bytes()).update(b"\n").update(self.signature.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    pub fn is_signed_by_any(&self, public_keys: &[String]) -> bool {
        public_keys.iter().any(|key| is_signed(key, &self.statement(), &self.signature))
    }

    /// Returns `true` when the seal may follow `before`, or be the first. Unchained seals follow unchained ones only.
    pub fn follows(&self, before: Option<&Seal>) -> bool {
        let is_later = before.is_none_or(|before| before.seq < self.seq);
        let is_linked = match &self.previous {
            Some(previous) => *previous == before.map_or_else(|| CHAIN_START.to_owned(), Seal::digest),
            None => before.is_none_or(|before| before.previous.is_none()),
        };
        is_later && is_linked
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
    previous: Option<String>,
    key_id: String,
    signature: String,
}

impl From<Row> for Seal {
    fn from(row: Row) -> Self {
        let Row { partition, seq, chain, signed_at, previous, key_id, signature } = row;
        Self { partition: partition as u16, seq: seq as u64, chain, signed_at, previous, key_id, signature }
    }
}

impl Seals {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Adds a seal. `false` when its sequence number has one, or another seal follows the same seal.
    pub async fn add(&self, seal: &Seal) -> Result<bool, Error> {
        let added = sqlx::query(
            "insert into audit_seals (partition, seq, chain, signed_at, previous, key_id, signature)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict do nothing",
        )
        .bind(seal.partition as i16)
        .bind(seal.seq as i64)
        .bind(&seal.chain)
        .bind(seal.signed_at)
        .bind(&seal.previous)
        .bind(&seal.key_id)
        .bind(&seal.signature)
        .execute(&self.pool)
        .await?;
        Ok(added.rows_affected() == 1)
    }

    /// Removes the seals of a partition after a sequence number. For events that are lost for good, whose seals were written elsewhere
    /// first.
    pub async fn remove_after(&self, partition: u16, seq: u64) -> Result<u64, Error> {
        let removed = sqlx::query("delete from audit_seals where partition = $1 and seq > $2")
            .bind(partition as i16)
            .bind(seq as i64)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }

    pub async fn last(&self, partition: u16) -> Result<Option<Seal>, Error> {
        let row: Option<Row> =
            sqlx::query_as("select * from audit_seals where partition = $1 order by seq desc limit 1")
                .bind(partition as i16)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(Seal::from))
    }

    /// Returns all seals of a partition, in order.
    pub async fn all(&self, partition: u16) -> Result<Vec<Seal>, Error> {
        self.from(partition, 0).await
    }

    /// Returns a partition's seals from `seq` on, in order.
    pub async fn from(&self, partition: u16, seq: u64) -> Result<Vec<Seal>, Error> {
        let rows: Vec<Row> =
            sqlx::query_as("select * from audit_seals where partition = $1 and seq >= $2 order by seq")
                .bind(partition as i16)
                .bind(seq as i64)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(Seal::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
    }

    fn seal(seq: u64, previous: Option<&Seal>) -> Seal {
        let chain = Chain { seq, hash: format!("{seq:064}") };
        Seal::sign(1, &chain, "2026-11-21T10:00:00Z".parse().unwrap(), previous, &key())
    }

    fn unchained(seq: u64) -> Seal {
        let mut seal = Seal { previous: None, ..seal(seq, None) };
        seal.signature = key().sign(&seal.statement());
        seal
    }

    #[test]
    fn seals_follow_each_other_by_digest() {
        let first = seal(1, None);
        let (second, again) = (seal(2, Some(&first)), seal(2, None));
        assert!(first.follows(None) && second.follows(Some(&first)));
        assert!(!second.follows(None) && !again.follows(Some(&first)) && !first.follows(Some(&first)));
        assert!(second.is_signed_by_any(&[key().public_key()]));
        let moved = Seal { previous: again.previous.clone(), ..second };
        assert!(!moved.is_signed_by_any(&[key().public_key()]), "the link is signed");
    }

    #[test]
    fn seals_from_before_the_chain_hold_up_to_where_it_begins() {
        let (old, older) = (unchained(2), unchained(1));
        assert!(old.statement().starts_with("reelstream seal 1 1 2 "));
        assert!(older.follows(None) && old.follows(Some(&older)));
        let first = seal(3, Some(&old));
        assert!(first.follows(Some(&old)) && !unchained(4).follows(Some(&first)));
    }
}
