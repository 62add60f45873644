//! The stores of a process, as its settings say.

use std::path::Path;

use super::settings::{Delivery, StorageMode, StorageSettings};
use super::{Error, Local, Measured, Mirrored, Prefix, S3, Storage};
use crate::ids::JobId;

/// The folder of the bucket that holds archived segments of the log.
const ARCHIVE: &str = "archive";

/// Where files go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stores {
    pub mode: StorageMode,
    pub delivery: Delivery,
    /// Videos, uploads, and all else that clients get.
    pub files: Storage,
    /// Archived segments of the log.
    pub archive: Storage,
    /// What stages hand to each other; `None` where all workers share one folder.
    pub artifacts: Option<Storage>,
    /// This machine's disk alone, for what S3 does not take, and for caches.
    pub local: Storage,
    pub s3: Option<S3>,
}

impl Stores {
    /// Opens all stores. With S3, checks that it can be written, so that wrong settings show at the start.
    pub async fn open(
        settings: &StorageSettings,
        media_root: &Path,
        archive_root: &Path,
    ) -> Result<Self, Error> {
        let stores = Self::unchecked(settings, media_root, archive_root).await;
        if let Some(s3) = &stores.s3 {
            s3.check().await?;
        }
        Ok(stores)
    }

    /// Opens all stores without asking whether they can be used, for commands that must run while S3 is away.
    pub async fn unchecked(settings: &StorageSettings, media_root: &Path, archive_root: &Path) -> Self {
        let local = Self::local(media_root, archive_root);
        let Some(s3) = &settings.s3 else { return Self { delivery: settings.delivery, ..local } };
        let s3 = S3::connect(s3).await;
        let archive = s3.within(ARCHIVE);
        let (files, archive) = match settings.mode {
            StorageMode::Local => (local.files, local.archive),
            StorageMode::S3 => (Storage::new(s3.clone()), Storage::new(archive)),
            StorageMode::LocalAndS3 => (
                Storage::new(mirrored(media_root, s3.clone())),
                Storage::new(mirrored(archive_root, archive)),
            ),
        };
        Self {
            mode: settings.mode,
            delivery: settings.delivery,
            files,
            archive,
            // Where the disk has all files, work goes on while S3 is away.
            artifacts: (settings.mode == StorageMode::S3).then(|| Storage::new(s3.clone())),
            local: local.local,
            s3: Some(s3),
        }
    }

    /// Opens stores in folders of this machine.
    pub fn local(media_root: &Path, archive_root: &Path) -> Self {
        Self {
            mode: StorageMode::Local,
            delivery: Delivery::default(),
            files: Storage::local(media_root),
            archive: Storage::local(archive_root),
            artifacts: None,
            local: Storage::local(media_root),
            s3: None,
        }
    }

    /// Removes the stored files of a job.
    pub async fn delete_job(&self, user_id: &str, job_id: JobId) -> Result<(), Error> {
        self.files.delete_prefix(&Prefix::of_job(user_id, job_id)).await?;
        self.files.delete_prefix(&Prefix::of_video(job_id)).await
    }
}

fn mirrored(root: &Path, s3: S3) -> Mirrored {
    Mirrored { local: Measured(Local::new(root)), s3: Measured(s3) }
}
