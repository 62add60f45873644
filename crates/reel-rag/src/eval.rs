//! Measures the search: recall at 5 over a labelled set of questions, with and without each part.
//!
//! The labels are for the Manim that `scripts/setup-manim` installs. A question is asked as planning and corrections ask: among the
//! excerpts of its source.

use std::time::Duration;

use serde::Deserialize;

use crate::search::{self, Parts, Query, Searcher};
use crate::{Embedder, Source, embed};

const QUESTIONS: &str = include_str!("questions.json");
/// Excerpts among which the answer must be.
pub const LIMIT: usize = 5;
const EMBEDDING_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Deserialize)]
pub struct Question {
    pub source: Source,
    pub question: String,
    /// Ends of ids. One of them among the first excerpts is enough.
    pub answers: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the labelled questions cannot be read")]
    Questions(#[source] serde_json::Error),
    #[error(
        "no excerpt of the index answers `{0}`; the labels are for the Manim that ./scripts/setup-manim installs"
    )]
    Unanswerable(String),
    #[error(transparent)]
    Embed(#[from] embed::Error),
    #[error(transparent)]
    Search(#[from] search::Error),
}

/// The recall of one way to search.
pub struct Recall {
    pub parts: Parts,
    pub found: usize,
    pub asked: usize,
    /// Questions whose answer is not among the first five.
    pub missed: Vec<String>,
}

/// Returns the labelled questions.
pub fn questions() -> Result<Vec<Question>, Error> {
    serde_json::from_str(QUESTIONS).map_err(Error::Questions)
}

/// Asks all questions, in each way to search that the index and the embedder allow.
pub fn evaluate(
    searcher: &Searcher,
    questions: &[Question],
    embedder: Option<&Embedder>,
) -> Result<Vec<Recall>, Error> {
    for question in questions {
        if !searcher.excerpts().iter().any(|excerpt| is_answer(question, &excerpt.id)) {
            return Err(Error::Unanswerable(question.question.clone()));
        }
    }
    let texts: Vec<String> = questions.iter().map(|question| question.question.clone()).collect();
    let embedder = embedder.filter(|_| searcher.has_vectors());
    let vectors = embedder.map(|embedder| embedder.embed(&texts, EMBEDDING_TIMEOUT)).transpose()?;
    let ways: &[Parts] = match &vectors {
        None => &[Parts::Words],
        Some(_) => &[Parts::Words, Parts::Meaning, Parts::Both],
    };
    let vectors = vectors.unwrap_or_default();
    ways.iter().map(|parts| recall(searcher, questions, &vectors, *parts)).collect()
}

fn recall(
    searcher: &Searcher,
    questions: &[Question],
    vectors: &[Vec<f32>],
    parts: Parts,
) -> Result<Recall, Error> {
    let mut missed = vec![];
    for (at, question) in questions.iter().enumerate() {
        let vector = vectors.get(at).map(Vec::as_slice);
        let query = Query { text: &question.question, vector, parts, source: Some(question.source) };
        let found = searcher.search(&query)?;
        if !found.iter().take(LIMIT).any(|found| is_answer(question, &found.excerpt.id)) {
            missed.push(question.question.clone());
        }
    }
    Ok(Recall { parts, found: questions.len() - missed.len(), asked: questions.len(), missed })
}

/// Later parts of a long excerpt answer as its first does.
fn is_answer(question: &Question, id: &str) -> bool {
    let id = id.split('#').next().unwrap_or(id);
    question.answers.iter().any(|answer| id == answer || id.ends_with(&format!(".{answer}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Excerpt, collect};

    #[test]
    fn there_are_sixty_different_questions_with_answers() {
        let questions = questions().expect("they can be read");
        assert_eq!(questions.len(), 60);
        let mut texts: Vec<&str> = questions.iter().map(|question| question.question.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 60);
        assert!(questions.iter().all(|question| !question.answers.is_empty()));
        assert!(is_answer(&questions[0], &format!("manim.x.{}#2", questions[0].answers[0])));
        assert!(!is_answer(&questions[0], &format!("manim.x.Not{}", questions[0].answers[0])));
    }

    #[test]
    fn words_alone_find_most_examples_and_an_unknown_answer_is_an_error() {
        let searcher = Searcher::new(collect::examples().expect("examples"), vec![]).expect("an index");
        let mut questions = questions().expect("they can be read");
        questions.retain(|question| question.source == Source::Example);
        let recalls = evaluate(&searcher, &questions, None).expect("asked");
        let [words] = recalls.as_slice() else { panic!("without vectors, words are the only way") };
        assert_eq!((words.parts, words.asked), (Parts::Words, questions.len()));
        assert!(words.found * 2 > words.asked, "{:?}", words.missed);
        questions[0].answers = vec!["nothing".to_owned()];
        let error = evaluate(&searcher, &questions, None).err().expect("no excerpt answers it");
        assert!(error.to_string().contains(&questions[0].question), "{error}");
        let nothing: Vec<Excerpt> = vec![];
        assert!(evaluate(&Searcher::new(nothing, vec![]).expect("an index"), &questions, None).is_err());
    }
}
