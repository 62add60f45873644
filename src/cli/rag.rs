//! `reel rag`: the index that planning and corrections look things up in.

use std::time::Duration;

use clap::Subcommand;

use reel_rag::eval::{self, LIMIT};
use reel_rag::index::{self, Versions};
use reel_rag::{Embedder, Index, Parts, Query, collect};

use super::say;
use crate::config::{MediaConfig, RagConfig, process_environment};

const REEL_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Characters of an excerpt that a search shows.
const SHOWN_CHARACTERS: usize = 160;
const EMBEDDING_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Subcommand)]
pub enum Rag {
    /// Build the index in RAG_INDEX, of the documentation of the Manim in MANIM_ROOT and the project's examples
    Build,
    /// Show the excerpts that fit a question best
    Search {
        question: String,
        /// Excerpts to show
        #[arg(long, value_name = "COUNT", default_value_t = LIMIT)]
        limit: usize,
    },
    /// Ask the labelled questions, and print the recall at 5 with and without each part
    Eval {
        /// List the questions whose answer was not found
        #[arg(long)]
        missed: bool,
    },
}

pub fn rag(command: Rag) -> anyhow::Result<()> {
    let config = RagConfig::from_environment(&process_environment)?;
    let manim = MediaConfig::from_environment(&process_environment)?.manim;
    let embedder = config.installed_root().map(|root| Embedder::new(root));
    if let Rag::Build = command {
        return build(&config, &collect::read_manim(&manim)?, embedder.as_ref());
    }
    let manim = collect::manim_version(&manim);
    let index = Index::open(&config.index, Versions { reel: REEL_VERSION, manim: manim.as_deref() })?;
    let embedder = embedder.filter(|_| index.searcher.has_vectors());
    match command {
        Rag::Build => Ok(()),
        Rag::Search { question, limit } => search(&index, embedder.as_ref(), &question, limit),
        Rag::Eval { missed } => evaluate(&index, embedder.as_ref(), missed),
    }
}

fn build(config: &RagConfig, docs: &collect::ManimDocs, embedder: Option<&Embedder>) -> anyhow::Result<()> {
    let examples = collect::examples()?;
    let excerpts = [docs.excerpts.as_slice(), examples.as_slice()].concat();
    match embedder {
        Some(_) => say(format!("making the embeddings of {} excerpts, which takes minutes", excerpts.len()))?,
        None => say("no embeddings: ./scripts/setup-rag installs their model; words alone will count")?,
    }
    let manifest = index::build(&config.index, &excerpts, (REEL_VERSION, &docs.version), embedder)?;
    say(format!(
        "{}: {} excerpts of Manim {}, {} of the examples",
        config.index.display(),
        docs.excerpts.len(),
        manifest.manim_version,
        examples.len()
    ))
}

fn search(index: &Index, embedder: Option<&Embedder>, question: &str, limit: usize) -> anyhow::Result<()> {
    let texts = [question.to_owned()];
    let vectors = embedder.map(|embedder| embedder.embed(&texts, EMBEDDING_TIMEOUT)).transpose()?;
    let vector = vectors.as_ref().and_then(|vectors| vectors.first()).map(Vec::as_slice);
    let query = Query { text: question, vector, parts: Parts::Both, source: None };
    for found in index.searcher.search(&query)?.into_iter().take(limit) {
        let words = found.excerpt.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = words.chars().take(SHOWN_CHARACTERS).collect();
        say(format!("{:.4}  {}\n        {shown}", found.score, found.excerpt.id))?;
    }
    Ok(())
}

fn evaluate(index: &Index, embedder: Option<&Embedder>, lists_missed: bool) -> anyhow::Result<()> {
    let questions = eval::questions()?;
    for recall in eval::evaluate(&index.searcher, &questions, embedder)? {
        let way = match recall.parts {
            Parts::Words => "words (BM25)",
            Parts::Meaning => "meaning (embeddings)",
            Parts::Both => "both, fused",
        };
        let share = recall.found as f64 / recall.asked.max(1) as f64;
        say(format!("{way:<22} recall at {LIMIT}: {share:.2} ({} of {})", recall.found, recall.asked))?;
        for question in recall.missed.iter().filter(|_| lists_missed) {
            say(format!("    missed: {question}"))?;
        }
    }
    Ok(())
}
