//! `code_generation`: the Typst source of one scene.

use async_trait::async_trait;

use super::error::StageError;
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::events::Stage;
use crate::media::typeset;

pub struct CodeGeneration;

#[async_trait]
impl StageHandler for CodeGeneration {
    fn stage(&self) -> Stage {
        Stage::CodeGeneration
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let look = task.request()?.look();
        let description = task.scene()?.1.description.clone();
        // Formulas are tried out on the way, which takes the compiler.
        let code = blocking(move || Ok(typeset::source(&description, &look))).await?;
        Ok(Outcome::CodeGenerated { language: "typst".to_owned(), code })
    }
}
