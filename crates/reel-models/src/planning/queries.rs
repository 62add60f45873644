//! Queries for a search before a plan: in the user's files, and in scenes of other videos.

use std::time::Instant;

use serde::Deserialize;

use super::{Host, Material, Models, PlanError, Planner, Question, document, object};
use crate::client::{Client, Role};
use crate::prompts;

pub const MAX_QUERIES: usize = 5;
pub const MAX_QUERY_CHARACTERS: usize = 200;
const MAX_OUTPUT_TOKENS: u64 = 1000;
/// Characters of the script, and of the context, that the queries are made from.
const MAX_TEXT_CHARACTERS: usize = 6000;

#[derive(Deserialize)]
struct Answer {
    queries: Vec<String>,
}

/// Asks the helper model for queries, once. They are words to search for, whatever they say.
pub async fn write_queries(
    client: &Client,
    models: &Models,
    material: &Material<'_>,
    deadline: Instant,
    host: &impl Host,
) -> Result<Vec<String>, PlanError> {
    let beginning = |text: &str| text.chars().take(MAX_TEXT_CHARACTERS).collect::<String>();
    let (script, context) = (material.script.map(beginning), material.context.map(beginning));
    let material = Material { script: script.as_deref(), context: context.as_deref(), ..*material };
    let mut document = document(&material);
    document["task"] = "queries".into();
    let planner = Planner { client, models, material: &material, deadline, host };
    let question = Question {
        planner: &planner,
        instructions: prompts::QUERIES,
        max_output_tokens: MAX_OUTPUT_TOKENS,
        part: "list of queries".to_owned(),
        document,
        picture: None,
    };
    let answer = question.ask(&models.helper, Role::Helper).await?;
    let invalid = |fault: &str| PlanError::Invalid {
        model: models.helper.clone(),
        part: "list of queries".to_owned(),
        tries: 1,
        faults: vec![fault.to_owned()],
    };
    let json = object(&answer).map_err(|_| invalid("the answer is no JSON object"))?;
    let answer: Answer = serde_json::from_str(json).map_err(|_| invalid("the answer has no queries"))?;
    let bounded = |query: String| query.trim().chars().take(MAX_QUERY_CHARACTERS).collect::<String>();
    let queries = answer.queries.into_iter().map(bounded).filter(|query| !query.is_empty());
    let queries: Vec<String> = queries.take(MAX_QUERIES).collect();
    if queries.is_empty() { Err(invalid("the answer has no queries")) } else { Ok(queries) }
}
