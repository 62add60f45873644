//! Corrections of an animation's code.

use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::{Models, PlanError, object};
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

/// Asks the helper model to correct code that failed with an error at a line, counted from 1. Returns the whole code. It is run in the
/// same sandbox as before, so nothing is said of its harmlessness.
pub async fn correct_animation(
    client: &Client,
    models: &Models,
    (code, error, line): (&str, &str, Option<u32>),
    deadline: Instant,
    ledger: &impl Ledger,
) -> Result<String, PlanError> {
    let invalid = |fault: &str| PlanError::Invalid {
        model: models.helper.clone(),
        part: "correction".to_owned(),
        tries: 1,
        faults: vec![fault.to_owned()],
    };
    if code.chars().count() > MAX_CODE_CHARACTERS {
        return Err(invalid("the code is too long"));
    }
    let error: String = error.chars().take(MAX_ERROR_CHARACTERS).collect();
    let text = line.and_then(|line| code.lines().nth(line.saturating_sub(1) as usize));
    let material = json!({ "task": "animation", "code": code, "error": error, "line": text }).to_string();
    let prompt = Prompt {
        instructions: prompts::ANIMATION,
        material: &material,
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
