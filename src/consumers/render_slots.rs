//! The scenes that the processes of one machine render at a time, together: `MAX_CONCURRENT_RENDERS`.
//!
//! A slot is a locked file. The kernel unlocks the files of a process that dies, however it dies, so no slot is ever lost.
//! The folder has one of its own for each boot of each machine, because a disk may be shared by several. Containers of one
//! machine have the same, if they see the same folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::config::MediaConfig;
use crate::telemetry::chain;

/// How long to wait before looking again for a free slot: a lock tells nobody when it goes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct RenderSlots {
    folder: PathBuf,
    count: usize,
    /// Set once a lock has failed, so that it is logged once.
    is_broken: AtomicBool,
}

/// A slot, until it is dropped. Without a file where the file system has no locks: then the process's own limit stands alone.
#[derive(Debug)]
pub struct RenderSlot {
    _locked: Option<File>,
}

impl RenderSlots {
    pub fn new(media: &MediaConfig) -> Self {
        let root = media.render_slots.clone().unwrap_or_else(|| media.root.join("render-slots"));
        Self::within(&root.join(boot_of_machine()), media.max_concurrent_renders)
    }

    fn within(folder: &Path, count: usize) -> Self {
        Self { folder: folder.to_owned(), count, is_broken: AtomicBool::new(false) }
    }

    /// Takes a slot; `None` while the processes of this machine hold all of them.
    pub fn try_acquire(&self) -> Option<RenderSlot> {
        match self.lock_one() {
            Ok(locked) => locked.map(|file| RenderSlot { _locked: Some(file) }),
            Err(error) => {
                if !self.is_broken.swap(true, Ordering::Relaxed) {
                    let folder = self.folder.display();
                    tracing::error!(%folder, error = chain(&error), "renders of this machine are counted by process");
                }
                Some(RenderSlot { _locked: None })
            }
        }
    }

    fn lock_one(&self) -> io::Result<Option<File>> {
        std::fs::create_dir_all(&self.folder)?;
        for number in 0..self.count {
            // Each try opens the file anew: a lock belongs to what was opened.
            let path = self.folder.join(number.to_string());
            let file = File::options().create(true).truncate(false).write(true).open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(file)),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Names this boot of this machine.
fn boot_of_machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match boot.trim() {
        "" => crate::telemetry::host_name(),
        boot => boot.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 001-6.4
    #[test]
    fn all_processes_of_a_machine_share_its_slots() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [0, 1].map(|_| RenderSlots::within(&folder.path().join("boot"), 2));
        let (first, second) = (one.try_acquire(), other.try_acquire());
        assert!(first.is_some() && second.is_some());
        assert!(one.try_acquire().is_none() && other.try_acquire().is_none());
        drop(first);
        assert!(other.try_acquire().is_some());
        let another_boot = RenderSlots::within(&folder.path().join("another"), 2);
        assert!(another_boot.try_acquire().is_some() && another_boot.try_acquire().is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_used_stops_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let slots = RenderSlots::within(&file.path().join("boot"), 1);
        assert!(slots.try_acquire().is_some() && slots.try_acquire().is_some());
    }
}
