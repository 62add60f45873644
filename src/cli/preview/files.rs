//! Notices that files were changed, and keeps the pictures that were read from them.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reel_scene::look::Look;
use reel_scene::{Block, Scene};
use reel_studio::layout::images::{self, Images};
use tokio::time::sleep;

/// How often files are looked at. A look takes some microseconds, and works where notifications do not: on network file
/// systems, in containers, and for editors that write another file and rename it.
const POLL_EVERY: Duration = Duration::from_millis(25);
/// How long a file must stay the same, for who writes it in parts.
const REST: Duration = Duration::from_millis(10);
/// Most rests that are waited for.
const MAX_RESTS: usize = 20;
/// How long an emptied or removed file may take to come back before it counts as empty: editors that save so take less.
const MAX_GAP: Duration = Duration::from_millis(200);

/// Tells one content of a file from another, without reading it. `None` for a file that is not there.
pub type Stamp = Option<(u64, i64, i64, i64, i64, u64)>;

pub fn stamp(file: &Path) -> Stamp {
    let facts = std::fs::metadata(file).ok()?;
    Some((facts.size(), facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec(), facts.ino()))
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

/// Files that are watched for changes.
#[derive(Debug)]
pub struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Stamp>,
}

impl Watched {
    /// Watches files from now on.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { seen: stamps(&files), files }
    }

    /// Watches other files, whose stamps were taken before they were read; those that were watched before keep what was
    /// seen of them.
    pub fn replace(&mut self, files: Vec<(PathBuf, Stamp)>) {
        let seen = |(file, stamp): &(PathBuf, Stamp)| {
            let known = self.files.iter().position(|watched| watched == file);
            known.map_or(*stamp, |index| self.seen[index])
        };
        self.seen = files.iter().map(seen).collect();
        self.files = files.into_iter().map(|(file, _)| file).collect();
    }

    /// Returns when a file has changed and rests. The first file may be written in place: it is not empty for long.
    pub async fn changed(&mut self) {
        while stamps(&self.files) == self.seen {
            sleep(POLL_EVERY).await;
        }
        let began = SystemTime::now();
        for _ in 0..MAX_RESTS {
            let now = stamps(&self.files);
            sleep(REST).await;
            let is_there = now.first().copied().flatten().is_some_and(|(size, ..)| size > 0);
            let is_given_up = began.elapsed().unwrap_or_default() > MAX_GAP;
            if stamps(&self.files) == now && (is_there || is_given_up) {
                break;
            }
        }
        self.seen = stamps(&self.files);
    }
}

/// Pictures of scenes that were read and scaled, which takes longer than all else that a save needs.
#[derive(Debug, Default)]
pub struct Pictures(HashMap<Vec<(PathBuf, Stamp)>, Arc<Images>>);

impl Pictures {
    /// Returns the pictures of one scene, from files in `folder`; reads those that were changed.
    pub fn of_scene(
        &mut self,
        scene: &Scene,
        look: &Look,
        folder: &Path,
    ) -> Result<Arc<Images>, (String, images::Error)> {
        let files: Vec<String> = picture_files(scene, look).map(str::to_owned).collect();
        let key: Vec<(PathBuf, Stamp)> = files
            .iter()
            .map(|file| {
                let path = folder.join(file);
                let stamp = stamp(&path);
                (path, stamp)
            })
            .collect();
        if let Some(images) = self.0.get(&key) {
            return Ok(images.clone());
        }
        let images = Images::read(std::slice::from_ref(scene), look, folder).map_err(|error| {
            let named = |file: &&String| error.to_string().contains(file.as_str());
            (files.iter().find(named).cloned().unwrap_or_default(), error)
        })?;
        let images = Arc::new(images);
        self.0.insert(key, images.clone());
        Ok(images)
    }

    /// Forgets all pictures but those that are in use.
    pub fn retain_used(&mut self) {
        self.0.retain(|_, images| Arc::strong_count(images) > 1);
    }
}

/// Iterates over the names of the files with a scene's pictures.
pub fn picture_files<'a>(scene: &'a Scene, look: &'a Look) -> impl Iterator<Item = &'a str> {
    let shown = scene.blocks.iter().filter_map(|block| match block {
        Block::Image { file, .. } => Some(file.as_str()),
        _ => None,
    });
    shown.chain(look.logo.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_noticed(watched: &mut Watched) -> bool {
        tokio::time::timeout(Duration::from_secs(5), watched.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn files_that_are_written_replaced_or_removed_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        std::fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        std::fs::write(&file, "two").unwrap();
        assert!(is_noticed(&mut watched).await, "written in place");
        std::fs::write(folder.path().join("b"), "new").unwrap();
        std::fs::rename(folder.path().join("b"), &file).unwrap();
        assert!(is_noticed(&mut watched).await, "replaced by rename");
        std::fs::remove_file(&file).unwrap();
        assert!(is_noticed(&mut watched).await, "removed");
        std::fs::write(&file, "back").unwrap();
        assert!(is_noticed(&mut watched).await, "there again");
        let quiet = tokio::time::timeout(Duration::from_millis(200), watched.changed()).await;
        assert!(quiet.is_err(), "nothing has changed");
    }
}
