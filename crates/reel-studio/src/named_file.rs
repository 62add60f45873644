//! Files of an operator's that requests name: pieces of music, logos.

use std::io;
use std::path::{Path, PathBuf};

/// The file of a name in a folder, whatever its ending; of several, the first in order. `NotFound` without a folder.
pub fn find(folder: Option<&Path>, name: &str) -> io::Result<PathBuf> {
    let folder = folder.ok_or(io::ErrorKind::NotFound)?;
    let files = std::fs::read_dir(folder)?;
    let is_it = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == name);
    let first = files.flatten().map(|file| file.path()).filter(is_it).min();
    Ok(first.ok_or(io::ErrorKind::NotFound)?)
}
