//! Divides a chapter's passages over pages.
//!
//! Fewest pages first; among those, pages of similar height, with breaks where a reader expects them:
//! between paragraphs rather than inside one, never between a lead-in and what it introduces.

use std::cmp::Reverse;
use std::ops::Range;

use crate::arrange::capacity::PAGE_HEIGHT_PX;
use crate::arrange::passages::{Kind, Passage};

/// Sentences and items that a page shows at most: five bullets stay readable at a glance.
pub(crate) const MAX_LINES: usize = 5;
/// The same with those that are only spoken.
pub(crate) const MAX_SPOKEN: usize = 2 * MAX_LINES;
/// The same for a page with a listing or a table, which takes the room of one.
const MAX_LINES_BESIDE: usize = 4;

/// Outweighs every other cost, so that pages are as few as can be.
const PAGE_COST: u64 = 1_000_000;

/// Returns the ranges of passages that share a page, in order, covering all of them.
///
/// A passage that is too tall for a page of its own still gets one.
pub(crate) fn paginate(passages: &[Passage]) -> Vec<Range<usize>> {
    let heights: Vec<u32> = passages.iter().map(Passage::height_px).collect();
    // best[end] is the least cost of the passages before `end`, and where their last page starts.
    let mut best: Vec<(u64, usize)> = vec![(0, 0)];
    for end in 1..=passages.len() {
        let break_cost = passages.get(end).map_or(0, |next| break_cost(&passages[end - 1], next));
        let pages = page_starts(passages, &heights, end).map(|(start, height)| {
            let (before, _) = best[start];
            (before + PAGE_COST + page_cost(&passages[start..end], height) + break_cost, start)
        });
        // Among equals the shorter page comes last.
        best.push(pages.min_by_key(|&(cost, start)| (cost, Reverse(start))).unwrap_or((0, 0)));
    }
    let mut pages = Vec::new();
    let mut end = passages.len();
    while end > 0 {
        let (_, start) = best[end];
        pages.push(start..end);
        end = start;
    }
    pages.reverse();
    pages
}

/// Returns every start from which the passages before `end` fit a page, with their height.
fn page_starts(passages: &[Passage], heights: &[u32], end: usize) -> impl Iterator<Item = (usize, u32)> {
    let (mut height, mut lines, mut asides, mut listings, mut beside) = (0_u32, 0, 0, 0, false);
    (0..end).rev().map_while(move |start| {
        let passage = &passages[start];
        height = height.saturating_add(heights[start]);
        lines += usize::from(passage.kind != Kind::Table && !passage.is_aside());
        asides += usize::from(passage.is_aside());
        listings += usize::from(passage.listing.is_some());
        beside |= passage.listing.is_some() || passage.kind == Kind::Table;
        let max_lines = if beside { MAX_LINES_BESIDE } else { MAX_LINES };
        let speaks = lines + asides <= MAX_SPOKEN;
        let fits = height <= PAGE_HEIGHT_PX && lines <= max_lines && speaks && listings <= 1;
        (fits || start + 1 == end).then_some((start, height))
    })
}

/// Returns `true` when passages fit one page together.
pub(crate) fn share_a_page(passages: &[Passage]) -> bool {
    let heights: Vec<u32> = passages.iter().map(Passage::height_px).collect();
    let fitting = page_starts(passages, &heights, passages.len()).last();
    fitting.is_some_and(|(start, height)| start == 0 && height <= PAGE_HEIGHT_PX)
}

/// Rates a page by the square of how full it is, in percent: the sum is least when pages are equally full, and a full
/// page costs 10,000. A listing wants some lines beside it, so that it can be read while they are spoken.
fn page_cost(passages: &[Passage], height_px: u32) -> u64 {
    let percent = u64::from(height_px) * 100 / u64::from(PAGE_HEIGHT_PX);
    let has_listing = passages.iter().any(|passage| passage.listing.is_some());
    percent * percent + if has_listing { 3_000 / passages.len() as u64 } else { 0 }
}

/// Rates a break between two passages, in the measure of [`page_cost`]: as much as pages may differ in fullness to
/// avoid it.
pub(crate) fn break_cost(before: &Passage, next: &Passage) -> u64 {
    let leads_in = before.lone_text().is_some_and(|text| text.to_plain().ends_with([':', '：']));
    let same = before.kind == next.kind && next.position > 0;
    match next.kind {
        // Nothing would stand on the page while it is spoken.
        _ if next.is_aside() => 100_000,
        _ if leads_in || next.continues => 20_000,
        Kind::Item if same => 5_000,
        Kind::Item => 2_500,
        Kind::Sentence | Kind::Quote if next.position > 0 => 1_200,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::passages;
    use crate::read::markdown;

    fn pages(script: &str) -> Vec<usize> {
        let document = markdown::read(script);
        let elements = document.sections[0].elements();
        paginate(&passages::divide(elements, "Heading")).into_iter().map(|page| page.len()).collect()
    }

    #[test]
    fn a_full_page_is_not_divided_and_a_longer_one_is_balanced() {
        assert_eq!(pages(&"It is so. ".repeat(5)), [5]);
        assert_eq!(pages(&"It is so. ".repeat(6)), [3, 3]);
        assert_eq!(pages(&"It is so. ".repeat(11)), [4, 4, 3]);
    }

    #[test]
    fn tall_sentences_take_more_pages() {
        let tall = format!("It {}. ", "goes on and on ".repeat(14).trim());
        assert_eq!(pages(&tall.repeat(4)), [2, 2]);
    }

    #[test]
    fn a_list_is_not_torn_from_its_lead_in() {
        let script = "# T\n\n## H\n\nIt is. It was. These are:\n\n- one\n- two\n- three";
        assert_eq!(pages(script), [2, 4]);
    }

    #[test]
    fn a_listing_shares_its_page_with_four_lines_at_most() {
        assert_eq!(pages("# T\n\n## H\n\nOne. Two. Three. Four.\n\n```\nx\n```"), [4]);
        assert_eq!(pages("# T\n\n## H\n\nOne. Two. Three. Four. Five.\n\n```\nx\n```"), [2, 3]);
    }
}
