//! A look at a scene's page by a model that sees pictures.

use reel_scene::Scene;
use serde::Deserialize;
use serde_json::Value;

use super::object;
use super::outline::Outline;
use super::scene;

/// A page as a viewer sees it, and what was measured on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    pub png: Vec<u8>,
    pub findings: Vec<String>,
}

/// How a look at a scene ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The model asks for no change.
    Kept,
    /// The scene is as the model asks for.
    Changed,
    /// The model asks for a scene that does not pass the rules, or its answer cannot be read: the scene stays as it was.
    Unusable,
}

#[derive(Deserialize)]
struct Answer {
    verdict: String,
    #[serde(default)]
    scene: Option<Value>,
}

/// Reads an answer: the changed scene, or `None` where the scene stays. A change keeps what is spoken.
pub(super) fn read(answer: &str, before: &Scene, outline: &Outline) -> Result<Option<Scene>, Vec<String>> {
    let answer: Answer =
        serde_json::from_str(object(answer)?).map_err(|error| vec![format!("the verdict: {error}")])?;
    match (answer.verdict.as_str(), answer.scene) {
        ("keep", _) => Ok(None),
        ("change", Some(changed)) => {
            let changed = scene::read(&changed.to_string(), outline)?;
            if spoken(&changed).ne(spoken(before)) {
                return Err(vec!["the narration is another".to_owned()]);
            }
            Ok((changed != *before).then_some(changed))
        }
        ("change", None) => Err(vec!["the changed scene is missing".to_owned()]),
        _ => Err(vec!["the verdict is neither `keep` nor `change`".to_owned()]),
    }
}

fn spoken(scene: &Scene) -> impl Iterator<Item = &str> {
    scene.steps.iter().map(|step| step.narration.trim())
}
