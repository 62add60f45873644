//! The names of stored objects.

use std::fmt;

use super::Error;
use crate::ids::JobId;

const MAX_BYTES: usize = 1024;
/// File systems allow 255; temporary names beside an object are longer than its own.
const MAX_SEGMENT_BYTES: usize = 200;

/// The name of an object: segments with `/` between them, such as `videos/<job id>/video.mp4`. No segment is empty, `.`
/// or `..`, and none ends in `.part`, which is what unfinished files are called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A folder of keys: all that begin with it and `/`. Never empty, so it never means everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Key {
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if is_valid(&text) { Ok(Self(text)) } else { Err(Error::InvalidKey(text)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if is_valid(&text) { Ok(Self(text)) } else { Err(Error::InvalidKey(text)) }
    }

    /// The files of a job's video.
    pub fn of_job(user: &str, job: JobId) -> Self {
        Self(format!("users/{}/jobs/{job}", user_folder(user)))
    }

    /// The files of a video that an early version stored.
    pub fn of_video(job: JobId) -> Self {
        Self(format!("videos/{job}"))
    }

    /// What the stages of a job hand to each other, by its content.
    pub fn of_artifacts(job: JobId) -> Self {
        Self(format!("{ARTIFACTS}/{job}"))
    }

    /// The artifacts of all jobs.
    pub fn of_all_artifacts() -> Self {
        Self(ARTIFACTS.to_owned())
    }

    /// The uploads of one user, whose id may hold any character.
    pub fn of_uploads(user: &str) -> Self {
        Self(format!("uploads/{}", &blake3::hash(user.as_bytes()).to_hex()[..32]))
    }

    /// The cached results of one user, whose id may hold any character.
    pub fn of_cache(user: &str) -> Self {
        Self(format!("cache/{}", &blake3::hash(user.as_bytes()).to_hex()[..32]))
    }

    /// The cached results of all users.
    pub fn of_all_caches() -> Self {
        Self("cache".to_owned())
    }

    pub fn key(&self, name: &str) -> Result<Key, Error> {
        Key::parse(format!("{}/{name}", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const ARTIFACTS: &str = "work";
const MAX_PLAIN_USER_BYTES: usize = 100;

/// A user's folder: the id itself if it is a plain word, else its digest, since it may hold any character.
fn user_folder(user: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match (1..=MAX_PLAIN_USER_BYTES).contains(&user.len()) && user.chars().all(is_plain) {
        true => user.to_owned(),
        // No plain word has a dot.
        false => format!("id.{}", &blake3::hash(user.as_bytes()).to_hex()[..32]),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_valid(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.split('/').all(is_valid_segment)
}

fn is_valid_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= MAX_SEGMENT_BYTES
        && segment != "."
        && segment != ".."
        && !segment.ends_with(".part")
        && !segment.contains(|c: char| c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_lead_out_of_the_root() {
        let long = "x".repeat(201);
        for text in [
            "",
            "/",
            "/etc/passwd",
            "../etc/passwd",
            "videos/../../x",
            "videos//x",
            "videos/",
            ".",
            "a/./b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a/b.part",
            long.as_str(),
        ] {
            assert!(matches!(Key::parse(text), Err(Error::InvalidKey(_))), "{text:?}");
            assert!(matches!(Prefix::parse(text), Err(Error::InvalidKey(_))), "{text:?}");
        }
        for text in ["a", "videos/x/video.mp4", "p000/1..2.zst", "é/..."] {
            assert_eq!(Key::parse(text).unwrap().as_str(), text);
        }
        assert!(Prefix::of_cache("user/../1").key("../x").is_err());
        let job = JobId(uuid::Uuid::nil());
        assert!(Prefix::of_job("user_2b", job).as_str().starts_with("users/user_2b/jobs/0000"));
        for user in ["", ".", "..", "a/b", "id.x", "ä", "x".repeat(101).as_str()] {
            let prefix = Prefix::of_job(user, job);
            assert!(prefix.as_str().starts_with("users/id.") && is_valid(prefix.as_str()), "{prefix}");
        }
    }
}
