//! Where the archive keeps its objects: a folder, for now. An object is written once, whole, and never changed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Objects {
    root: PathBuf,
}

impl Objects {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Stores an object, all or nothing, and flushes it to disk. A second call with the same key replaces it.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> io::Result<()> {
        let path = self.root.join(key);
        blocking(move || {
            let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        })
        .await
    }

    /// A whole object; `None` when there is none.
    pub async fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.root.join(key);
        blocking(move || match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
        .await
    }

    /// `length` bytes from `offset` on.
    pub async fn get_range(&self, key: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let path = self.root.join(key);
        blocking(move || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .await
    }

    /// The keys of a folder that end in `suffix`, in order.
    pub async fn list(&self, folder: &str, suffix: &'static str) -> io::Result<Vec<String>> {
        let (path, folder) = (self.root.join(folder), folder.to_owned());
        blocking(move || {
            let entries = match std::fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
                entries => entries?,
            };
            let mut keys = vec![];
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name.ends_with(suffix) {
                    keys.push(format!("{folder}/{name}"));
                }
            }
            keys.sort();
            Ok(keys)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
