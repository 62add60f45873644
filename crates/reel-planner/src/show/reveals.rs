//! Decides when the parts of what stands beside several lines appear: groups of code, boxes of a diagram.

use reel_scene::{Block, Reveal, Scene};

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

/// Shows a diagram of its own sentence with it, and one beside several lines box by box, with all of them.
pub(crate) fn reveal_flows(scene: &mut Scene) {
    for (index, block) in scene.blocks.iter().enumerate() {
        let Block::Flow { nodes, .. } = block else { continue };
        let is_whole = |reveal: &Reveal| reveal.block == index && reveal.part.is_none();
        let Some(first) = scene.steps.iter().position(|step| step.reveals.iter().any(is_whole)) else {
            continue;
        };
        let beside = scene.steps[first].reveals.len() > 1;
        scene.steps[first].reveals.retain(|reveal| !is_whole(reveal));
        let lines = if beside { scene.steps.len() - first } else { 1 };
        for part in 0..nodes.len() {
            let line = first + part * lines / nodes.len();
            scene.steps[line].reveals.push(Reveal { block: index, part: Some(part) });
        }
    }
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
