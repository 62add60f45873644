//! Reads descriptions: whole videos as JSON documents, as `reel render` takes them and `reel schema` describes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{self, Fault};
use crate::look::Look;
use crate::{Block, Scene};

/// The version of the format that this release reads and writes.
pub const VERSION: u32 = 1;

/// What a video shows and says, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// 1.
    pub version: u32,
    pub title: String,
    #[serde(default)]
    pub look: Look,
    pub scenes: Vec<Scene>,
}

/// Reads a description, or returns its faults; a text that cannot be parsed has a single fault. Blocks that no step reveals
/// appear with the scene's first step.
pub fn read(json: &str) -> Result<Description, Vec<Fault>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let mut description: Description =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| vec![parse_fault(&error)])?;
    let mut faults = check::faults(&description.scenes);
    if description.version != VERSION {
        let message = format!("is {}, but this version of reel reads {VERSION}", description.version);
        faults.insert(0, Fault { path: vec!["version".to_owned()], message });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    description.scenes.iter_mut().for_each(Scene::reveal_all);
    Ok(description)
}

/// Reads scenes in the API's form, each the JSON of one scene, or returns the faults of all scenes. Their paths begin with
/// `scenes`. `check_picture` says what is wrong with the name of a picture, for which there is no file beside the scenes.
pub fn read_scenes(
    scenes: &[&str],
    check_picture: &dyn Fn(&str) -> Result<(), String>,
) -> Result<Vec<Scene>, Vec<Fault>> {
    if !check::SCENES.contains(&scenes.len()) {
        let (least, most) = check::SCENES.into_inner();
        let message = format!("has {} scenes, but must have {least} to {most}", scenes.len());
        return Err(vec![Fault { path: vec!["scenes".to_owned()], message }]);
    }
    let mut read = vec![];
    let mut faults = vec![];
    for (index, json) in scenes.iter().enumerate() {
        match read_scene(index, json, check_picture) {
            Ok(scene) => read.push(scene),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    read.iter_mut().for_each(Scene::reveal_all);
    Ok(read)
}

fn read_scene(
    index: usize,
    json: &str,
    check_picture: &dyn Fn(&str) -> Result<(), String>,
) -> Result<Scene, Vec<Fault>> {
    let path = || ["scenes".to_owned(), index.to_string()];
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let scene: Scene = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let fault = parse_fault(&error);
        // A line and a column within one scene would mislead the author of many.
        let message = fault.message.split(" at line ").next().unwrap_or_default().to_owned();
        vec![Fault { path: path().into_iter().chain(fault.path).collect(), message }]
    })?;
    let mut faults = check::scene_faults(index, &scene);
    let wrong = scene.blocks.iter().enumerate().filter_map(|(block, of)| match of {
        Block::Image { file, .. } => Some((block, check_picture(file).err()?)),
        _ => None,
    });
    for (block, message) in wrong.take(check::MAX_FAULTS) {
        let path = path().into_iter().chain(["blocks".to_owned(), block.to_string(), "upload_id".to_owned()]);
        faults.push(Fault { path: path.collect(), message });
    }
    if faults.is_empty() { Ok(scene) } else { Err(faults) }
}

fn parse_fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    use serde_path_to_error::Segment;
    let segments = error.path().iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    Fault { path: segments.collect(), message: error.inner().to_string() }
}

/// Returns the JSON Schema (draft 2020-12) of one scene, and the definitions that it refers to at `definitions_path`.
pub fn scene_schema(
    definitions_path: &str,
) -> (serde_json::Value, serde_json::Map<String, serde_json::Value>) {
    let settings = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = definitions_path.to_owned().into());
    let mut generator = settings.into_generator();
    let scene = generator.subschema_for::<Scene>().to_value();
    (scene, generator.take_definitions(true))
}

/// Returns the JSON Schema (draft 2020-12) of [`Description`].
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Description).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn messages(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut value = json!({ "version": 1, "title": "T", "scenes": [
            { "title": "One", "blocks": [{ "kind": "bullet", "text": "b" }], "steps": [{ "narration": "Say." }] }
        ]});
        change(&mut value);
        match read(&value.to_string()) {
            Ok(_) => vec![],
            Err(faults) => faults.iter().map(Fault::to_string).collect(),
        }
    }

    #[test]
    fn a_minimal_description_is_read_and_everything_appears() {
        assert_eq!(messages(|_| ()), Vec::<String>::new());
        let json = json!({ "version": 1, "title": "T", "scenes": [
            { "title": "One", "blocks": [{ "kind": "bullet", "text": "b" }], "steps": [{ "narration": "Say." }] }
        ]});
        let description = read(&json.to_string()).unwrap();
        assert_eq!(description.scenes[0].steps[0].reveals.len(), 1);
        let again = serde_json::to_string(&description).unwrap();
        assert_eq!(read(&again).unwrap(), description, "what is written reads back");
    }

    #[test]
    fn faults_of_form_name_their_place_and_what_is_allowed() {
        let one = |change: fn(&mut Value)| messages(change).join("\n");
        let unknown = one(|value| value["scenes"][0]["blocks"][0]["kind"] = "banner".into());
        assert!(
            unknown.starts_with("scenes.0.blocks.0")
                && unknown.contains("unknown variant `banner`, expected one of `paragraph`"),
            "{unknown}"
        );
        let missing =
            one(|value| drop(value["scenes"][0]["steps"][0].as_object_mut().unwrap().remove("narration")));
        assert!(missing.starts_with("scenes.0.steps.0: missing field `narration`"), "{missing}");
        let theme = one(|value| value["look"] = json!({ "theme": "neon" }));
        assert!(theme.starts_with("look.theme: unknown variant `neon`, expected one of `paper`"), "{theme}");
        let colour = one(|value| value["look"] = json!({ "accent": "red" }));
        assert!(colour.starts_with("look.accent: `red` is no colour, expected `#`"), "{colour}");
        assert!(
            one(|value| value["version"] = 2.into())
                .starts_with("version: is 2, but this version of reel reads 1")
        );
        assert!(one(|value| value["extra"] = 2.into()).contains("unknown field `extra`, expected one of"));
    }

    #[test]
    fn the_schema_names_every_block() {
        let schema = schema().to_string();
        for kind in [
            "paragraph",
            "comparison",
            "derivation",
            "scatter",
            "flow",
            "figure",
            "image",
            "16:9",
            "midnight",
        ] {
            assert!(schema.contains(&format!("\"{kind}\"")), "{kind}");
        }
    }
}
