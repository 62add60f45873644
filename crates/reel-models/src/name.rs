//! Names of models, such as `openai/gpt-4o-mini`.

use std::fmt;
use std::str::FromStr;

/// A company or a program that serves models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// OpenAI, and every server with its `POST /chat/completions`.
    OpenAi,
    Anthropic,
    Gemini,
    /// A server on the own machine, through its `POST /v1/chat/completions`.
    Ollama,
}

impl Provider {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Ollama];

    /// Returns the part of a model's name before the slash.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    /// Returns the URL that its API has, unless another is configured.
    pub fn default_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
            Self::Gemini => "https://generativelanguage.googleapis.com",
            Self::Ollama => "http://127.0.0.1:11434/v1",
        }
    }
}

/// A model and its provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    pub provider: Provider,
    /// The provider's own name for it. Holds no character that means something in a URL.
    pub model: String,
}

const MAX_CHARACTERS: usize = 100;

/// The reason why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a provider (openai, anthropic, gemini or ollama), a slash, and the provider's name for the model, such as openai/gpt-4o-mini"
)]
pub struct NameError;

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (provider, model) = text.split_once('/').ok_or(NameError)?;
        let provider = Provider::ALL.into_iter().find(|known| known.name() == provider).ok_or(NameError)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '@');
        // Dots between slashes would change the path of a URL.
        let is_path = model.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if model.len() > MAX_CHARACTERS || !model.chars().all(is_plain) || !is_path {
            return Err(NameError);
        }
        Ok(Self { provider, model: model.to_owned() })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.name(), self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_provider_and_a_model() {
        for name in ["openai/gpt-4o-mini", "ollama/llama3.2:3b", "openai/meta-llama/Llama-3", "gemini/g-2.0"]
        {
            assert_eq!(name.parse::<ModelName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_would_change_a_url_is_no_name() {
        let long = format!("openai/{}", "a".repeat(101));
        for name in [
            "gpt-4",
            "openai/",
            "other/x",
            "gemini/../../x",
            "gemini/a//b",
            "gemini/a?b",
            "openai/a b",
            "openai/a#b",
            "openai/a%2e",
            "openai/\0",
            &long,
        ] {
            assert_eq!(name.parse::<ModelName>(), Err(NameError), "{name:?}");
        }
    }
}
