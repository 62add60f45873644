//! Chooses the pages of a video among all that are proposed.

use std::collections::HashMap;
use std::ops::Range;

use reel_scene::{Block, RichText, SpanStyle};

use crate::arrange::budget::Chapter;
use crate::arrange::pace;
use crate::arrange::pages::{break_cost, share_a_page};
use crate::arrange::passages::Passage;
use crate::language::lists::{announces_some, labelled};
use crate::show::page;

use super::candidate::{Candidate, Rejected, Unit};
use super::fit::fits;
use super::{Composed, lists, numbers, order, relations, structures, text};

/// Passages on a page at most.
const MAX_PASSAGES: usize = 10;
/// The cost of every page, which keeps their number low.
const PAGE_COST: u64 = 10;
/// The extra cost of a composition that the page before has, and of one that the two pages before have.
const REPEATED_COST: u64 = 14;
const REPEATED_TWICE_COST: u64 = 400;
/// Milliseconds that a page may stay before each further second costs.
const LONG_PAGE_MS: u64 = 20_000;
const LONG_SECOND_COST: u64 = 3;
/// A break between two passages costs up to this much; those of [`break_cost`] are divided by it.
const BREAK_SCALE: u64 = 80;

/// A composition that costs as much or more takes any sentences.
const GENERIC_COST: u32 = 30;
/// A sentence that has a picture of its own, at this cost or less, costs so much where it stands among others instead.
const OWN_PICTURE_COST: u32 = 20;
const LOST_PICTURE_COST: u64 = 30;

/// A page that is possible.
struct PossiblePage {
    start: usize,
    composition: &'static str,
    cost: u64,
    why: String,
    drawn: Drawn,
}

/// How a possible page becomes a scene; only those that are chosen do.
enum Drawn {
    As(Candidate),
    Mixed,
}

/// How far a sequence of pages has come: pages so far, the last composition, and whether it stood there twice.
type State = (usize, &'static str, bool);

/// The cheapest way to a state.
#[derive(Clone, Copy)]
struct Way {
    cost: u64,
    /// Index of its last page among the options that end here.
    option: usize,
    before: State,
}

/// Chooses the pages of all chapters: the cheapest sequence with at most `max_pages`, or with as few as there can be.
pub(super) fn choose(chapters: &[Chapter], max_pages: usize) -> Vec<Composed> {
    let mut options: Vec<Vec<PossiblePage>> = vec![vec![]];
    let mut chapter_of: Vec<usize> = vec![];
    for (number, chapter) in chapters.iter().enumerate() {
        let first = options.len() - 1;
        let units: Vec<Unit<'_>> = chapter.passages.iter().map(Unit::new).collect();
        chapter_of.extend(std::iter::repeat_n(number, units.len()));
        let has_picture: Vec<bool> =
            (0..units.len()).map(|at| has_picture(&units[at..=at], chapter)).collect();
        for end in 1..=units.len() {
            options.push(options_ending_at(chapter, &units, &has_picture, first, end));
        }
    }
    let mut best: Vec<HashMap<State, Way>> = vec![HashMap::new(); options.len()];
    let start: State = (0, "", false);
    best[0].insert(start, Way { cost: 0, option: 0, before: start });
    for end in 1..options.len() {
        let mut ways: HashMap<State, Way> = HashMap::new();
        for (index, option) in options[end].iter().enumerate() {
            for (before, way) in &best[option.start] {
                let (pages, last, twice) = *before;
                let is_same = last == option.composition;
                let repeated = match (is_same, twice) {
                    (true, true) => REPEATED_TWICE_COST,
                    (true, false) => REPEATED_COST,
                    _ => 0,
                };
                let state = (pages + 1, option.composition, is_same);
                let cost = way.cost + option.cost + repeated;
                // Any fixed order of states makes the choice among equals the same each time.
                let is_better =
                    ways.get(&state).is_none_or(|known| (cost, *before) < (known.cost, known.before));
                if is_better {
                    ways.insert(state, Way { cost, option: index, before: *before });
                }
            }
        }
        prune(&mut ways, max_pages);
        best[end] = ways;
    }
    let Some(last) = best.last() else { return vec![] };
    let within = last.iter().filter(|((pages, ..), _)| *pages <= max_pages);
    let cheapest = within.min_by_key(|(state, way)| (way.cost, **state));
    let fewest = || last.iter().min_by_key(|(state, way)| (state.0, way.cost, **state));
    let Some((state, _)) = cheapest.or_else(fewest) else { return vec![] };
    let (mut end, mut state, mut chosen) = (options.len() - 1, *state, vec![]);
    while end > 0 {
        let Some(way) = best[end].get(&state).copied() else { break };
        let start = options[end][way.option].start;
        chosen.push((end, way.option));
        (end, state) = (start, way.before);
    }
    chosen.reverse();
    let compose = |(end, option): (usize, usize)| {
        let number = chapter_of[end - 1];
        let first = chapter_of.iter().position(|chapter| *chapter == number).unwrap_or(0);
        composed(
            &options[end],
            option,
            &chapters[number],
            number,
            options[end][option].start - first..end - first,
        )
    };
    chosen.into_iter().map(compose).collect()
}

/// Leaves out ways with more pages than allowed, as long as there are others.
fn prune(ways: &mut HashMap<State, Way>, max_pages: usize) {
    if ways.keys().any(|(pages, ..)| *pages <= max_pages) {
        ways.retain(|(pages, ..), _| *pages <= max_pages);
    }
}

fn composed(
    options: &[PossiblePage],
    chosen: usize,
    chapter: &Chapter,
    number: usize,
    range: Range<usize>,
) -> Composed {
    let passages = &chapter.passages[range.clone()];
    let heading = &chapter.heading;
    let page = &options[chosen];
    let others =
        options.iter().enumerate().filter(|(index, other)| *index != chosen && other.start == page.start);
    let rejected = others.map(|(_, other)| Rejected {
        composition: other.composition,
        cost: u32::try_from(other.cost).unwrap_or(u32::MAX),
    });
    let (scene, has_own_heading) = match &page.drawn {
        Drawn::As(candidate) => {
            (candidate.clone().into_scene(heading, passages), candidate.heading.is_some())
        }
        Drawn::Mixed => (page::compose(crate::content(heading, passages)), false),
    };
    Composed {
        scene,
        chapter: number,
        passages: range,
        has_own_heading,
        composition: page.composition,
        why: page.why.clone(),
        rejected: rejected.collect(),
    }
}

/// Returns all pages that end with a passage of a chapter. `first` is the number of the chapter's first passage.
fn options_ending_at(
    chapter: &Chapter,
    units: &[Unit<'_>],
    has_picture: &[bool],
    first: usize,
    end: usize,
) -> Vec<PossiblePage> {
    let mut options = vec![];
    let break_after =
        units.get(end).map_or(0, |next| break_cost(units[end - 1].passage, next.passage) / BREAK_SCALE);
    for start in (end.saturating_sub(MAX_PASSAGES)..end).rev() {
        let run = &units[start..end];
        let ms = pace::passages_ms(run.iter().map(|unit| unit.passage));
        let long = ms.saturating_sub(LONG_PAGE_MS) / 1000 * LONG_SECOND_COST;
        let base = PAGE_COST + break_after + long;
        let lost = has_picture[start..end].iter().filter(|has| **has).count() as u64 * LOST_PICTURE_COST;
        for candidate in candidates(run, chapter) {
            let lines: usize = run.iter().map(|unit| unit.passage.steps.len()).sum();
            if candidate.reveals.len() != lines
                || !fits(&candidate.blocks)
                || !page::are_valid(&candidate.blocks)
                || loses_formulas(run, &candidate)
            {
                continue;
            }
            options.push(PossiblePage {
                start: first + start,
                composition: candidate.composition,
                cost: base + u64::from(candidate.cost) + if candidate.cost < GENERIC_COST { 0 } else { lost },
                why: candidate.why.clone(),
                drawn: Drawn::As(candidate),
            });
        }
        let passages = &chapter.passages[start..end];
        if share_a_page(passages) || passages.len() == 1 {
            options.push(mixed(run, first + start, base + lost));
        }
    }
    options
}

/// Returns `true` for a proposal that shows formulas of its lines as their source.
fn loses_formulas(run: &[Unit<'_>], candidate: &Candidate) -> bool {
    let has_formulas = |text: &RichText| text.0.iter().any(|span| span.style == SpanStyle::Math);
    let formulas = run.iter().filter(|unit| unit.text.is_some_and(has_formulas)).count();
    let shown = candidate.blocks.iter().flat_map(rich_texts).filter(|text| has_formulas(text)).count();
    shown < formulas
}

/// The texts of a block that keep their styles.
fn rich_texts(block: &Block) -> Vec<&RichText> {
    match block {
        Block::Paragraph { text }
        | Block::Bullet { text }
        | Block::Numbered { text, .. }
        | Block::Quote { text, .. }
        | Block::Statement { text, .. }
        | Block::Definition { text, .. } => vec![text],
        Block::Items { items, .. } => {
            items.iter().flat_map(|item| item.points.iter().chain([&item.text])).collect()
        }
        _ => vec![],
    }
}

/// Returns how many of the last passages belong together: as steps, dates or things that a sentence announced.
pub(super) fn structured_end(chapter: &Chapter) -> usize {
    /// A structure that costs more is only a guess.
    const MAX_COST: u32 = 24;
    let last = &chapter.passages[chapter.passages.len().saturating_sub(MAX_PASSAGES)..];
    let units: Vec<Unit<'_>> = last.iter().map(Unit::new).collect();
    let is_structured = |start: &usize| {
        let run = &units[*start..];
        candidates(run, chapter).iter().any(|candidate| candidate.cost <= MAX_COST && fits(&candidate.blocks))
    };
    let last = units.len().saturating_sub(1);
    match (0..last).find(is_structured) {
        Some(start) => units.len() - start,
        None => usize::from(lists::labelled(&units[last..], chapter.written).is_some()),
    }
}

/// Returns `true` for a sentence that alone is a picture.
fn has_picture(unit: &[Unit<'_>], chapter: &Chapter) -> bool {
    proposed(unit, chapter, &chapter.heading)
        .iter()
        .any(|candidate| candidate.cost <= OWN_PICTURE_COST && fits(&candidate.blocks))
}

/// All proposals for a run of passages, with what leads it in.
fn candidates(run: &[Unit<'_>], chapter: &Chapter) -> Vec<Candidate> {
    let mut found = proposed(run, chapter, &chapter.heading);
    found.extend(lists::announced(run).map(|candidate| candidate.led_by(&run[0], chapter.written)));
    // A sentence that leads in stands above what it introduces.
    if let [lead, rest @ ..] = run
        && !rest.is_empty()
        && lead.is_sentence()
        && lead.words <= 24
        && (lead.leads_in()
            || introduces(lead, rest)
            || is_asked(lead)
            || rest.len() > 1 && announces_some(&lead.plain))
        && labelled(&lead.plain).is_none()
    {
        let led = proposed(rest, chapter, &format!("{} {}", chapter.heading, lead.plain)).into_iter().filter(
            |candidate| {
                is_introduced(candidate.composition) || is_asked(lead) && candidate.composition == "statement"
            },
        );
        found.extend(led.map(|candidate| candidate.led_by(lead, chapter.written)));
    }
    found
}

/// Returns `true` for a question that an answer can follow.
fn is_asked(lead: &Unit<'_>) -> bool {
    lead.plain.ends_with(['?', '？']) && lead.words <= 9
}

/// Returns `true` for a sentence before a whole list or table.
fn introduces(lead: &Unit<'_>, rest: &[Unit<'_>]) -> bool {
    let begins = rest[0].passage.position == 0 && !rest[0].is_sentence() && !rest[0].is_quote();
    begins && rest.iter().all(|unit| unit.passage.kind == rest[0].passage.kind) && !lead.passage.continues
}

/// Returns `true` for compositions above which a sentence may stand.
fn is_introduced(composition: &str) -> bool {
    !matches!(composition, "statement" | "quotation" | "versus" | "definition" | "quantities")
}

/// All proposals for a run of passages. `above` is what stands over it.
fn proposed(run: &[Unit<'_>], chapter: &Chapter, above: &str) -> Vec<Candidate> {
    let recognized = [
        text::statement(run),
        text::defined(run),
        text::quotation(run),
        text::notes(run),
        text::cards(run),
        lists::list(run, above),
        lists::dos_and_donts(run),
        lists::labelled(run, chapter.written),
        lists::imperatives(run),
        lists::parallel(run),
        lists::named_lines(run),
        order::steps(run),
        order::sequence_in_one(run),
        order::dates(run),
        order::told_dates(run),
        numbers::big_number(run),
        numbers::share(run),
        numbers::shares(run),
        numbers::several(run),
        numbers::measured(run),
        numbers::measured_in_line(run, chapter.written),
        numbers::line(run),
        numbers::bars(run),
        relations::opposed(run),
        relations::two_lists(run),
        relations::two_enumerations(run),
        relations::before_and_after(run),
        relations::contrasted(run),
        relations::caused(run),
        relations::enumerated(run, &chapter.heading),
        relations::said_by(run),
        structures::funnel(run, above),
        structures::tree(run),
        structures::pyramid(run),
        structures::ranking(run, above, chapter.written),
        structures::shared(run),
    ];
    recognized.into_iter().flatten().collect()
}

/// The composition that takes any run that fits a page: listings, tables and formulas beside sentences, and lists of sentences.
fn mixed(run: &[Unit<'_>], start: usize, base: u64) -> PossiblePage {
    let lines = run.iter().filter(|unit| unit.is_line()).count() as u64;
    let picture = run.iter().find(|unit| unit.text.is_none() && !unit.is_aside());
    // A quotation, and many items, want a page of their own.
    let crowd = run.iter().filter(|unit| unit.is_quote()).count() as u64 * 40
        + run.iter().filter(|unit| unit.is_item()).count() as u64 * 6;
    let (composition, cost, why) = match (picture, lines) {
        (Some(unit), _) if run.len() > 1 => {
            (picture_kind(unit.passage), 6 + 4 * lines + crowd, "a picture with what is said of it")
        }
        (Some(unit), _) => (picture_kind(unit.passage), 6 + 4 * lines, "a picture with what is said of it"),
        (None, 0) => ("text", 40, "a few words"),
        (None, 1) => ("text", 70, "one line"),
        (None, 2 | 3) => ("text", 84, "some sentences"),
        (None, 4) => ("text", 140, "four sentences"),
        (None, _) => ("text", 200 + 30 * (lines - 5), "many sentences"),
    };
    PossiblePage { start, composition, cost: base + cost, why: why.to_owned(), drawn: Drawn::Mixed }
}

/// Names the composition of a page by the picture on it.
fn picture_kind(passage: &Passage) -> &'static str {
    let name = |block: &Block| match block {
        Block::Code { language, .. } if is_diagram(language.as_deref()) => Some("diagram"),
        Block::Code { .. } => Some("code"),
        Block::Manim { .. } => Some("animation"),
        Block::Formula { .. } | Block::Derivation { .. } => Some("formula"),
        Block::Table { .. } => Some("table"),
        Block::Image { .. } => Some("image"),
        _ => None,
    };
    passage.blocks().iter().chain(&passage.listing).find_map(name).unwrap_or("text")
}

fn is_diagram(language: Option<&str>) -> bool {
    matches!(language, Some("mermaid" | "dot" | "graphviz"))
}
