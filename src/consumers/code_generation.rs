//! `code_generation`: writes the Typst source of one scene.

use std::path::PathBuf;

use async_trait::async_trait;

use super::animations;
use super::error::StageError;
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::job::Warning;
use crate::telemetry::chain;
use reel_studio::layout;
use reel_studio::layout::images::Images;

pub struct CodeGeneration {
    /// The folder of logos.
    pub logos: Option<PathBuf>,
}

#[async_trait]
impl StageHandler for CodeGeneration {
    fn stage(&self) -> Stage {
        Stage::CodeGeneration
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let mut look = task.request()?.look();
        let logos = self.logos.clone();
        let description = task.scene()?.1.description.clone();
        blocking(move || {
            let no_logo = Images::read_logo(look.logo.as_deref(), logos.as_deref()).err().map(|error| {
                tracing::warn!(error = chain(&error), "a logo cannot be used");
                look.logo = None;
                let message = "there is no such logo here, so this scene has none".to_owned();
                Warning { code: ErrorCode::NoLogo.to_string(), message }
            });
            if let Some((animation, _)) = description.manim() {
                let code = reel_manim::code_of(animation, &look);
                let language = animations::LANGUAGE.to_owned();
                return Ok(Outcome::CodeGenerated {
                    language,
                    code,
                    warnings: no_logo.into_iter().collect(),
                });
            }
            // This compiles each formula, which takes time.
            let code = layout::source(&description, &look);
            let warnings = layout::unreadable_formulas(&description).into_iter().map(|block| Warning {
                code: ErrorCode::FormulaAsSource.to_string(),
                message: format!(
                    "block {} holds a formula that cannot be read, so its LaTeX is shown as it is written",
                    block + 1
                ),
            });
            let diagrams = layout::unreadable_diagrams(&description, &look).into_iter().map(|block| Warning {
                code: ErrorCode::DiagramAsSource.to_string(),
                message: format!(
                    "block {} holds a diagram that cannot be read or is too large, so its source is shown",
                    block + 1
                ),
            });
            let warnings = no_logo.into_iter().chain(warnings).chain(diagrams).collect();
            Ok(Outcome::CodeGenerated { language: "typst".to_owned(), code, warnings })
        })
        .await
    }
}
