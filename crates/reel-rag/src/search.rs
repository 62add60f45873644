//! Ranks excerpts by words and by meaning, and fuses both ranks.

use std::collections::HashMap;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
};
use tantivy::{Index, IndexReader, TantivyDocument, Term};

use crate::{Excerpt, Source};

const ANALYZER: &str = "words";
/// Excerpts that each rank contributes.
const DEPTH: usize = 50;
/// The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher: SIGIR 2009), which weakens the first ranks.
const RANK_OFFSET: f32 = 60.0;
/// The weights of both ranks. Meaning finds more of what people ask in their own words (`reel rag eval`).
const WORDS_WEIGHT: f32 = 1.0;
const MEANING_WEIGHT: f32 = 2.0;
/// A word in a title says more than one in the text.
const TITLE_BOOST: f32 = 2.0;
/// The smallest buffer that tantivy allows.
const WRITER_BYTES: usize = 15_000_000;
const MAX_WORD_BYTES: usize = 40;
/// Words of a question that count.
const MAX_WORDS: usize = 64;

/// The ranks that a search uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    Words,
    Meaning,
    Both,
}

/// A question to an index.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    pub text: &'a str,
    /// The vector of the text. Without one, or with one of another length than the index has, words alone count.
    pub vector: Option<&'a [f32]>,
    pub parts: Parts,
    /// Excerpts of this source alone.
    pub source: Option<Source>,
}

/// An excerpt that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'a> {
    pub excerpt: &'a Excerpt,
    pub score: f32,
}

#[derive(Debug, thiserror::Error)]
#[error("the excerpts cannot be indexed or searched")]
pub struct Error(#[from] tantivy::TantivyError);

/// Excerpts that can be searched.
pub struct Searcher {
    excerpts: Vec<Excerpt>,
    /// One for each excerpt, of length 1; empty without embeddings.
    vectors: Vec<Vec<f32>>,
    reader: IndexReader,
    analyzer: TextAnalyzer,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    title: Field,
    text: Field,
    /// The position of the excerpt.
    number: Field,
}

impl Searcher {
    /// Indexes excerpts in memory. `vectors` has one vector for each excerpt; with another number of them, words alone count.
    pub fn new(excerpts: Vec<Excerpt>, vectors: Vec<Vec<f32>>) -> Result<Self, Error> {
        let (schema, fields) = schema();
        let index = Index::create_in_ram(schema);
        let analyzer = analyzer();
        index.tokenizers().register(ANALYZER, analyzer.clone());
        let mut writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        for (at, excerpt) in excerpts.iter().enumerate() {
            let mut document = TantivyDocument::default();
            document.add_text(fields.title, spread(&format!("{} {}", excerpt.id, excerpt.title)));
            document.add_text(fields.text, spread(&excerpt.text));
            document.add_u64(fields.number, at as u64);
            writer.add_document(document)?;
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        let vectors = if vectors.len() == excerpts.len() { vectors } else { vec![] };
        Ok(Self { excerpts, vectors, reader: index.reader()?, analyzer, fields })
    }

    pub fn excerpts(&self) -> &[Excerpt] {
        &self.excerpts
    }

    pub fn has_vectors(&self) -> bool {
        !self.vectors.is_empty()
    }

    /// Returns the excerpts that fit a question, the best first, at most 100 of them.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Found<'_>>, Error> {
        let mut ranks = vec![];
        if query.parts != Parts::Meaning {
            ranks.push((WORDS_WEIGHT, self.rank_by_words(query)?));
        }
        if query.parts != Parts::Words {
            let by_meaning = |vector| (MEANING_WEIGHT, self.rank_by_meaning(vector, query.source));
            ranks.extend(query.vector.map(by_meaning));
        }
        let found = fuse(&ranks).into_iter();
        Ok(found.map(|(at, score)| Found { excerpt: &self.excerpts[at], score }).collect())
    }

    fn is_of(&self, source: Option<Source>, at: usize) -> bool {
        source.is_none_or(|source| self.excerpts[at].source == source)
    }

    fn rank_by_words(&self, query: &Query<'_>) -> Result<Vec<usize>, Error> {
        let Fields { title, text, number } = self.fields;
        let mut words: Vec<(Occur, Box<dyn tantivy::query::Query>)> = vec![];
        for word in self.words(query.text) {
            let of =
                |field| TermQuery::new(Term::from_field_text(field, &word), IndexRecordOption::WithFreqs);
            words.push((Occur::Should, Box::new(of(text))));
            words.push((Occur::Should, Box::new(BoostQuery::new(Box::new(of(title)), TITLE_BOOST))));
        }
        let searcher = self.reader.searcher();
        let all = TopDocs::with_limit(self.excerpts.len().max(1)).order_by_score();
        let mut ranked = vec![];
        for (_score, address) in searcher.search(&BooleanQuery::new(words), &all)? {
            let document: TantivyDocument = searcher.doc(address)?;
            let at = document.get_first(number).and_then(|value| value.as_u64()).map(|at| at as usize);
            ranked.extend(at.filter(|at| self.is_of(query.source, *at)));
            if ranked.len() == DEPTH {
                break;
            }
        }
        Ok(ranked)
    }

    /// Returns the different words of a question, in the form in which they are indexed.
    fn words(&self, question: &str) -> Vec<String> {
        let spread = spread(question);
        let mut analyzer = self.analyzer.clone();
        let mut stream = analyzer.token_stream(&spread);
        let mut words: Vec<String> = vec![];
        while let Some(token) = stream.next() {
            if words.len() == MAX_WORDS {
                break;
            }
            if !words.contains(&token.text) {
                words.push(token.text.clone());
            }
        }
        words
    }

    fn rank_by_meaning(&self, meaning: &[f32], source: Option<Source>) -> Vec<usize> {
        let of_source = self.vectors.iter().enumerate().filter(|(at, _)| self.is_of(source, *at));
        let of_length = of_source.filter(|(_, vector)| vector.len() == meaning.len());
        let cosine = |vector: &[f32]| vector.iter().zip(meaning).map(|(a, b)| a * b).sum::<f32>();
        let mut ranked: Vec<(usize, f32)> = of_length.map(|(at, vector)| (at, cosine(vector))).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.into_iter().take(DEPTH).map(|(at, _)| at).collect()
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexing =
        TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let options = TextOptions::default().set_indexing_options(indexing);
    let title = schema.add_text_field("title", options.clone());
    let text = schema.add_text_field("text", options);
    let number = schema.add_u64_field("number", STORED);
    (schema.build(), Fields { title, text, number })
}

/// Fuses ranks: each excerpt gets the sum of `weight / (60 + rank)` over the lists that hold it.
fn fuse(ranks: &[(f32, Vec<usize>)]) -> Vec<(usize, f32)> {
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for (weight, ranked) in ranks {
        for (rank, at) in ranked.iter().enumerate() {
            *scores.entry(*at).or_default() += weight / (RANK_OFFSET + rank as f32 + 1.0);
        }
    }
    let mut fused: Vec<(usize, f32)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

fn analyzer() -> TextAnalyzer {
    let plain = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_WORD_BYTES))
        .filter(LowerCaser);
    match StopWordFilter::new(Language::English) {
        Some(stop_words) => plain.filter(stop_words).filter(Stemmer::new(Language::English)).build(),
        None => plain.filter(Stemmer::new(Language::English)).build(),
    }
}

/// Adds the words of compound names, so that `number plane` finds `NumberPlane` and `number_plane`. Adds pairs of characters of scripts
/// that put no spaces between words.
fn spread(text: &str) -> String {
    let mut spread = text.to_owned();
    for name in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        let mut words = String::new();
        let mut last = ' ';
        for letter in name.chars() {
            if letter == '_' || letter.is_uppercase() && last.is_lowercase() {
                words.push(' ');
            }
            if letter != '_' {
                words.push(letter);
            }
            if is_without_spaces(letter) && is_without_spaces(last) {
                spread.extend([' ', last, letter]);
            }
            last = letter;
        }
        if words.trim().contains(' ') {
            spread.push(' ');
            spread.push_str(words.trim());
        }
    }
    spread
}

/// Kana, Chinese characters, Hangul.
fn is_without_spaces(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(id: &str, title: &str, text: &str) -> Excerpt {
        let (id, title, text) = (id.to_owned(), title.to_owned(), text.to_owned());
        Excerpt { source: Source::Manim, id, title, text }
    }

    fn searcher(vectors: Vec<Vec<f32>>) -> Searcher {
        let excerpts = vec![
            excerpt("manim.Circle", "class Circle(radius)", "A circle with a radius."),
            excerpt("manim.NumberPlane", "class NumberPlane()", "Creates a cartesian plane with grid lines."),
            excerpt("manim.Write", "class Write(mobject)", "Simulates hand-writing a text."),
        ];
        Searcher::new(excerpts, vectors).expect("they can be indexed")
    }

    fn ids(searcher: &Searcher, text: &str, vector: Option<&[f32]>, parts: Parts) -> Vec<String> {
        let query = Query { text, vector, parts, source: None };
        let found = searcher.search(&query).expect("they can be searched");
        found.into_iter().map(|found| found.excerpt.id.clone()).collect()
    }

    #[test]
    fn words_find_stems_and_parts_of_names() {
        let searcher = searcher(vec![]);
        assert_eq!(ids(&searcher, "draw circles", None, Parts::Both)[0], "manim.Circle");
        assert_eq!(ids(&searcher, "a number plane", None, Parts::Words)[0], "manim.NumberPlane");
        assert!(ids(&searcher, "the and of", None, Parts::Both).is_empty());
        assert!(ids(&searcher, "", None, Parts::Both).is_empty());
    }

    #[test]
    fn a_question_is_words_and_no_query_language() {
        let searcher = searcher(vec![]);
        assert_eq!(ids(&searcher, "text:) AND (write~ \"", None, Parts::Both)[0], "manim.Write");
        assert!(ids(&searcher, &"x ".repeat(100_000), None, Parts::Both).is_empty());
        assert!(ids(&searcher, &"x".repeat(1_000_000), None, Parts::Both).is_empty());
        let nothing = Searcher::new(vec![], vec![]).expect("nothing can be indexed, too");
        assert!(ids(&nothing, "circle", Some(&[1.0]), Parts::Both).is_empty());
    }

    #[test]
    fn meaning_finds_what_words_do_not() {
        let searcher = searcher(vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![0.7, 0.7]]);
        let meaning = [0.1, 0.9];
        assert_eq!(ids(&searcher, "coordinates", Some(&meaning), Parts::Meaning)[0], "manim.NumberPlane");
        assert!(ids(&searcher, "coordinates", Some(&meaning), Parts::Words).is_empty());
        // Both ranks name Circle, though only one has it first.
        assert_eq!(ids(&searcher, "circle", Some(&[0.2, 0.9]), Parts::Both)[0], "manim.Circle");
        // A vector of another model.
        assert_eq!(ids(&searcher, "circle", Some(&[1.0, 0.0, 0.0]), Parts::Both), ["manim.Circle"]);
        assert!(ids(&searcher, "circle", Some(&[1.0, 0.0, 0.0]), Parts::Meaning).is_empty());
    }

    #[test]
    fn a_search_can_be_for_one_source() {
        let example = Excerpt { source: Source::Example, ..excerpt("gallery.circle", "A circle", "{}") };
        let both = vec![excerpt("manim.Circle", "class Circle", "A circle."), example];
        let vectors = vec![vec![1.0], vec![1.0]];
        let searcher = Searcher::new(both, vectors).expect("they can be indexed");
        let query =
            Query { text: "circle", vector: Some(&[1.0]), parts: Parts::Both, source: Some(Source::Example) };
        let found = searcher.search(&query).expect("found");
        assert_eq!(
            found.iter().map(|found| found.excerpt.id.as_str()).collect::<Vec<_>>(),
            ["gallery.circle"]
        );
    }

    #[test]
    fn scripts_without_spaces_are_found_by_parts() {
        let text = excerpt("notes", "ノート", "植物は光合成によって光をエネルギーに変える。");
        let searcher = Searcher::new(vec![text], vec![]).expect("it can be indexed");
        assert_eq!(ids(&searcher, "光合成", None, Parts::Both), ["notes"]);
    }
}
