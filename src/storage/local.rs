//! Finished files on the local disk.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::events::Rendition;
use crate::events::job::{FileRole, StoredFile};
use crate::ids::JobId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot store {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{0}` is not a storage key")]
    Key(String),
}

impl Error {
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: PathBuf,
}

/// What a file is called in its job's folder.
fn file_name(role: FileRole, rendition: Option<Rendition>) -> String {
    let level = rendition.map_or("all", |rendition| rendition.quality.level());
    match role {
        FileRole::Video => rendition.map_or_else(|| "video.mp4".to_owned(), Rendition::file_name),
        FileRole::ThumbnailSmall => "thumbnail-small.jpg".to_owned(),
        FileRole::ThumbnailMedium => "thumbnail-medium.jpg".to_owned(),
        FileRole::ThumbnailLarge => "thumbnail-large.jpg".to_owned(),
        FileRole::CaptionsVtt => "captions.vtt".to_owned(),
        FileRole::CaptionsSrt => "captions.srt".to_owned(),
        FileRole::HlsMaster => "master.m3u8".to_owned(),
        FileRole::HlsPlaylist => format!("{level}.m3u8"),
        FileRole::HlsSegments => format!("{level}.m4s"),
    }
}

impl LocalStorage {
    pub fn new(media_root: &Path) -> Self {
        Self { root: media_root.to_owned() }
    }

    /// The folder that keys are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Copies `source` to its final place, all or nothing; a second call replaces the first result.
    /// Blocks while it copies, hashes and flushes.
    pub fn store(
        &self,
        job: JobId,
        (role, rendition): (FileRole, Option<Rendition>),
        source: &Path,
    ) -> Result<StoredFile, Error> {
        let name = file_name(role, rendition);
        let key = format!("videos/{job}/{name}");
        let path = self.root.join(&key);
        let folder = path.parent().unwrap_or(&self.root);
        let write = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(write)?;
        let mut input =
            File::open(source).map_err(|error| Error::Read { path: source.to_owned(), source: error })?;
        let temporary = tempfile::Builder::new()
            .prefix(&name)
            .suffix(".part")
            .permissions(readable())
            .tempfile_in(folder)
            .map_err(write)?;
        let mut output = HashingWriter { file: temporary.as_file(), hasher: blake3::Hasher::new() };
        let bytes = io::copy(&mut input, &mut output).map_err(write)?;
        let blake3 = output.hasher.finalize().to_hex().to_string();
        temporary.as_file().sync_all().map_err(write)?;
        temporary.persist(&path).map_err(|error| write(error.error))?;
        // The rename itself must survive a power cut too.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)?;
        Ok(StoredFile { role, rendition, key, bytes, blake3 })
    }

    /// Removes all that is stored of a job; nothing there is fine.
    pub fn remove(&self, job: JobId) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(format!("videos/{job}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// The path of a stored file. Keys come from events; one that leads elsewhere is refused.
    pub fn path(&self, key: &str) -> Result<PathBuf, Error> {
        let stays_inside = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if !stays_inside || key.is_empty() {
            return Err(Error::Key(key.to_owned()));
        }
        Ok(self.root.join(key))
    }
}

#[cfg(unix)]
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}

struct HashingWriter<'a> {
    file: &'a File,
    hasher: blake3::Hasher,
}

impl io::Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = io::Write::write(&mut self.file, bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_file_is_whole_and_nothing_is_left_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("in.mp4");
        fs::write(&source, b"content").unwrap();
        let storage = LocalStorage::new(root.path());
        let job = JobId::new();
        let stored = storage.store(job, (FileRole::Video, None), &source).unwrap();
        assert_eq!(stored.blake3, blake3::hash(b"content").to_hex().to_string());
        assert_eq!(fs::read(storage.path(&stored.key).unwrap()).unwrap(), b"content");
        storage.store(job, (FileRole::Video, None), &source).unwrap();
        let folder = root.path().join(format!("videos/{job}"));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_key_cannot_lead_out_of_the_root() {
        let storage = LocalStorage::new(Path::new("/media"));
        for key in ["../etc/passwd", "/etc/passwd", "videos/../../x", ""] {
            assert!(matches!(storage.path(key), Err(Error::Key(_))), "{key}");
        }
    }
}
