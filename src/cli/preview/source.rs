//! Reads the previewed file, a script or a description, and tells each problem with its place in the file.

use std::io::Read;
use std::path::Path;

use reel_scene::check::Fault;
use reel_scene::description::{self, Description};
use reel_scene::{Block, Scene};
use serde::Serialize;

use super::json_place;
use crate::api::generate_request::{MAX_SCENES_BYTES, SCRIPT_CHARACTERS};
use crate::cli::render;
use crate::telemetry::chain;

const MAX_SCRIPT_CHARACTERS: usize = SCRIPT_CHARACTERS.1;
/// Bytes of the longest script that may be within [`MAX_SCRIPT_CHARACTERS`].
const MAX_SCRIPT_BYTES: usize = 4 * MAX_SCRIPT_CHARACTERS;

/// Something that the author has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub message: String,
    #[serde(flatten)]
    pub place: Place,
}

/// Where something is in the file, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Names and indices in a description, such as `scenes.2.blocks.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Place {
    fn of_byte(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        Self { path: None, line: Some(line), column: Some(before[line_start..].chars().count() + 1) }
    }

    fn of_path(text: &str, path: &[String], word: Option<&str>) -> Self {
        let offset = json_place::locate(text, path, word);
        let place = offset.map(|offset| Self::of_byte(text, offset)).unwrap_or_default();
        Self { path: Some(path.join(".")).filter(|path| !path.is_empty()), ..place }
    }
}

/// A file that was read, and what it describes.
#[derive(Debug)]
pub struct Draft {
    pub description: Description,
    text: String,
    is_json: bool,
}

/// Reads the file. A script is planned.
pub fn read(file: &Path) -> Result<Draft, Vec<Problem>> {
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let text = read_text(file, is_json).map_err(|problem| vec![problem])?;
    let description = match is_json {
        true => read_description(&text)?,
        false => {
            render::plan_script(file, &text, None).map_err(|error| vec![unplaced(chain(error.as_ref()))])?
        }
    };
    Ok(Draft { description, text, is_json })
}

impl Draft {
    pub fn place_of_scene(&self, index: usize, scene: &Scene) -> Place {
        if self.is_json {
            return Place::of_path(&self.text, &["scenes".to_owned(), index.to_string()], None);
        }
        let lines = || scene.steps.iter().map(|step| step.narration.as_str());
        self.find_line(std::iter::once(scene.title.as_str()).chain(lines()))
    }

    /// Finds a formula of a scene.
    pub fn place_of_formula(&self, index: usize, scene: &Scene, block: usize) -> Place {
        if self.is_json {
            let path = ["scenes", &index.to_string(), "blocks", &block.to_string()].map(str::to_owned);
            return Place::of_path(&self.text, &path, None);
        }
        match scene.blocks.get(block) {
            Some(Block::Formula { latex }) => self.find_line([latex.trim()]),
            Some(Block::Derivation { formulas }) => self.find_line(formulas.iter().map(|latex| latex.trim())),
            _ => self.place_of_scene(index, scene),
        }
    }

    /// Finds a picture by the name of its file.
    pub fn place_of_picture(&self, file: &str) -> Place {
        let name = serde_json::to_string(file).unwrap_or_default();
        self.text.find(&name).map(|offset| Place::of_byte(&self.text, offset)).unwrap_or_default()
    }

    /// Finds the first line that has one of the texts, or its beginning: the text of a scene may go over several lines.
    fn find_line<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Place {
        const BEGINNING_WORDS: usize = 4;
        for text in texts {
            let words: Vec<&str> = text.split_whitespace().take(BEGINNING_WORDS).collect();
            let beginning = words.join(" ");
            let found = self.text.lines().position(|line| {
                let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
                !beginning.is_empty() && line.contains(&beginning)
            });
            if let Some(index) = found {
                return Place { line: Some(index + 1), ..Place::default() };
            }
        }
        Place::default()
    }
}

fn unplaced(message: impl Into<String>) -> Problem {
    Problem { message: message.into(), place: Place::default() }
}

fn read_text(file: &Path, is_json: bool) -> Result<String, Problem> {
    let name = file.display();
    let metadata = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unplaced(format!(
            "{name} is not there: it was deleted or renamed. The preview goes on when it is back."
        )),
        _ => unplaced(format!("{name} cannot be read: {error}")),
    })?;
    if !metadata.is_file() {
        return Err(unplaced(format!("{name} is no file, expected a script or a scene description")));
    }
    let max_bytes = if is_json { MAX_SCENES_BYTES } else { MAX_SCRIPT_BYTES };
    let mut bytes = vec![];
    let opened = std::fs::File::open(file);
    opened
        .and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unplaced(format!("{name} cannot be read: {error}")))?;
    let too_long = |found: String| match is_json {
        true => format!("{name} has {found}, but a description may have at most {max_bytes} bytes"),
        false => {
            format!("{name} has {found}, but a script may have at most {MAX_SCRIPT_CHARACTERS} characters")
        }
    };
    if bytes.len() > max_bytes {
        return Err(unplaced(too_long(format!("{} bytes", metadata.len()))));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(at).copied().unwrap_or_default();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..at]);
        let message = format!("{name} is not UTF-8 text: byte 0x{byte:02x}. Save it as UTF-8.");
        Problem { message, place: Place::of_byte(&valid, valid.len()) }
    })?;
    let characters = text.chars().count();
    if !is_json && characters > MAX_SCRIPT_CHARACTERS {
        return Err(unplaced(too_long(format!("{characters} characters"))));
    }
    if text.trim().is_empty() {
        return Err(unplaced(format!("{name} is empty: it has nothing to show or say yet")));
    }
    Ok(text)
}

fn read_description(text: &str) -> Result<Description, Vec<Problem>> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let message = format!("this is no JSON: {}", without_position(&error.to_string()));
        let place = Place { path: None, line: Some(error.line()), column: Some(error.column().max(1)) };
        return Err(vec![Problem { message, place }]);
    }
    description::read(text).map_err(|faults| faults.iter().map(|fault| place_fault(text, fault)).collect())
}

fn place_fault(text: &str, fault: &Fault) -> Problem {
    let message = without_position(&fault.message).to_owned();
    // The word that is wrong itself, where the message has one, such as "unknown variant `banner`".
    let word = message.strip_prefix("unknown ").and_then(|rest| rest.split('`').nth(1));
    let place = Place::of_path(text, &fault.path, word);
    Problem { place, message }
}

/// Removes the position that serde_json appends: it is the end of what was read, and not the place of the fault.
fn without_position(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, content: &[u8]) -> Vec<(String, Option<usize>, Option<usize>)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let found = read(&file).err().unwrap_or_default();
        found.into_iter().map(|problem| (problem.message, problem.place.line, problem.place.column)).collect()
    }

    #[track_caller]
    fn the_only(name: &str, content: &[u8]) -> (String, Option<usize>, Option<usize>) {
        let mut found = problems(name, content);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn faults_of_a_description_have_lines_and_columns() {
        let good = "{\n  \"version\": 1, \"title\": \"T\",\n  \"scenes\": [\n    { \"title\": \"One\",\n      \"blocks\": [{ \"kind\": \"bullet\", \"text\": \"b\" }],\n      \"steps\": [{ \"narration\": \"Say.\", \"reveals\": [{ \"block\": 0 }] }] }\n  ]\n}\n";
        assert_eq!(problems("a.json", good.as_bytes()), []);
        let with = |from: &str, to: &str| the_only("a.json", good.replacen(from, to, 1).as_bytes());
        let (message, line, column) = with("\"bullet\"", "\"banner\"");
        assert!(message.starts_with("unknown variant `banner`, expected one of"), "{message}");
        assert_eq!((line, column), (Some(5), Some(28)));
        let (message, line, _) = with("\"block\": 0", "\"block\": 7");
        assert!(message.starts_with("reveals block 7"), "{message}");
        assert_eq!(line, Some(6));
        let (message, line, column) = with("\"title\": \"One\",", "\"title\": \"One\"");
        assert!(message.starts_with("this is no JSON: expected `,` or `}`"), "{message}");
        assert_eq!((line, column), (Some(5), Some(7)));
    }

    #[test]
    fn files_that_are_no_script_are_told_plainly() {
        assert!(the_only("a.md", b" \n").0.ends_with("is empty: it has nothing to show or say yet"));
        assert!(
            the_only("a.md", "—".as_bytes()).0.contains("neither script nor context has anything to say")
        );
        let (message, line, column) = the_only("a.md", b"# T\n\nGr\xfc\xdfe");
        assert!(message.contains("is not UTF-8 text: byte 0xfc"), "{message}");
        assert_eq!((line, column), (Some(3), Some(3)));
        let long = "word ".repeat(40_001);
        let (message, ..) = the_only("a.md", long.as_bytes());
        assert!(message.contains("has 200005 characters, but a script may have at most 200000"), "{message}");
        let (message, ..) = the_only("a.md", "word ".repeat(400_000).as_bytes());
        assert!(message.contains("has 2000000 bytes"), "{message}");
        let gone = read(Path::new("/nowhere/a.md")).unwrap_err().remove(0).message;
        assert!(gone.contains("is not there"), "{gone}");
    }

    #[test]
    fn scenes_and_formulas_of_a_script_have_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        std::fs::write(&file, "# Ions\n\nIons move.\n\n## The law\n\nIt holds:\n\n$$ E = \\nonsense{m} $$\n\nThat is all of it. It ends.\n").unwrap();
        let draft = read(&file).unwrap();
        let scenes = &draft.description.scenes;
        let is_formula = |block: &Block| matches!(block, Block::Formula { .. });
        let (index, scene) =
            scenes.iter().enumerate().find(|(_, scene)| scene.blocks.iter().any(is_formula)).unwrap();
        assert_eq!(draft.place_of_scene(index, scene).line, Some(5));
        let block = scene.blocks.iter().position(is_formula).unwrap();
        assert_eq!(draft.place_of_formula(index, scene, block).line, Some(9));
    }
}
