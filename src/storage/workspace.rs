//! The folder of a running job.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::local::hash;
use super::{Cache, Content, Error, Mode, Prefix, Storage, Stores};
use crate::ids::JobId;

/// Time for which stopping work may still add files.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Workspaces {
    media_root: PathBuf,
    /// This machine's disk, for caches.
    local: Storage,
    /// What stages on different machines hand to each other; `None` where all share the folder.
    artifacts: Option<Storage>,
}

/// Paths inside are relative names such as `scenes/03.mp4`, which is how events refer to them.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    artifacts: Option<(Storage, Prefix)>,
}

impl Workspaces {
    pub fn new(media_root: &Path, stores: &Stores) -> Self {
        Self {
            media_root: media_root.to_owned(),
            local: stores.local.clone(),
            artifacts: stores.artifacts.clone(),
        }
    }

    pub fn media_root(&self) -> &Path {
        &self.media_root
    }

    /// Returns the cache of a user.
    pub fn cache_of(&self, user: &str) -> Cache {
        Cache::new(self.local.clone(), user)
    }

    /// Removes the caches of all users on this machine.
    pub async fn clear_caches(&self) -> Result<(), Error> {
        self.local.delete_prefix(&Prefix::of_all_caches()).await
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
        let artifacts = self.artifacts.clone().map(|storage| (storage, Prefix::of_artifacts(job)));
        Workspace { root: self.media_root.join("work").join(job.to_string()), artifacts }
    }

    /// The jobs that have artifacts in the storage, each with how long none was added to it.
    pub async fn list_artifacts(&self) -> Result<Vec<(JobId, Duration)>, Error> {
        let Some(storage) = &self.artifacts else { return Ok(vec![]) };
        let mut found: BTreeMap<JobId, Duration> = BTreeMap::new();
        for entry in storage.list(&Prefix::of_all_artifacts()).await? {
            let Some(job) = entry.key.as_str().split('/').nth(1).and_then(|name| name.parse().ok()) else {
                continue;
            };
            let age = entry.head.modified.elapsed().unwrap_or_default();
            found.entry(job).and_modify(|youngest| *youngest = age.min(*youngest)).or_insert(age);
        }
        Ok(found.into_iter().collect())
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

    /// Creates a folder inside of it, which goes when it is dropped.
    pub fn scratch(&self) -> io::Result<tempfile::TempDir> {
        std::fs::create_dir_all(&self.root)?;
        tempfile::Builder::new().prefix("scratch-").tempdir_in(&self.root)
    }

    /// Removes the folder unless something is in it.
    pub fn remove_if_empty(&self) {
        let _in_use = std::fs::remove_dir(&self.root);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Stores a finished file for other machines, and returns the hash under which they find it; `None` where all share
    /// the folder.
    pub async fn share(&self, name: &str) -> Result<Option<String>, Error> {
        let Some((storage, prefix)) = &self.artifacts else { return Ok(None) };
        let (path, file) = (self.path(name), self.path(name));
        let hash = tokio::task::spawn_blocking(move || hash(&file)).await;
        let hash = hash.map_err(io::Error::other).flatten();
        let hash = hash.map_err(|error| Error::new("read", name, error))?;
        let key = prefix.key(&hash)?;
        // Another attempt may have made the same.
        if storage.head(&key).await?.is_none() {
            storage.put(&key, Content::File(path), Mode::Replace).await?;
        }
        Ok(Some(hash))
    }

    /// Makes a file of an earlier stage available in the folder. `artifact` is the hash that [`Self::share`] returned.
    /// `false` when the file is neither here nor in the storage.
    pub async fn fetch(&self, name: &str, artifact: Option<&str>) -> Result<bool, Error> {
        let path = self.path(name);
        let Some(artifact) = artifact else { return Ok(tokio::fs::try_exists(&path).await.unwrap_or(false)) };
        let file = path.clone();
        // A file of an earlier run may have the same name.
        let found = tokio::task::spawn_blocking(move || hash(&file).ok()).await.ok().flatten();
        if found.as_deref() == Some(artifact) {
            return Ok(true);
        }
        let Some((storage, prefix)) = &self.artifacts else { return Ok(found.is_some()) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::new("create", name, error))?;
        }
        storage.copy_to(&prefix.key(artifact)?, &path).await
    }

    /// Removes what the job's stages have stored for each other.
    pub async fn remove_artifacts(&self) -> Result<(), Error> {
        match &self.artifacts {
            Some((storage, prefix)) => storage.delete_prefix(prefix).await,
            None => Ok(()),
        }
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
