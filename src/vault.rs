//! The keys of users' content. Destroying a user's key makes everything encrypted with it unreadable, in the log, in the archive
//! and in every copy of them. The hash chains stay valid, because they cover the ciphertext.
//!
//! A key is 256 random bits, kept in Postgres wrapped (AES-256-GCM) by a master key that only the environment has. The
//! user's id and the key's own are authenticated with it, so that a row that was given to another user, whom it would
//! survive, does not open. Content is encrypted with AES-256-GCM; the event's place in its history is authenticated with it,
//! so that content cannot be moved to another event.
//!
//! A process caches keys for [`FRESH_FOR`], and for at most [`MAX_AGE`] while Postgres is unreachable. Afterwards content is
//! unreadable, because its key may have been destroyed.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

const KEY_BYTES: usize = 32;
/// Lifetime of a cached key, and so the longest use of a key that another process has destroyed.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// Lifetime of a cached key while Postgres is unreachable.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Keys of the first form that are rewrapped at a time.
const MIGRATION_BATCH: i64 = 500;
const KEYS_KEPT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// First part of encrypted text: the form of encryption.
const FORM: &str = "1";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the keys of users' content cannot be read from postgres")]
    Keys(#[from] sqlx::Error),
    #[error("the key {key} cannot be unwrapped: REEL_MASTER_KEY is not the one that wrapped it")]
    MasterKey { key: Uuid },
    #[error(
        "the key {key} of user {user} cannot be unwrapped: REEL_MASTER_KEY is another one, or the row was another user's"
    )]
    ForeignKey { key: Uuid, user: String },
    #[error("encrypted content cannot be read: {reason}")]
    Damaged { reason: &'static str },
    #[error("REEL_MASTER_KEY must be 32 bytes in Base64; `openssl rand -base64 32` makes one")]
    NoMasterKey,
    #[error("the system gives no random bytes")]
    Random,
}

impl Error {
    /// Returns `true` when a retry may work.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Keys(_))
    }
}

/// The key that wraps all others.
#[derive(Clone)]
pub struct MasterKey(Arc<LessSafeKey>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Parses 32 bytes in Base64.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| Error::NoMasterKey)?);
        aead_key(&bytes).map(|key| Self(Arc::new(key))).ok_or(Error::NoMasterKey)
    }

    /// Generates a key, in the form that [`Self::parse`] reads.
    pub fn generate() -> Result<String, Error> {
        Ok(STANDARD.encode(*Zeroizing::new(random::<KEY_BYTES>()?)))
    }
}

/// A user's key.
#[derive(Clone)]
pub struct UserKey {
    id: Uuid,
    key: Arc<LessSafeKey>,
}

impl UserKey {
    /// Encrypts content to `form:key id:nonce and ciphertext`. `associated_data` must be the same for decryption.
    pub fn encrypt(&self, content: &str, associated_data: &str) -> Result<String, Error> {
        let encrypted = encrypt(&self.key, content.as_bytes(), associated_data)?;
        Ok(format!("{FORM}:{}:{}", self.id, URL_SAFE_NO_PAD.encode(encrypted)))
    }
}

/// A user's key as it is kept, for a backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct StoredKey {
    pub key_id: Uuid,
    pub user_id: String,
    /// Encrypted with the master key, in Base64; `None` for a destroyed key.
    #[serde(with = "base64_text")]
    pub wrapped: Option<Vec<u8>>,
    form: i16,
    pub created_at: DateTime<Utc>,
    pub destroyed_at: Option<DateTime<Utc>>,
}

impl StoredKey {
    /// Returns the key as it is after it was destroyed.
    pub fn destroyed(self, at: DateTime<Utc>) -> Self {
        Self { wrapped: None, destroyed_at: Some(self.destroyed_at.unwrap_or(at)), ..self }
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({})", self.key_id)
    }
}

mod base64_text {
    use super::{Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text)).transpose().map_err(serde::de::Error::custom)
    }
}

/// Encrypts and decrypts with the keys of users. Cheap to clone; clones share the cache of keys.
#[derive(Clone)]
pub struct Vault {
    pool: PgPool,
    master: MasterKey,
    fresh_for: Duration,
    max_age: Duration,
    known: Arc<Mutex<Known>>,
}

struct Known {
    /// `None` for a destroyed key.
    keys: LruCache<Uuid, (Instant, Option<UserKey>)>,
    of_users: HashMap<String, (Instant, Uuid)>,
}

impl Vault {
    pub fn new(pool: PgPool, master: MasterKey) -> Self {
        let known = Known { keys: LruCache::new(KEYS_KEPT), of_users: HashMap::new() };
        let known = Arc::new(Mutex::new(known));
        Self { pool, master, fresh_for: FRESH_FOR, max_age: MAX_AGE, known }
    }

    /// Changes the lifetimes of cached keys: `fresh_for` while Postgres answers, `max_age` while it does not.
    pub fn keeping_keys(self, fresh_for: Duration, max_age: Duration) -> Self {
        Self { fresh_for, max_age, ..self }
    }

    /// Rewraps keys of the first form, which were not bound to their user. Must be called when a process starts, because keys of
    /// that form cannot be used.
    pub async fn migrate(&self) -> Result<u64, Error> {
        let (mut migrated, mut after) = (0, Uuid::nil());
        loop {
            let rows: Vec<(Uuid, String, Vec<u8>)> = sqlx::query_as(
                "select key_id, user_id, wrapped from user_keys
                 where form = 1 and wrapped is not null and key_id > $1 order by key_id limit $2",
            )
            .bind(after)
            .bind(MIGRATION_BATCH)
            .fetch_all(&self.pool)
            .await?;
            if rows.is_empty() {
                return Ok(migrated);
            }
            for (id, user, old) in rows {
                after = id;
                let Some(bytes) = decrypt(&self.master.0, old.clone(), &id.to_string()) else {
                    let error = Error::MasterKey { key: id };
                    tracing::error!(%error, "a user's content stays unreadable");
                    continue;
                };
                let bytes = Zeroizing::new(bytes);
                let wrapped = encrypt(&self.master.0, &bytes, &binding(&user, id))?;
                let update = "update user_keys set wrapped = $3, form = 2 where key_id = $1 and wrapped = $2";
                let updated =
                    sqlx::query(update).bind(id).bind(old).bind(wrapped).execute(&self.pool).await?;
                migrated += updated.rows_affected();
            }
        }
    }

    /// Returns the key for a user's new content, and creates one if there is none.
    pub async fn key_of(&self, user: &str) -> Result<UserKey, Error> {
        let stale = {
            let mut known = self.known();
            let found = known.of_users.get(user).copied();
            let key = found.and_then(|(at, id)| Some((at, known.keys.get(&id)?.1.clone()?)));
            match key {
                Some((at, key)) if at.elapsed() < self.fresh_for => return Ok(key),
                stale => stale.filter(|(at, _)| at.elapsed() < self.max_age).map(|(_, key)| key),
            }
        };
        match (self.fetch_or_make(user).await, stale) {
            (Ok(key), _) => Ok(key),
            // Postgres is away: a key that was there a moment ago goes on working.
            (Err(Error::Keys(_)), Some(key)) => Ok(key),
            (Err(error), _) => Err(error),
        }
    }

    /// Decrypts content; `None` when its key was destroyed.
    pub async fn decrypt(&self, encrypted: &str, associated_data: &str) -> Result<Option<String>, Error> {
        let parts: Vec<&str> = encrypted.splitn(3, ':').collect();
        let [FORM, id, text] = parts[..] else { return Err(Error::Damaged { reason: "unknown form" }) };
        let id = Uuid::parse_str(id).map_err(|_| Error::Damaged { reason: "it names no key" })?;
        let Some(key) = self.key(id).await? else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::Damaged { reason: "not Base64" })?;
        let content = decrypt(&key.key, bytes, associated_data)
            .ok_or(Error::Damaged { reason: "it was changed or moved" })?;
        String::from_utf8(content).map(Some).map_err(|_| Error::Damaged { reason: "no text" })
    }

    /// Destroys all keys of a user, and returns their number.
    pub async fn destroy(&self, user: &str) -> Result<u64, Error> {
        let destroyed = sqlx::query(
            "update user_keys set wrapped = null, destroyed_at = now() where user_id = $1 and wrapped is not null",
        )
        .bind(user)
        .execute(&self.pool)
        .await?;
        let mut known = self.known();
        known.of_users.clear();
        known.keys.clear();
        Ok(destroyed.rows_affected())
    }

    /// Returns the ids of a user's destroyed keys.
    pub async fn destroyed_keys_of(&self, user: &str) -> Result<Vec<Uuid>, Error> {
        let ids = "select key_id from user_keys where user_id = $1 and wrapped is null order by key_id";
        Ok(sqlx::query_scalar(ids).bind(user).fetch_all(&self.pool).await?)
    }

    /// Returns the keys of all users, as they are kept.
    pub async fn stored_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let keys =
            "select key_id, user_id, wrapped, form, created_at, destroyed_at from user_keys order by key_id";
        Ok(sqlx::query_as(keys).fetch_all(&self.pool).await?)
    }

    /// Adds keys that are missing. Returns those that cannot be added, because their user has another key by now. Changes no key that is
    /// there, so that a destroyed one stays destroyed.
    pub async fn put_back(&self, keys: &[StoredKey]) -> Result<Vec<StoredKey>, Error> {
        let mut refused = vec![];
        for batch in keys.chunks(MIGRATION_BATCH as usize) {
            let ids: Vec<Uuid> = batch.iter().map(|key| key.key_id).collect();
            sqlx::query(
                "insert into user_keys (key_id, user_id, wrapped, form, created_at, destroyed_at)
                 select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::smallint[], $5::timestamptz[],
                                      $6::timestamptz[])
                 on conflict do nothing",
            )
            .bind(&ids)
            .bind(batch.iter().map(|key| key.user_id.clone()).collect::<Vec<_>>())
            .bind(batch.iter().map(|key| key.wrapped.clone()).collect::<Vec<_>>())
            .bind(batch.iter().map(|key| key.form).collect::<Vec<_>>())
            .bind(batch.iter().map(|key| key.created_at).collect::<Vec<_>>())
            .bind(batch.iter().map(|key| key.destroyed_at).collect::<Vec<_>>())
            .execute(&self.pool)
            .await?;
            let there: Vec<Uuid> = sqlx::query_scalar("select key_id from user_keys where key_id = any($1)")
                .bind(&ids)
                .fetch_all(&self.pool)
                .await?;
            refused.extend(batch.iter().filter(|key| !there.contains(&key.key_id)).cloned());
        }
        let mut known = self.known();
        known.of_users.clear();
        known.keys.clear();
        Ok(refused)
    }

    /// Returns the users whose keys were all destroyed, the last of them lately.
    pub async fn destroyed_since(&self, since: Duration) -> Result<Vec<String>, Error> {
        let users = "select user_id from user_keys group by user_id
                     having count(wrapped) = 0 and max(destroyed_at) > now() - make_interval(secs => $1)";
        Ok(sqlx::query_scalar(users).bind(since.as_secs_f64()).fetch_all(&self.pool).await?)
    }

    /// Rewrites the table of keys, so that no destroyed key stays on disk. Waits a few seconds for its lock.
    pub async fn compact(&self) -> Result<(), Error> {
        let compact = "set lock_timeout = '5s'; vacuum (full, analyze) user_keys";
        let mut connection = self.pool.acquire().await?.detach();
        for statement in compact.split("; ") {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        Ok(())
    }

    async fn key(&self, id: Uuid) -> Result<Option<UserKey>, Error> {
        let stale = match self.known().keys.get(&id).cloned() {
            Some((at, key)) if at.elapsed() < self.fresh_for => return Ok(key),
            stale => stale.filter(|(at, _)| at.elapsed() < self.max_age),
        };
        let row = sqlx::query_as::<_, (String, Option<Vec<u8>>)>(
            "select user_id, wrapped from user_keys where key_id = $1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await;
        let key = match (row, stale) {
            (Ok(row), _) => {
                let live = row.and_then(|(user, wrapped)| Some((user, wrapped?)));
                live.map(|(user, wrapped)| self.unwrap(&user, id, wrapped)).transpose()?
            }
            (Err(_away), Some((_, key))) => return Ok(key),
            (Err(error), None) => return Err(error.into()),
        };
        self.known().keys.put(id, (Instant::now(), key.clone()));
        Ok(key)
    }

    async fn fetch_or_make(&self, user: &str) -> Result<UserKey, Error> {
        let (id, bytes) = (Uuid::new_v4(), Zeroizing::new(random::<KEY_BYTES>()?));
        let wrapped = encrypt(&self.master.0, &*bytes, &binding(user, id))?;
        // One live key for each user: whoever is second reads the first one's.
        let (id, wrapped): (Uuid, Vec<u8>) = sqlx::query_as(
            "insert into user_keys (key_id, user_id, wrapped, form) values ($1, $2, $3, 2)
             on conflict (user_id) where wrapped is not null do update set user_id = excluded.user_id
             returning key_id, wrapped",
        )
        .bind(id)
        .bind(user)
        .bind(wrapped)
        .fetch_one(&self.pool)
        .await?;
        let key = self.unwrap(user, id, wrapped)?;
        let mut known = self.known();
        known.keys.put(id, (Instant::now(), Some(key.clone())));
        if known.of_users.len() >= KEYS_KEPT.get() {
            known.of_users.clear();
        }
        known.of_users.insert(user.to_owned(), (Instant::now(), id));
        Ok(key)
    }

    fn unwrap(&self, user: &str, id: Uuid, wrapped: Vec<u8>) -> Result<UserKey, Error> {
        let bytes = decrypt(&self.master.0, wrapped, &binding(user, id));
        let foreign = || Error::ForeignKey { key: id, user: user.to_owned() };
        let bytes = Zeroizing::new(bytes.ok_or_else(foreign)?);
        let key = aead_key(&bytes).ok_or(Error::Damaged { reason: "a key has 32 bytes" })?;
        Ok(UserKey { id, key: Arc::new(key) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the associated data of a wrapped key.
fn binding(user: &str, key: Uuid) -> String {
    format!("{key}:{user}")
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

fn aead_key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// Encrypts content. Returns the nonce, then the ciphertext and its tag.
fn encrypt(key: &LessSafeKey, plaintext: &[u8], associated_data: &str) -> Result<Vec<u8>, Error> {
    let nonce = random::<NONCE_LEN>()?;
    let aad = Aad::from(associated_data.as_bytes());
    // The tag must fit without a move, which would leave the plaintext behind.
    let mut text = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
    text.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
        .map_err(|_| Error::Damaged { reason: "too long to be encrypted" })?;
    Ok([nonce.as_slice(), &text].concat())
}

fn decrypt(key: &LessSafeKey, mut encrypted: Vec<u8>, associated_data: &str) -> Option<Vec<u8>> {
    let (nonce, text) = encrypted.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let opened =
        key.open_in_place(nonce, Aad::from(associated_data.as_bytes()), text).ok().map(|text| text.to_vec());
    encrypted.zeroize();
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> UserKey {
        UserKey { id: Uuid::new_v4(), key: Arc::new(aead_key(&[7; KEY_BYTES]).unwrap()) }
    }

    #[test]
    fn sealed_text_opens_only_at_its_place() {
        let key = key();
        let encrypted = key.encrypt("words", "job:1").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(encrypted.rsplit(':').next().unwrap()).unwrap();
        assert_eq!(decrypt(&key.key, bytes.clone(), "job:1").unwrap(), b"words");
        assert_eq!(decrypt(&key.key, bytes.clone(), "job:2"), None);
        let mut changed = bytes;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(decrypt(&key.key, changed, "job:1"), None);
    }

    #[test]
    fn the_same_words_are_never_sealed_alike() {
        let key = key();
        assert_ne!(key.encrypt("words", "p").unwrap(), key.encrypt("words", "p").unwrap());
    }

    #[test]
    fn a_master_key_has_32_bytes_in_base64() {
        assert!(MasterKey::parse(&MasterKey::generate().unwrap()).is_ok());
        for text in ["", "short", "AAAA"] {
            assert!(matches!(MasterKey::parse(text), Err(Error::NoMasterKey)), "{text}");
        }
    }
}
