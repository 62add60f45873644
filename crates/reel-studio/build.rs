//! Passes a digest of the sources to the crate, which puts it into cache keys (`SOURCES`).

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// The scene description and its rules, the studio, animations, and the versions of all dependencies.
#[allow(dead_code, reason = "tests of `digest` do not build what calls it")]
const INPUTS: [&str; 4] = ["src", "../reel-scene/src", "../reel-manim/src", "../../Cargo.lock"];

#[allow(dead_code, reason = "tests of `digest` do not build what calls it")]
fn main() -> io::Result<()> {
    INPUTS.iter().for_each(|input| println!("cargo::rerun-if-changed={input}"));
    println!("cargo::rustc-env=REEL_STUDIO_SOURCES={}", digest(&INPUTS.map(Path::new))?);
    Ok(())
}

/// Digests the names and contents of all files at and under `inputs`, except tests and missing inputs.
fn digest(inputs: &[&Path]) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        for file in files_under(input)? {
            file.strip_prefix(input).unwrap_or(&file).hash(&mut hasher);
            std::fs::read(&file)?.hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn files_under(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    if !path.is_dir() {
        return Ok(path.is_file().then(|| path.to_owned()).into_iter().collect());
    }
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(path)? {
        files.extend(files_under(&entry?.path())?);
    }
    files.retain(|file| !file.to_string_lossy().ends_with("tests.rs"));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_has_another_digest_and_a_test_has_none() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let digest = || digest(&[folder.path(), Path::new("not-there")]);
        std::fs::create_dir(folder.path().join("draw"))?;
        write("draw/motion.rs", "fast")?;
        let before = digest()?;
        write("draw/motion_tests.rs", "assert")?;
        assert_eq!(digest()?, before);
        write("draw/motion.rs", "slow")?;
        let changed = digest()?;
        assert_ne!(changed, before);
        std::fs::rename(folder.path().join("draw/motion.rs"), folder.path().join("draw/slow.rs"))?;
        assert_ne!(digest()?, changed);
        Ok(())
    }
}
