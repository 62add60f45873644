//! The folder of a running job.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cache, Storage};
use crate::ids::JobId;

/// Time for which stopping work may still add files.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Workspaces {
    media_root: PathBuf,
    storage: Storage,
}

/// Paths inside are relative names such as `scenes/03.mp4`, which is how events refer to them.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspaces {
    pub fn new(media_root: &Path) -> Self {
        Self { media_root: media_root.to_owned(), storage: Storage::local(media_root) }
    }

    /// Returns the cache of a user.
    pub fn cache_of(&self, user: &str) -> Cache {
        Cache::new(self.storage.clone(), user)
    }

    /// The jobs that have folders, each with how long nothing was added to it.
    pub async fn list(&self) -> io::Result<Vec<(JobId, Duration)>> {
        let mut folders = match tokio::fs::read_dir(self.media_root.join("work")).await {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let mut found = vec![];
        while let Some(folder) = folders.next_entry().await? {
            let Some(job) = folder.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may go at any moment.
            let Ok(modified) = folder.metadata().await.and_then(|metadata| metadata.modified()) else {
                continue;
            };
            found.push((job, modified.elapsed().unwrap_or_default()));
        }
        Ok(found)
    }

    pub fn of(&self, job: JobId) -> Workspace {
        Workspace { root: self.media_root.join("work").join(job.to_string()) }
    }
}

impl Workspace {
    /// Creates the folder and those inside it; a second call changes nothing.
    pub fn create(&self) -> io::Result<()> {
        for folder in ["narration", "scenes", "thumbnails", "hls"] {
            std::fs::create_dir_all(self.root.join(folder))?;
        }
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Removes the folder and everything in it, if it exists. Stopping work may still add files, so it retries for a few seconds.
    pub async fn remove(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match tokio::fs::remove_dir_all(&self.root).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty
                        && began.elapsed() < REMOVE_TIMEOUT =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }
}
