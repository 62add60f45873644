//! The Redis of the source, read within bounds.

use std::collections::{BTreeMap, HashMap};

use redis::Pipeline;

use super::job::hash_of;
use super::report::Skip;
use super::{Error, Failed};
use crate::events::connection::{Address, Connection};
use crate::ids::JobId;

/// Keys that are asked for at a time.
const PAGE: usize = 200;
/// Bytes that one field, and all fields of a key together, may have.
const MAX_FIELD_BYTES: u64 = 2 << 20;
const MAX_KEY_BYTES: u64 = 4 << 20;
/// Bytes that the name of a job or a video may have.
pub const MAX_NAME_BYTES: usize = 200;
/// Videos that are remembered by their jobs. Each takes some 100 bytes.
const MAX_INDEXED: usize = 500_000;

/// Fields of a job that are read. Whatever else a key holds is not.
pub(super) const JOB_FIELDS: &[&str] = &[
    "user_id",
    "status",
    "priority",
    "configuration",
    "progress",
    "error",
    "error_code",
    "error_message",
    "created_at",
    "started_at",
    "completed_at",
    "updated_at",
    "is_deleted",
    "video_id",
    "file_path",
    "video_path",
    "s3_key",
    "topic",
    "context",
    "script",
    "quality",
    "title",
    "description",
    "tags",
];
/// Fields of a video that are read.
const VIDEO_FIELDS: &[&str] = &[
    "video_id",
    "job_id",
    "file_path",
    "video_path",
    "local_path",
    "path",
    "s3_key",
    "s3_url",
    "video_url",
    "url",
    "thumbnail_path",
    "thumbnail_paths",
    "thumbnail_s3_key",
    "subtitle_path",
    "subtitle_s3_key",
    "title",
    "description",
    "tags",
    "metadata",
];

/// The fields of a key that are there. Strings stand as they are, all else is JSON.
pub type Fields = BTreeMap<&'static str, String>;

/// The Redis of the Python backend.
pub struct Source {
    connection: Connection,
    /// Digest of a job's name -> its video. Filled when it is first needed.
    videos: Option<HashMap<[u8; 16], String>>,
}

impl Source {
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let failed = |error: crate::events::Error| Error::State {
            what: "the source".to_owned(),
            source: error.into(),
        };
        let connection = Address::parse(url)?.connect().await.map_err(failed)?;
        match connection {
            Connection::Cluster(_) => Err(Error::Cluster),
            Connection::Server(_) | Connection::Primary(_) => Ok(Self { connection, videos: None }),
        }
    }

    /// Returns the next cursor, 0 at the end, and the names of some jobs, as they are in their keys.
    pub async fn scan_jobs(&mut self, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let (next, keys) = self.scan("jobs:", cursor).await?;
        Ok((next, keys.into_iter().map(|key| key["jobs:".len()..].to_vec()).collect()))
    }

    async fn scan(&mut self, prefix: &str, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(PAGE);
        let (next, mut keys): (u64, Vec<Vec<u8>>) = command.query_async(&mut self.connection).await?;
        keys.retain(|key| key.starts_with(prefix.as_bytes()));
        Ok((next, keys))
    }

    /// Reads the fields of a job.
    pub(super) async fn job(&mut self, name: &[u8]) -> Result<Fields, Failed> {
        let key = [b"jobs:", name].concat();
        // A key can go while the source still runs.
        self.fields(&key, JOB_FIELDS).await?.ok_or(Failed::Skip(Skip::Gone))
    }

    /// Reads the fields of a job's video: the one that the job names, the one with the job's own name, or the one that
    /// names the job. None where there is no such video.
    pub(super) async fn video_of(
        &mut self,
        job_id: JobId,
        source_id: Option<&str>,
        job: &Fields,
    ) -> Result<Fields, Failed> {
        let named = job.get("video_id").filter(|name| name.len() <= MAX_NAME_BYTES).cloned();
        let own = source_id.map_or_else(|| job_id.to_string(), str::to_owned);
        for name in [named, Some(own)].into_iter().flatten() {
            if let Some(fields) = self.video(&name).await? {
                return Ok(fields);
            }
        }
        let has_place = ["file_path", "video_path", "s3_key"].iter().any(|field| job.contains_key(field));
        if has_place {
            return Ok(Fields::new());
        }
        if self.videos.is_none() {
            self.videos = Some(self.index_videos().await?);
        }
        let found = self.videos.as_ref().and_then(|videos| videos.get(&hash_of(job_id))).cloned();
        match found {
            Some(name) => Ok(self.video(&name).await?.unwrap_or_default()),
            None => Ok(Fields::new()),
        }
    }

    async fn video(&mut self, name: &str) -> Result<Option<Fields>, Failed> {
        let fields = self.fields(format!("videos:{name}").as_bytes(), VIDEO_FIELDS).await?;
        Ok(fields.map(|mut fields| {
            fields.entry("video_id").or_insert_with(|| name.to_owned());
            fields
        }))
    }

    /// Reads which job each video belongs to.
    async fn index_videos(&mut self) -> Result<HashMap<[u8; 16], String>, Error> {
        let (mut index, mut cursor) = (HashMap::new(), 0);
        loop {
            let (next, keys) = self.scan("videos:", cursor).await?;
            for key in keys {
                let name = &key["videos:".len()..];
                let Ok(name) = std::str::from_utf8(name) else { continue };
                if name.len() > MAX_NAME_BYTES || index.len() >= MAX_INDEXED {
                    continue;
                }
                let fields = match self.fields(&key, &["job_id"]).await {
                    Ok(fields) => fields.unwrap_or_default(),
                    Err(Failed::Skip(_)) => continue,
                    Err(Failed::End(error)) => return Err(error),
                };
                let job = fields.get("job_id").map(|job| super::job::job_id(job.as_bytes()));
                if let Some(Ok((job_id, _))) = job {
                    index.insert(hash_of(job_id), name.to_owned());
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(index);
            }
        }
    }

    /// Reads those of `names` that a hash has; `None` when there is no key. Looks at sizes before it reads.
    async fn fields(&mut self, key: &[u8], names: &'static [&'static str]) -> Result<Option<Fields>, Failed> {
        let kind: String =
            redis::cmd("TYPE").arg(key).query_async(&mut self.connection).await.map_err(Error::from)?;
        match kind.as_str() {
            "hash" => {}
            "none" => return Ok(None),
            other => return Err(Skip::WrongType { field: "the key".into(), found: other.to_owned() }.into()),
        }
        let mut lengths: Pipeline = redis::pipe();
        for name in names {
            lengths.cmd("HSTRLEN").arg(key).arg(name);
        }
        let lengths: Vec<u64> = lengths.query_async(&mut self.connection).await.map_err(Error::from)?;
        let largest = names.iter().zip(&lengths).find(|(_, bytes)| **bytes > MAX_FIELD_BYTES);
        if let Some((name, _)) = largest {
            return Err(Skip::TooLarge { field: (*name).into(), max: MAX_FIELD_BYTES as usize }.into());
        }
        if lengths.iter().sum::<u64>() > MAX_KEY_BYTES {
            return Err(Skip::TooLarge { field: "the key".into(), max: MAX_KEY_BYTES as usize }.into());
        }
        let mut read = redis::cmd("HMGET");
        read.arg(key).arg(names);
        let values: Vec<Option<Vec<u8>>> =
            read.query_async(&mut self.connection).await.map_err(Error::from)?;
        let mut fields = Fields::new();
        for (name, value) in names.iter().zip(values) {
            let Some(value) = value else { continue };
            let text = String::from_utf8(value).map_err(|_| Skip::NotText { field: (*name).into() })?;
            if !is_none(&text) {
                fields.insert(name, text);
            }
        }
        Ok(Some(fields))
    }
}

/// Ways in which the source writes that there is no value.
fn is_none(text: &str) -> bool {
    matches!(text.trim(), "" | "null" | "None")
}
