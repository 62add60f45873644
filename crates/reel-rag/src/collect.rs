//! Collects the excerpts of the shared index: the documentation of the installed Manim, and the project's examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::excerpt::excerpts_of;
use crate::{Excerpt, Source};

const MANIM_DOCS: &str = include_str!("manim_docs.py");
/// Scenes with every kind of block.
const GALLERY: &str = include_str!("../../../examples/gallery.json");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot run {program}; run ./scripts/setup-manim, or set MANIM_ROOT to its folder", program = .program.display())]
    Python { program: PathBuf, source: std::io::Error },
    #[error("cannot read the documentation of the Manim in {root}: {reason}; run ./scripts/setup-manim again", root = .root.display())]
    Docs { root: PathBuf, reason: String },
    #[error("the examples are no scene description: {0}")]
    Examples(String),
}

/// The documentation of one version of Manim.
pub struct ManimDocs {
    pub version: String,
    pub excerpts: Vec<Excerpt>,
}

#[derive(Deserialize)]
struct Head {
    version: String,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    signature: String,
    text: String,
}

/// Returns the version of the Manim that is installed in `root`, by the name of its metadata; `None` without one.
pub fn manim_version(root: &Path) -> Option<String> {
    let children = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let pythons = children(root.join("lib"));
    let mut packages = pythons.flat_map(|python| children(python.path().join("site-packages")));
    packages.find_map(|package| {
        let name = package.file_name().into_string().ok()?;
        Some(name.strip_prefix("manim-")?.strip_suffix(".dist-info")?.to_owned())
    })
}

/// Reads the docstrings of the Manim that is installed in `root`. Its sources are parsed, and none of them is run. Blocks.
pub fn read_manim(root: &Path) -> Result<ManimDocs, Error> {
    let unreadable = |reason: String| Error::Docs { root: root.to_owned(), reason };
    let program = root.join("bin/python");
    let output = Command::new(&program)
        .args(["-I", "-c", MANIM_DOCS])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Python { program, source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(unreadable(said.lines().last().unwrap_or("Python said nothing").to_owned()));
    }
    let output = String::from_utf8(output.stdout).map_err(|error| unreadable(error.to_string()))?;
    let mut lines = output.lines();
    let head = lines.next().unwrap_or_default();
    let head: Head = serde_json::from_str(head).map_err(|error| unreadable(error.to_string()))?;
    let mut excerpts = vec![];
    for line in lines {
        let entry: Entry = serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
        excerpts.extend(excerpts_of(Source::Manim, &entry.name, &entry.signature, &entry.text));
    }
    if excerpts.is_empty() {
        return Err(unreadable("its sources have no docstrings".to_owned()));
    }
    Ok(ManimDocs { version: head.version, excerpts })
}

/// Returns the project's examples, scene by scene.
pub fn examples() -> Result<Vec<Excerpt>, Error> {
    let description = reel_scene::description::read(GALLERY)
        .map_err(|faults| Error::Examples(faults.first().map(ToString::to_string).unwrap_or_default()))?;
    let id = |scene: &reel_scene::Scene| format!("gallery.{}", slug(&scene.title));
    // An opening or closing card shows nothing.
    let scenes = description.scenes.iter().filter(|scene| !scene.blocks.is_empty());
    Ok(scenes.map(|scene| excerpt_of_scene(Source::Example, &id(scene), scene)).collect())
}

fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Makes an excerpt of a scene: its heading and the kinds of its blocks as the title, the whole scene as JSON as the text.
pub fn excerpt_of_scene(source: Source, id: &str, scene: &reel_scene::Scene) -> Excerpt {
    let json = serde_json::to_value(scene).unwrap_or_default();
    let kinds = json["blocks"].as_array().into_iter().flatten().flat_map(kinds_of).collect::<Vec<_>>();
    let title = format!("{} ({})", scene.title, kinds.join(" "));
    Excerpt { source, id: id.to_owned(), title, text: json.to_string() }
}

fn kinds_of(block: &Value) -> impl Iterator<Item = &str> {
    ["kind", "arrangement", "chart"].into_iter().filter_map(move |key| block[key].as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_examples_of_the_project_are_excerpts() {
        let excerpts = examples().expect("they can be read");
        assert!(excerpts.len() > 40, "{}", excerpts.len());
        let bars =
            excerpts.iter().find(|excerpt| excerpt.title.contains("(bars)")).expect("the gallery has bars");
        assert_eq!(bars.source, Source::Example);
        let scene: Value = serde_json::from_str(&bars.text).expect("JSON");
        assert_eq!(scene["blocks"][0]["kind"], "bars");
        let ids: BTreeSet<&str> = excerpts.iter().map(|excerpt| excerpt.id.as_str()).collect();
        assert_eq!(ids.len(), excerpts.len(), "each has an id of its own");
    }

    #[test]
    fn a_folder_without_manim_has_no_version_and_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(manim_version(folder.path()), None);
        let error = read_manim(folder.path()).err().expect("there is no Python").to_string();
        assert!(error.contains("setup-manim"), "{error}");
        let metadata = folder.path().join("lib/python3.11/site-packages/manim-0.22.0.dist-info");
        fs::create_dir_all(metadata).expect("folders");
        assert_eq!(manim_version(folder.path()).as_deref(), Some("0.22.0"));
    }
}
