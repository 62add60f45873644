//! Reads where files are stored, and how clients get them.

use std::time::Duration;

use super::{Environment, Error, flag_or, number};
use crate::storage::{Delivery, Prefix, S3Credentials, S3Settings, StorageMode, StorageSettings};

/// The longest life that S3 gives a signed URL.
const MAX_URL_LIFE_SECONDS: u32 = 7 * 24 * 3600;
const URL_LIFE_SECONDS: u32 = 3600;
const REGION: &str = "us-east-1";

impl StorageSettings {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let mode = match env("VIDEO_STORAGE_MODE") {
            None => StorageMode::Local,
            Some(value) => match value.to_lowercase().as_str() {
                "local" | "local_only" => StorageMode::Local,
                "s3" | "s3_only" => StorageMode::S3,
                "local_and_s3" => StorageMode::LocalAndS3,
                _ => {
                    let expected = "local, s3 or local_and_s3";
                    return Err(Error::Invalid { name: "VIDEO_STORAGE_MODE", value, expected });
                }
            },
        };
        let s3 = (mode != StorageMode::Local).then(|| S3Settings::from_environment(env)).transpose()?;
        Ok(Self { mode, s3, delivery: Delivery::from_environment(env)? })
    }
}

impl Delivery {
    fn from_environment(env: Environment) -> Result<Self, Error> {
        let expected = "a whole number of seconds from 1 to 604800";
        let seconds = number(env, "S3_SIGNED_URL_SECONDS", 1, MAX_URL_LIFE_SECONDS, expected)?;
        let url_life = Duration::from_secs(seconds.unwrap_or(URL_LIFE_SECONDS).into());
        match env("S3_DELIVERY").as_deref() {
            None | Some("redirect") => Ok(Self::Redirect { url_life }),
            Some("pass_through") => Ok(Self::PassThrough),
            Some(value) => {
                let expected = "redirect or pass_through";
                Err(Error::Invalid { name: "S3_DELIVERY", value: value.to_owned(), expected })
            }
        }
    }
}

impl S3Settings {
    /// Reads the settings of another bucket on the same server, with the same credentials.
    pub fn of_bucket(env: Environment, bucket: &str) -> Result<Self, Error> {
        let with_bucket = |name: &str| match name {
            "S3_BUCKET" => Some(bucket.to_owned()),
            "S3_PREFIX" => None,
            name => env(name),
        };
        Self::from_environment(&with_bucket)
    }

    fn from_environment(env: Environment) -> Result<Self, Error> {
        let either = |ours: &str, theirs: &str| env(ours).or_else(|| env(theirs));
        let what = "the bucket that files are stored in, which VIDEO_STORAGE_MODE asks for (it is s3 by default in staging and production)";
        let bucket =
            either("S3_BUCKET", "AWS_S3_BUCKET").ok_or(Error::Missing { name: "S3_BUCKET", what })?;
        if !is_bucket_name(&bucket) {
            let expected = "the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens";
            return Err(Error::Invalid { name: "S3_BUCKET", value: bucket, expected });
        }
        let prefix = env("S3_PREFIX").map(|prefix| prefix.trim_matches('/').to_owned());
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        if let Some(prefix) = &prefix
            && Prefix::parse(prefix.as_str()).is_err()
        {
            let expected = "words with / between them, such as team/reelstream";
            return Err(Error::Invalid { name: "S3_PREFIX", value: prefix.clone(), expected });
        }
        let endpoint = url("S3_ENDPOINT", either("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3"))?;
        let credentials = match (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")) {
            (None, None) => None,
            (Some(access_key_id), Some(secret_access_key)) => {
                let session_token = env("AWS_SESSION_TOKEN");
                Some(S3Credentials { access_key_id, secret_access_key, session_token })
            }
            (given, _) => {
                let (name, what) = match given {
                    Some(_) => ("AWS_SECRET_ACCESS_KEY", "the other half of AWS_ACCESS_KEY_ID"),
                    None => ("AWS_ACCESS_KEY_ID", "the other half of AWS_SECRET_ACCESS_KEY"),
                };
                return Err(Error::Missing { name, what });
            }
        };
        Ok(Self {
            bucket,
            prefix,
            path_style: flag_or(env, "S3_PATH_STYLE", endpoint.is_some())?,
            endpoint,
            public_endpoint: url("S3_PUBLIC_ENDPOINT", env("S3_PUBLIC_ENDPOINT"))?,
            region: either("S3_REGION", "AWS_REGION").unwrap_or_else(|| REGION.to_owned()),
            credentials,
        })
    }
}

fn url(name: &'static str, value: Option<String>) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    let is_http = url::Url::parse(&value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    match is_http {
        true => Ok(Some(value.trim_end_matches('/').to_owned())),
        false => Err(Error::Invalid { name, value, expected: "a URL, such as http://127.0.0.1:9000" }),
    }
}

/// As Amazon's rules say, but for those on dots.
fn is_bucket_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    (3..=63).contains(&name.len())
        && name.chars().all(is_allowed)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> Result<StorageSettings, Error> {
        StorageSettings::from_environment(&|name: &str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    // 001-5.1, 001-5.3, 001-5.4
    #[test]
    fn modes_have_the_names_that_existing_settings_use() {
        assert_eq!(with(&[]).unwrap().mode, StorageMode::Local);
        for (name, mode) in [
            ("local_only", StorageMode::Local),
            ("s3", StorageMode::S3),
            ("s3_only", StorageMode::S3),
            ("local_and_s3", StorageMode::LocalAndS3),
        ] {
            let env = |asked: &str| match asked {
                "VIDEO_STORAGE_MODE" => Some(name.to_owned()),
                "S3_BUCKET" => Some("videos".to_owned()),
                _ => None,
            };
            assert_eq!(StorageSettings::from_environment(&env).unwrap().mode, mode, "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named_and_secrets_are_not_shown() {
        let message = |pairs| with(pairs).unwrap_err().to_string();
        assert!(message(&[("VIDEO_STORAGE_MODE", "cloud")]).contains("local, s3 or local_and_s3"));
        assert!(message(&[("VIDEO_STORAGE_MODE", "s3")]).starts_with("S3_BUCKET is not set"));
        assert!(
            with(&[("VIDEO_STORAGE_MODE", "s3"), ("S3_BUCKET", "Bad_Name")])
                .unwrap_err()
                .to_string()
                .contains("`Bad_Name`")
        );
        let half: &[_] =
            &[("VIDEO_STORAGE_MODE", "s3"), ("S3_BUCKET", "videos"), ("AWS_ACCESS_KEY_ID", "AKIA")];
        assert!(message(half).starts_with("AWS_SECRET_ACCESS_KEY is not set"));
        let endpoint: &[_] =
            &[("VIDEO_STORAGE_MODE", "s3"), ("S3_BUCKET", "videos"), ("S3_ENDPOINT", "localhost:9000")];
        assert!(message(endpoint).contains("http://127.0.0.1:9000"));
        let life: &[_] = &[("S3_SIGNED_URL_SECONDS", "604801")];
        assert!(message(life).contains("604800"));
        let whole: &[_] = &[
            ("VIDEO_STORAGE_MODE", "s3"),
            ("S3_BUCKET", "videos"),
            ("S3_ENDPOINT", "http://127.0.0.1:9000/"),
            ("AWS_ACCESS_KEY_ID", "AKIA4711"),
            ("AWS_SECRET_ACCESS_KEY", "secret4711"),
        ];
        let config = with(whole).unwrap();
        assert!(!format!("{config:?}").contains("4711"));
        let s3 = config.s3.unwrap();
        assert_eq!((s3.endpoint.as_deref(), s3.path_style), (Some("http://127.0.0.1:9000"), true));
    }
}
