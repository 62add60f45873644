//! Whether this machine has room for another scene. Without it, new renders wait, instead of failing those that run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Limits;

/// How often to look again while there is no room.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Headroom {
    media_root: PathBuf,
}

impl Headroom {
    pub fn new(media_root: &Path) -> Self {
        Self { media_root: media_root.to_owned() }
    }

    /// Returns what is lacking, for the log; `None` when there is room.
    pub fn lacking(&self, limits: &Limits) -> Option<String> {
        let Limits { min_free_bytes, max_memory_bytes, .. } = *limits;
        let free = rustix::fs::statvfs(&self.media_root).map(|stat| stat.f_bavail * stat.f_frsize);
        if let Ok(free) = free
            && free < min_free_bytes
        {
            let (free, least) = (free >> 20, min_free_bytes >> 20);
            return Some(format!("{free} MiB are free under MEDIA_ROOT, and limits.min_free_mb is {least}"));
        }
        let used = process_bytes().filter(|_| max_memory_bytes > 0)?;
        (used > max_memory_bytes).then(|| {
            let (used, most) = (used >> 20, max_memory_bytes >> 20);
            format!("this process has {used} MiB of memory, and limits.max_memory_mb is {most}")
        })
    }
}

/// Resident memory of this process.
fn process_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        let root = tempfile::tempdir().unwrap();
        let shipped = crate::config::Streams::from_environment(&|_| None).unwrap().limits;
        let lacking = |min_free_bytes, max_memory_bytes| {
            let limits = Limits { min_free_bytes, max_memory_bytes, ..shipped.clone() };
            Headroom::new(root.path()).lacking(&limits)
        };
        assert_eq!(lacking(0, 0), None);
        assert_eq!(lacking(0, 1 << 50), None);
        assert!(lacking(1 << 60, 0).unwrap().contains("limits.min_free_mb is 1099511627776"));
        assert!(lacking(0, 1 << 20).unwrap().contains("limits.max_memory_mb is 1"));
    }
}
