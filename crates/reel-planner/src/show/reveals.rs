//! Decides when the parts of what stands beside several lines appear: groups of code, nodes of a diagram.

use reel_scene::{Block, Reveal, Scene, diagram};

use crate::language::words::content_stems;

/// Parts in which code appears at most: as many lines as a page has beside it.
const MAX_GROUPS: usize = 4;

/// Divides code beside several sentences into as many groups of lines, one of which appears with each.
pub(crate) fn reveal_code_in_groups(scene: &mut Scene) {
    let whole: Vec<usize> = scene.steps.first().map_or(vec![], |step| {
        step.reveals.iter().filter(|reveal| reveal.part.is_none()).map(|reveal| reveal.block).collect()
    });
    let max_groups = scene.steps.len().min(MAX_GROUPS);
    for index in whole {
        let Some(Block::Code { text, groups, .. }) = scene.blocks.get_mut(index) else { continue };
        let lengths = group_lengths(text, max_groups);
        if lengths.len() < 2 {
            continue;
        }
        let count = lengths.len();
        *groups = lengths;
        for (part, step) in scene.steps.iter_mut().take(count).enumerate() {
            step.reveals.retain(|reveal| reveal.block != index);
            step.reveals.push(Reveal { block: index, part: Some(part) });
        }
    }
}

/// Shows a diagram of its own sentence with it, and one beside several lines node by node, with all of them.
pub(crate) fn reveal_flows(scene: &mut Scene) {
    leave_the_page_to_a_diagram(scene);
    for (index, block) in scene.blocks.iter().enumerate() {
        let names = part_names(block);
        let is_whole = |reveal: &Reveal| reveal.block == index && reveal.part.is_none();
        let first = scene.steps.iter().position(|step| step.reveals.iter().any(is_whole));
        let Some(first) = first.filter(|_| !names.is_empty()) else { continue };
        let beside = matches!(block, Block::Diagram { .. }) || scene.steps[first].reveals.len() > 1;
        let last = if beside { scene.steps.len() } else { first + 1 };
        let spoken: Vec<Vec<String>> =
            scene.steps[first..last].iter().map(|step| content_stems(&step.narration)).collect();
        scene.steps[first].reveals.retain(|reveal| !is_whole(reveal));
        for (part, line) in lines_of_parts(&names, &spoken).into_iter().enumerate() {
            scene.steps[first + line].reveals.push(Reveal { block: index, part: Some(part) });
        }
    }
}

/// Returns the words of each part of a block that is a picture of parts; none for any other.
fn part_names(block: &Block) -> Vec<String> {
    match block {
        Block::Flow { nodes, .. } => nodes.clone(),
        Block::Diagram { language, source } => {
            diagram::read(*language, source).map_or(vec![], |reading| reading.names())
        }
        Block::Items { .. } | Block::Quadrant { .. } => diagram::block_names(block),
        _ => vec![],
    }
}

/// Removes everything beside an animation, which takes the whole picture: what is there is spoken.
pub(crate) fn leave_the_page_to_an_animation(scene: &mut Scene) {
    let Some(index) = scene.blocks.iter().position(|block| matches!(block, Block::Manim { .. })) else {
        return;
    };
    let animation = scene.blocks.swap_remove(index);
    scene.blocks = vec![animation];
    scene.steps.iter_mut().for_each(|step| step.reveals.clear());
    if let Some(first) = scene.steps.first_mut() {
        first.reveals.push(Reveal { block: 0, part: None });
    }
}

/// Removes the sentences beside a diagram: they are spoken, and the diagram takes the page.
fn leave_the_page_to_a_diagram(scene: &mut Scene) {
    let is_text = |block: &Block| matches!(block, Block::Bullet { .. } | Block::Paragraph { .. });
    let diagrams = scene.blocks.iter().filter(|block| matches!(block, Block::Diagram { .. })).count();
    let texts = scene.blocks.iter().filter(|block| is_text(block)).count();
    if diagrams != 1 || diagrams + texts != scene.blocks.len() {
        return;
    }
    let Some(diagram) = scene.blocks.iter().position(|block| !is_text(block)) else { return };
    for step in &mut scene.steps {
        step.reveals.retain(|reveal| reveal.block == diagram);
        step.reveals.iter_mut().for_each(|reveal| reveal.block = 0);
    }
    scene.blocks.retain(|block| !is_text(block));
}

/// Returns the line with which each part appears, in their order. A part that a line names appears with it, unless a later
/// part comes first; the others are spread evenly in between.
fn lines_of_parts(names: &[String], spoken: &[Vec<String>]) -> Vec<usize> {
    let named = |name: &String| {
        let stems = content_stems(name);
        let said = |line: &&Vec<String>| !stems.is_empty() && stems.iter().all(|stem| line.contains(stem));
        spoken.iter().position(|line| said(&line))
    };
    let named: Vec<Option<usize>> = names.iter().map(named).collect();
    let anchors = longest_rising(&named);
    let mut lines = vec![0; names.len()];
    let (mut from, mut line) = (0, 0);
    let end = (names.len(), spoken.len());
    for (part, anchor) in anchors.iter().map(|part| (*part, named[*part].unwrap_or(0))).chain([end]) {
        // Those before an anchor appear with the lines before it, the first of them with the line of the last anchor.
        let (parts, room) = (part - from, (anchor - line).max(1));
        for (at, slot) in lines[from..part].iter_mut().enumerate() {
            *slot = (line + at * room / parts).min(spoken.len().saturating_sub(1));
        }
        if part < names.len() {
            lines[part] = anchor;
        }
        (from, line) = ((part + 1).min(names.len()), anchor);
    }
    lines
}

/// Returns the indices of the longest run of values that never falls.
fn longest_rising(values: &[Option<usize>]) -> Vec<usize> {
    let mut best: Vec<(usize, Option<usize>)> = vec![(0, None); values.len()];
    for at in 0..values.len() {
        let Some(value) = values[at] else { continue };
        let before = (0..at).filter(|before| values[*before].is_some_and(|earlier| earlier <= value));
        let before = before.max_by_key(|before| best[*before].0);
        best[at] = (1 + before.map_or(0, |before| best[before].0), before);
    }
    let last = (0..values.len()).filter(|at| values[*at].is_some()).max_by_key(|at| best[*at].0);
    let mut run: Vec<usize> = std::iter::successors(last, |at| best[*at].1).collect();
    run.reverse();
    run
}

/// Returns the lines of each group: of similar size, ending where the next line goes back to the left or a line is blank.
fn group_lengths(text: &str, count: usize) -> Vec<u32> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let count = count.min(lines.len() / 2).max(1);
    let mut lengths = vec![];
    let mut from = 0;
    for group in 0..count.saturating_sub(1) {
        let ideal = lines.len() * (group + 1) / count;
        let near = (from + 1).max(ideal.saturating_sub(2))..(ideal + 3).min(lines.len());
        // The best place is before a line that stands as far left as possible, and never before an empty one.
        let cut = near.filter(|at| !lines[*at].trim().is_empty()).min_by_key(|at| {
            (indent(lines[*at]) + usize::from(!lines[at - 1].trim().is_empty()), at.abs_diff(ideal))
        });
        let Some(cut) = cut else { break };
        lengths.push((cut - from) as u32);
        from = cut;
    }
    if from < lines.len() {
        lengths.push((lines.len() - from) as u32);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[&str], spoken: &[&str]) -> Vec<usize> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let spoken: Vec<Vec<String>> = spoken.iter().map(|line| content_stems(line)).collect();
        lines_of_parts(&names, &spoken)
    }

    #[test]
    fn parts_appear_with_the_line_that_names_them() {
        let spoken = ["A request arrives.", "The parser reads it.", "Nothing else.", "The cache answers."];
        assert_eq!(lines(&["Request", "Parser", "Cache"], &spoken), [0, 1, 3]);
        assert_eq!(lines(&["Request", "Other", "Cache"], &spoken), [0, 0, 3]);
        // Out of order: what comes first in the diagram waits for nothing.
        assert_eq!(lines(&["Cache", "Request", "Parser"], &spoken), [0, 0, 1]);
    }

    #[test]
    fn parts_that_no_line_names_are_spread() {
        assert_eq!(lines(&["a1", "b2", "c3", "d4"], &["One.", "Two."]), [0, 0, 1, 1]);
        assert_eq!(lines(&["a1"], &["One.", "Two."]), [0]);
    }
}
