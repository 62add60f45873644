//! Where files are stored, and how clients get them. Read from the environment by `config`.

use std::time::Duration;

#[derive(Debug, Clone, Default)]
pub struct StorageSettings {
    /// `VIDEO_STORAGE_MODE`: `local` (the default), `s3`, or `local_and_s3`.
    pub mode: StorageMode,
    /// `None` in the mode `local`.
    pub s3: Option<S3Settings>,
    pub delivery: Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorageMode {
    /// `local` or `local_only`: in `MEDIA_ROOT`, which API and workers must share.
    #[default]
    Local,
    /// `s3` or `s3_only`: in a bucket; each machine has a `MEDIA_ROOT` of its own for what it works on.
    S3,
    /// `local_and_s3`: in both. Where S3 is away, in `MEDIA_ROOT` until it is back.
    LocalAndS3,
}

/// How a client gets a file that is stored in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// `S3_DELIVERY=redirect` (the default): from S3 itself, by a signed URL that is valid for `S3_SIGNED_URL_SECONDS`,
    /// 3600 by default.
    Redirect { url_life: Duration },
    /// `S3_DELIVERY=pass_through`: through the API, for buckets that clients cannot reach.
    PassThrough,
}

impl Default for Delivery {
    fn default() -> Self {
        Self::Redirect { url_life: Duration::from_secs(3600) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// `S3_BUCKET` (or `AWS_S3_BUCKET`).
    pub bucket: String,
    /// `S3_PREFIX`: what all keys in the bucket begin with, such as `reelstream`; nothing by default.
    pub prefix: Option<String>,
    /// `S3_ENDPOINT` (or `AWS_ENDPOINT_URL_S3`): the server, if it is not Amazon's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// `S3_PUBLIC_ENDPOINT`: the server as clients reach it, in signed URLs; `S3_ENDPOINT` by default.
    pub public_endpoint: Option<String>,
    /// `S3_REGION` (or `AWS_REGION`), `us-east-1` by default.
    pub region: String,
    /// `S3_PATH_STYLE`: `true` puts the bucket's name into the path instead of the host; by default where `S3_ENDPOINT`
    /// is set.
    pub path_style: bool,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, with `AWS_SESSION_TOKEN` where they are temporary. Without them,
    /// they come from the usual places: a profile, a web identity, the role of the container or machine.
    pub credentials: Option<S3Credentials>,
}

/// Kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("S3Credentials")
    }
}
