//! `code_generation`: the Typst source of one scene.

use async_trait::async_trait;

use super::error::StageError;
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::events::Stage;
use crate::events::job::Warning;
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
        blocking(move || {
            // Formulas are tried out on the way, which takes the compiler.
            let code = typeset::source(&description, &look);
            let warnings = typeset::unreadable_formulas(&description).into_iter().map(|block| Warning {
                code: "FORMULA_AS_SOURCE".to_owned(),
                message: format!(
                    "block {} holds a formula that cannot be read, so its LaTeX is shown as it is written",
                    block + 1
                ),
            });
            Ok(Outcome::CodeGenerated { language: "typst".to_owned(), code, warnings: warnings.collect() })
        })
        .await
    }
}
