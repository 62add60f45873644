//! The files of the source: in a folder, or in a bucket.

use std::path::{Component, Path, PathBuf};

use tempfile::TempPath;

use super::report::{Skip, shown};
use super::{Error, Failed};
use crate::storage::{Key, S3, S3Settings, Storage};

/// Bytes that a video may have, as an uploaded file at most.
pub const MAX_VIDEO_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Bytes that a picture, or captions, may have.
pub const MAX_OTHER_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a path.
const MAX_PLACE_BYTES: usize = 4096;

/// The place of the source's files.
pub enum SourceFiles {
    Folder {
        /// Without links.
        root: PathBuf,
        /// The beginning of the source's absolute paths.
        source_root: Option<PathBuf>,
    },
    Bucket {
        storage: Storage,
        bucket: String,
        /// The beginning of all keys. A key with another one is looked up below it.
        prefix: Option<String>,
        /// The folder of copies while they are stored.
        temporary: PathBuf,
    },
}

/// A file of the source, on this machine. A copy is removed when it is dropped.
pub enum Fetched {
    Here(PathBuf),
    Copy(TempPath),
}

impl Fetched {
    pub fn path(&self) -> &Path {
        match self {
            Fetched::Here(path) => path,
            Fetched::Copy(path) => path,
        }
    }
}

impl SourceFiles {
    /// Opens a folder. An error if it does not exist, or is a file.
    pub fn folder(root: &Path, source_root: Option<PathBuf>) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        match root.is_dir() {
            true => Ok(Self::Folder { root, source_root }),
            false => Err(std::io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Opens a bucket. Copies of its objects lie in `temporary` while they are stored.
    pub async fn bucket(settings: &S3Settings, prefix: Option<String>, temporary: PathBuf) -> Self {
        let storage = Storage::new(S3::connect(settings).await);
        Self::Bucket { storage, bucket: settings.bucket.clone(), prefix, temporary }
    }

    /// Fetches the file from the first of the places where it is. Otherwise returns the reason of the first one.
    pub(super) async fn fetch_first(&self, places: &[String], max_bytes: u64) -> Result<Fetched, Failed> {
        let mut first = None;
        for place in places {
            match self.fetch(place, max_bytes).await {
                Err(Failed::Skip(skip)) => {
                    first.get_or_insert(skip);
                }
                other => return other,
            }
        }
        Err(first.unwrap_or(Skip::NoVideo).into())
    }

    async fn fetch(&self, place: &str, max_bytes: u64) -> Result<Fetched, Failed> {
        if place.len() > MAX_PLACE_BYTES || place.contains('\0') {
            return Err(Skip::OutsideFiles { place: shown(place) }.into());
        }
        match self {
            Self::Folder { root, source_root } => {
                let path = find(root, source_root.as_deref(), place)?;
                let found = std::fs::metadata(&path).map_err(|_| missing(place))?;
                check_size(place, found.len(), max_bytes)?;
                Ok(Fetched::Here(path))
            }
            Self::Bucket { storage, bucket, prefix, temporary } => {
                let key = key_of(bucket, prefix.as_deref(), place)?;
                let head = storage.head(&key).await.map_err(Error::SourceFiles)?;
                let head = head.ok_or_else(|| missing(place))?;
                check_size(place, head.bytes, max_bytes)?;
                let failed = |source| Error::Temporary { path: temporary.clone(), source };
                std::fs::create_dir_all(temporary).map_err(failed)?;
                let copy =
                    tempfile::Builder::new().prefix("import-").tempfile_in(temporary).map_err(failed)?;
                let copy = copy.into_temp_path();
                match storage.copy_to(&key, &copy).await.map_err(Error::SourceFiles)? {
                    true => Ok(Fetched::Copy(copy)),
                    false => Err(missing(place).into()),
                }
            }
        }
    }
}

fn missing(place: &str) -> Skip {
    Skip::MissingFile { place: shown(place) }
}

fn check_size(place: &str, bytes: u64, max_bytes: u64) -> Result<(), Skip> {
    match bytes {
        0 => Err(missing(place)),
        bytes if bytes > max_bytes => Err(Skip::TooLarge {
            field: format!("the file {} (bytes)", shown(place)),
            max: max_bytes as usize,
        }),
        _ => Ok(()),
    }
}

/// Finds a regular file under `root`. Follows links, but none that leads out of it.
fn find(root: &Path, source_root: Option<&Path>, place: &str) -> Result<PathBuf, Skip> {
    let outside = || Skip::OutsideFiles { place: shown(place) };
    if place.contains("://") {
        return Err(missing(place));
    }
    let path = Path::new(place);
    let relative = match path.is_absolute() {
        false => path,
        true => {
            let roots = [source_root, Some(root)];
            let stripped = roots.into_iter().flatten().find_map(|root| path.strip_prefix(root).ok());
            stripped.ok_or_else(outside)?
        }
    };
    let is_inner = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(is_inner) {
        return Err(outside());
    }
    let found = root.join(relative).canonicalize().map_err(|_| missing(place))?;
    if !found.starts_with(root) {
        return Err(outside());
    }
    // A pipe or a device would hold up the run.
    if found.is_file() { Ok(found) } else { Err(missing(place)) }
}

/// The key of an object: the place itself, or a URL that names the bucket.
fn key_of(bucket: &str, prefix: Option<&str>, place: &str) -> Result<Key, Skip> {
    let outside = || Skip::OutsideFiles { place: shown(place) };
    let key = match place.split_once("://") {
        None => place.trim_start_matches('/'),
        Some(("s3", rest)) => {
            rest.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')).ok_or_else(outside)?
        }
        Some(("http" | "https", rest)) => {
            let (host, path) =
                rest.split(['?', '#']).next().and_then(|rest| rest.split_once('/')).ok_or_else(outside)?;
            let is_of_host = host.split('.').next() == Some(bucket);
            let in_path = path.strip_prefix(bucket).and_then(|path| path.strip_prefix('/'));
            in_path.or_else(|| is_of_host.then_some(path)).ok_or_else(outside)?
        }
        Some(_) => return Err(outside()),
    };
    let is_below = |prefix: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let key = match prefix {
        Some(prefix) if !is_below(prefix) => format!("{prefix}/{key}"),
        _ => key.to_owned(),
    };
    Key::parse(key).map_err(|_| outside())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("files"), folder.path().join("other"));
        for made in [&root.join("a"), &other] {
            std::fs::create_dir_all(made).unwrap();
        }
        std::fs::write(root.join("a/v.mp4"), b"x").unwrap();
        std::fs::write(other.join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(other.join("secret"), root.join("link.mp4")).unwrap();
        std::os::unix::fs::symlink(&other, root.join("links")).unwrap();
        std::os::unix::fs::symlink("a/v.mp4", root.join("inner.mp4")).unwrap();
        std::os::unix::fs::symlink("loop.mp4", root.join("loop.mp4")).unwrap();
        let root = root.canonicalize().unwrap();
        let of = |place: &str| {
            find(&root, Some(Path::new("/app/out")), place)
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .map_err(|skip| skip.name())
        };
        let absolute = root.join("a/v.mp4").display().to_string();
        for place in ["a/v.mp4", "./a/v.mp4", "/app/out/a/v.mp4", "inner.mp4", absolute.as_str()] {
            assert_eq!(of(place).as_deref(), Ok("a/v.mp4"), "{place}");
        }
        for place in [
            "../other/secret",
            "a/../../other/secret",
            "/etc/passwd",
            "/app/outer/x",
            "/app/out/../../etc/passwd",
            "link.mp4",
            "links/secret",
            "/",
            "..",
        ] {
            assert_eq!(of(place), Err("outside_files"), "{place}");
        }
        for place in ["none.mp4", "a", "", "loop.mp4", "s3://b/a/v.mp4", "a/v.mp4/x"] {
            assert_eq!(of(place), Err("missing_file"), "{place}");
        }
    }

    #[test]
    fn a_url_must_name_the_bucket() {
        for place in [
            "v/a.mp4",
            "/v/a.mp4",
            "s3://old/v/a.mp4",
            "https://old.s3.amazonaws.com/v/a.mp4?X-Amz-Expires=1",
            "http://127.0.0.1:9000/old/v/a.mp4",
        ] {
            assert_eq!(key_of("old", None, place).unwrap().as_str(), "v/a.mp4", "{place}");
        }
        for place in [
            "s3://new/v/a.mp4",
            "s3://older/v/a.mp4",
            "https://example.com/v/a.mp4",
            "file:///etc/passwd",
            "v/../../a",
            "",
            "https://old",
        ] {
            assert!(key_of("old", None, place).is_err(), "{place}");
        }
        for place in ["a.mp4", "v/a.mp4", "s3://old/v/a.mp4"] {
            assert_eq!(key_of("old", Some("v"), place).unwrap().as_str(), "v/a.mp4", "{place}");
        }
        assert_eq!(key_of("old", Some("v"), "vv/a.mp4").unwrap().as_str(), "v/vv/a.mp4");
    }
}
