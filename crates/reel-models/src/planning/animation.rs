//! Corrections of an animation's code.

use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::{Models, PlanError, Reference, object};
use crate::client::{Client, Ledger, Role};
use crate::prompts;
use crate::protocol::Prompt;

const MAX_OUTPUT_TOKENS: u64 = 8000;
/// Characters of code that go to the model and come back, as many as a scene description may have.
const MAX_CODE_CHARACTERS: usize = 20_000;
const MAX_ERROR_CHARACTERS: usize = 1000;

#[derive(Deserialize)]
struct Answer {
    code: String,
}

/// Code that failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedCode<'a> {
    pub code: &'a str,
    pub error: &'a str,
    /// The line of the error, counted from 1.
    pub line: Option<u32>,
    /// Excerpts of Manim's documentation that may help.
    pub documentation: &'a [Reference],
}

impl FailedCode<'_> {
    /// Returns the text of the line that failed.
    pub fn line_text(&self) -> Option<&str> {
        self.line.and_then(|line| self.code.lines().nth(line.saturating_sub(1) as usize))
    }
}

/// Asks the helper model to correct code. Returns the whole code. It is run in the same sandbox as before, so nothing is said of its
/// harmlessness.
pub async fn correct_animation(
    client: &Client,
    models: &Models,
    failed: &FailedCode<'_>,
    deadline: Instant,
    ledger: &impl Ledger,
) -> Result<String, PlanError> {
    let invalid = |fault: &str| PlanError::Invalid {
        model: models.helper.clone(),
        part: "correction".to_owned(),
        tries: 1,
        faults: vec![fault.to_owned()],
    };
    let FailedCode { code, error, documentation, .. } = failed;
    if code.chars().count() > MAX_CODE_CHARACTERS {
        return Err(invalid("the code is too long"));
    }
    let error: String = error.chars().take(MAX_ERROR_CHARACTERS).collect();
    let mut material =
        json!({ "task": "animation", "code": code, "error": error, "line": failed.line_text() });
    if !documentation.is_empty() {
        material["documentation"] = json!(documentation);
    }
    let material = material.to_string();
    let prompt = Prompt {
        instructions: prompts::ANIMATION,
        material: &material,
        picture: None,
        max_output_tokens: MAX_OUTPUT_TOKENS,
    };
    let answer = client.call(&models.helper, Role::Helper, prompt, deadline, ledger).await?;
    let json = object(&answer).map_err(|_| invalid("the answer is no JSON object"))?;
    let answer: Answer = serde_json::from_str(json).map_err(|_| invalid("the answer has no code"))?;
    let characters = answer.code.chars().count();
    match characters {
        1..=MAX_CODE_CHARACTERS => Ok(answer.code),
        _ => Err(invalid("the code is empty or too long")),
    }
}
