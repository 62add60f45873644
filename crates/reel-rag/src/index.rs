//! The shared index: a folder with `manifest.json`, `excerpts.jsonl` and, with embeddings, `vectors.f32`.
//!
//! It is written beside its place and renamed, so a reader meets a whole one or none. The manifest says what it was built for, and
//! has the digest of both other files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::embed::{DIMENSIONS, MODEL};
use crate::{Embedder, Excerpt, Searcher, embed, search};

/// The form of the folder. A change of it, or of how excerpts are made, takes the next number.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const EXCERPTS: &str = "excerpts.jsonl";
const VECTORS: &str = "vectors.f32";
const NUMBER_BYTES: usize = 4;
/// For the embeddings of 32 excerpts, on a slow machine.
const EMBEDDING_TIMEOUT: Duration = Duration::from_secs(120);

/// The description of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub reel_version: String,
    pub manim_version: String,
    pub excerpts: usize,
    /// The model of the embeddings; `None` without them.
    pub model: Option<String>,
    /// BLAKE3 over both files, in hex.
    pub digest: String,
}

/// The versions that an index is for.
#[derive(Debug, Clone, Copy)]
pub struct Versions<'a> {
    pub reel: &'a str,
    /// `None` where no Manim is installed.
    pub manim: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no index in {folder}; run `reel rag build`", folder = .folder.display())]
    Missing { folder: PathBuf },
    #[error("the index in {folder} was built for {what} {found}, and this is {expected}; run `reel rag build` again", folder = .folder.display())]
    Outdated { folder: PathBuf, what: &'static str, found: String, expected: String },
    #[error("the index in {folder} is damaged: {reason}; run `reel rag build` again", folder = .folder.display())]
    Damaged { folder: PathBuf, reason: String },
    #[error("{folder} holds `{name}`, which is no part of an index; set RAG_INDEX to a folder of its own", folder = .folder.display())]
    Foreign { folder: PathBuf, name: String },
    #[error("cannot read {path}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the index to {folder}", folder = .folder.display())]
    Write { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Embed(#[from] embed::Error),
    #[error(transparent)]
    Search(#[from] search::Error),
}

/// An index that can be searched.
pub struct Index {
    pub manifest: Manifest,
    pub searcher: Searcher,
}

/// Builds an index of excerpts, with embeddings where there is an embedder, and puts it into `folder` in place of an earlier one.
/// Refuses a folder with other files. Blocks.
pub fn build(
    folder: &Path,
    excerpts: &[Excerpt],
    (reel_version, manim_version): (&str, &str),
    embedder: Option<&Embedder>,
) -> Result<Manifest, Error> {
    refuse_foreign(folder)?;
    let cannot_write = |source| Error::Write { folder: folder.to_owned(), source };
    let texts: Vec<String> = excerpts.iter().map(Excerpt::text_to_embed).collect();
    let vectors = embedder.map(|embedder| embedder.embed(&texts, EMBEDDING_TIMEOUT)).transpose()?;
    let mut lines = String::new();
    for excerpt in excerpts {
        lines.push_str(&serde_json::to_string(excerpt).map_err(|error| cannot_write(error.into()))?);
        lines.push('\n');
    }
    let numbers = vectors.iter().flatten().flatten().flat_map(|number| number.to_le_bytes());
    let numbers: Vec<u8> = numbers.collect();
    let manifest = Manifest {
        format: FORMAT,
        reel_version: reel_version.to_owned(),
        manim_version: manim_version.to_owned(),
        excerpts: excerpts.len(),
        model: vectors.map(|_| MODEL.to_owned()),
        digest: digest(lines.as_bytes(), &numbers),
    };
    write(folder, &manifest, &lines, &numbers).map_err(cannot_write)?;
    Ok(manifest)
}

/// A mistyped setting must not cost anybody a folder.
fn refuse_foreign(folder: &Path) -> Result<(), Error> {
    let cannot_read = |source| Error::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(cannot_read)?,
    };
    for entry in entries {
        let name = entry.map_err(cannot_read)?.file_name();
        if ![MANIFEST, EXCERPTS, VECTORS].map(OsStr::new).contains(&name.as_os_str()) {
            let name = name.to_string_lossy().into_owned();
            return Err(Error::Foreign { folder: folder.to_owned(), name });
        }
    }
    Ok(())
}

fn write(folder: &Path, manifest: &Manifest, lines: &str, numbers: &[u8]) -> io::Result<()> {
    let beside = |what: &str| {
        let mut path = folder.as_os_str().to_owned();
        path.push(format!(".{}.{what}", std::process::id()));
        PathBuf::from(path)
    };
    let (part, old) = (beside("part"), beside("old"));
    let written = || {
        fs::create_dir_all(&part)?;
        fs::write(part.join(EXCERPTS), lines)?;
        fs::write(part.join(VECTORS), numbers)?;
        fs::write(part.join(MANIFEST), serde_json::to_string_pretty(manifest)?)?;
        if folder.exists() {
            fs::rename(folder, &old)?;
        }
        fs::rename(&part, folder)
    };
    let written = written();
    for left in [part, old].iter().filter(|left| left.exists()) {
        fs::remove_dir_all(left)?;
    }
    written
}

fn digest(excerpts: &[u8], vectors: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(excerpts.len() as u64).to_le_bytes()).update(excerpts).update(vectors);
    hasher.finalize().to_hex().to_string()
}

impl Index {
    /// Opens an index. Refuses one that was built for other versions, or whose files are not those that were built.
    pub fn open(folder: &Path, versions: Versions<'_>) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged { folder: folder.to_owned(), reason };
        let manifest = read_manifest(folder)?;
        check(folder, &manifest, versions)?;
        let read =
            |name: &str| fs::read(folder.join(name)).map_err(|error| damaged(format!("{name}: {error}")));
        let (lines, numbers) = (read(EXCERPTS)?, read(VECTORS)?);
        if digest(&lines, &numbers) != manifest.digest {
            return Err(damaged("its files are not those that were built".to_owned()));
        }
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let excerpts: Result<Vec<Excerpt>, _> = lines.map(serde_json::from_slice).collect();
        let excerpts = excerpts.map_err(|error| damaged(error.to_string()))?;
        let vectors: Vec<Vec<f32>> =
            numbers.chunks_exact(DIMENSIONS * NUMBER_BYTES).map(numbers_of).collect();
        if manifest.model.is_some() && vectors.len() != excerpts.len() {
            return Err(damaged(format!("{} vectors of {} excerpts", vectors.len(), excerpts.len())));
        }
        Ok(Self { searcher: Searcher::new(excerpts, vectors)?, manifest })
    }

    /// Tells whether the folder still holds this index, and not one that was built since.
    pub fn is_current(&self, folder: &Path) -> bool {
        read_manifest(folder).is_ok_and(|manifest| manifest == self.manifest)
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { folder: folder.to_owned() },
        _ => Error::Read { path, source },
    })?;
    let damaged = |error: serde_json::Error| Error::Damaged {
        folder: folder.to_owned(),
        reason: format!("{MANIFEST}: {error}"),
    };
    serde_json::from_str(&text).map_err(damaged)
}

fn check(folder: &Path, manifest: &Manifest, versions: Versions<'_>) -> Result<(), Error> {
    let format = (manifest.format.to_string(), FORMAT.to_string());
    let mut pairs = vec![
        ("format", format.0.as_str(), format.1.as_str()),
        ("reel", manifest.reel_version.as_str(), versions.reel),
    ];
    pairs.extend(versions.manim.map(|manim| ("Manim", manifest.manim_version.as_str(), manim)));
    pairs.extend(manifest.model.as_deref().map(|model| ("the embeddings of", model, MODEL)));
    match pairs.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((what, found, expected)) => Err(Error::Outdated {
            folder: folder.to_owned(),
            what,
            found: found.to_owned(),
            expected: expected.to_owned(),
        }),
    }
}

fn numbers_of(bytes: &[u8]) -> Vec<f32> {
    let numbers = bytes.chunks_exact(NUMBER_BYTES);
    numbers.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parts, Query, Source};

    const VERSIONS: Versions<'static> = Versions { reel: "0.1.0", manim: Some("0.22.0") };

    fn excerpt() -> Excerpt {
        Excerpt {
            source: Source::Manim,
            id: "manim.Circle".to_owned(),
            title: "class Circle".to_owned(),
            text: "A circle.".to_owned(),
        }
    }

    fn refusal(folder: &Path, versions: Versions<'_>) -> String {
        Index::open(folder, versions).err().expect("it is refused").to_string()
    }

    #[test]
    fn an_index_is_used_for_what_it_was_built_for_and_nothing_else() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("index");
        let missing = refusal(&folder, VERSIONS);
        assert!(missing.contains("run `reel rag build`"), "{missing}");
        build(&folder, &[excerpt()], ("0.1.0", "0.22.0"), None).expect("it can be written");
        let index = Index::open(&folder, VERSIONS).expect("it fits");
        let query = Query { text: "circles", vector: None, parts: Parts::Both, source: None };
        assert_eq!(index.searcher.search(&query).expect("found").len(), 1);
        assert!(
            Index::open(&folder, Versions { manim: None, ..VERSIONS }).is_ok(),
            "no Manim is no other Manim"
        );
        let other = refusal(&folder, Versions { manim: Some("0.23.0"), ..VERSIONS });
        assert!(
            other.contains("built for Manim 0.22.0, and this is 0.23.0; run `reel rag build` again"),
            "{other}"
        );
        assert!(refusal(&folder, Versions { reel: "0.2.0", ..VERSIONS }).contains("built for reel 0.1.0"));

        assert!(index.is_current(&folder));
        build(&folder, &[], ("0.1.0", "0.22.0"), None).expect("it can be written again");
        assert!(!index.is_current(&folder));
        let beside: Vec<_> = fs::read_dir(root.path()).expect("entries").collect();
        assert_eq!(beside.len(), 1, "nothing is left beside it: {beside:?}");
    }

    #[test]
    fn a_file_that_was_cut_short_or_changed_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("index");
        let files = [MANIFEST, EXCERPTS, VECTORS].map(|name| folder.join(name));
        for (damage, file) in files.iter().enumerate() {
            build(&folder, &[excerpt()], ("0.1.0", "0.22.0"), None).expect("it can be written");
            let bytes = fs::read(file).expect("a file");
            // The vectors have no bytes here: they get some.
            let damaged = if bytes.is_empty() { b"1234" } else { &bytes[..bytes.len() / 2] };
            fs::write(file, damaged).expect("it can be written");
            let reason = refusal(&folder, VERSIONS);
            assert!(reason.contains("is damaged") && reason.contains("build` again"), "{damage}: {reason}");
        }
        build(&folder, &[excerpt()], ("0.1.0", "0.22.0"), None).expect("it can be written");
        fs::remove_file(&files[1]).expect("it can be removed");
        assert!(refusal(&folder, VERSIONS).contains("excerpts.jsonl"));
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(&files[0]).expect("a file")).expect("JSON");
        manifest["model"] = "another".into();
        fs::write(&files[0], manifest.to_string()).expect("it can be written");
        assert!(refusal(&folder, VERSIONS).contains("embeddings of another"));
    }

    #[test]
    fn a_folder_with_other_files_is_not_replaced() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("thesis.tex"), "years").expect("a file");
        let refused = build(root.path(), &[excerpt()], ("0.1.0", "0.22.0"), None).expect_err("refused");
        assert!(refused.to_string().contains("thesis.tex"), "{refused}");
        assert!(root.path().join("thesis.tex").exists());
    }
}
