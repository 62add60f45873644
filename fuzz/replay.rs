//! Runs a fuzz target's entry point on its seeds (`corpus/`) and on the inputs that once failed (`regressions/`).

use std::path::{Path, PathBuf};

/// Panics when an input does, or when there are no inputs at all.
pub fn all(target: &str, entry: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fuzz =
        root.ancestors().map(|folder| folder.join("fuzz")).find(|fuzz| fuzz.join("replay.rs").exists());
    let fuzz = fuzz.expect("the crate lies in the repository");
    let folders = [fuzz.join("corpus").join(target), fuzz.join("regressions").join(target)];
    let mut inputs: Vec<PathBuf> = vec![];
    for folder in folders.iter().filter(|folder| folder.exists()) {
        inputs.extend(std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()));
    }
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no seeds");
    for input in inputs {
        eprintln!("{}", input.display());
        entry(&std::fs::read(&input).expect("a readable file"));
    }
}
