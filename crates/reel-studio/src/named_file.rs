//! Files of the operator that requests refer to by name: music and logos.

use std::io;
use std::path::{Path, PathBuf};

/// Finds a file by its name without the extension; of several, the first in alphabetical order. Returns `NotFound` without
/// a folder.
pub fn find(folder: Option<&Path>, name: &str) -> io::Result<PathBuf> {
    let folder = folder.ok_or(io::ErrorKind::NotFound)?;
    let files = std::fs::read_dir(folder)?;
    let has_name = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == name);
    let first = files.flatten().map(|file| file.path()).filter(has_name).min();
    Ok(first.ok_or(io::ErrorKind::NotFound)?)
}
