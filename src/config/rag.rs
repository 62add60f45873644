//! Settings of retrieval.

use std::path::PathBuf;

use super::{Environment, Error, flag};

/// The folder to which scripts/setup-rag installs the embeddings.
const RAG_ROOT: &str = ".reel/rag";
const RAG_INDEX: &str = ".reel/rag-index";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RagConfig {
    /// `USE_RAG`: `true` plans requests with retrieval that do not give `use_rag`; `false` by default (001-6.2).
    pub is_default: bool,
    /// `RAG_INDEX`: the folder of the index that `reel rag build` makes, `.reel/rag-index` by default.
    pub index: PathBuf,
    /// `RAG_ROOT`: a virtual environment with the embeddings, `.reel/rag` by default. Without one, words alone count.
    pub root: PathBuf,
}

impl Default for RagConfig {
    fn default() -> Self {
        Self { is_default: false, index: RAG_INDEX.into(), root: RAG_ROOT.into() }
    }
}

impl RagConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let default = Self::default();
        Ok(Self {
            is_default: flag(env, "USE_RAG")?,
            index: env("RAG_INDEX").map_or(default.index, PathBuf::from),
            root: env("RAG_ROOT").map_or(default.root, PathBuf::from),
        })
    }

    /// Returns the folder of the embeddings, if they are installed.
    pub fn installed_root(&self) -> Option<&PathBuf> {
        self.root.join("bin/python").exists().then_some(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 001-6.2, 001-6.7
    #[test]
    fn retrieval_is_off_unless_it_is_asked_for() {
        assert_eq!(RagConfig::from_environment(&|_| None).unwrap(), RagConfig::default());
        let env = |name: &str| match name {
            "USE_RAG" => Some("true".to_owned()),
            "RAG_INDEX" => Some("/data/index".to_owned()),
            _ => None,
        };
        let config = RagConfig::from_environment(&env).unwrap();
        assert_eq!((config.is_default, config.index), (true, PathBuf::from("/data/index")));
        let error = RagConfig::from_environment(&|_| Some("perhaps".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "USE_RAG is `perhaps`, but must be true or false");
    }
}
