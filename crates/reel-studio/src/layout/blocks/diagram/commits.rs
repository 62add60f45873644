//! Commits: a lane for each branch, from left to right.

use reel_scene::diagram::{Commits, Line};

use super::canvas::{Canvas, Piece, Rect};
use super::measure::{LINE, Texts, Type};
use super::{MAX_SIZE, MIN_SIZE, Room};

const TONES: [&str; 3] = ["filled-first", "filled-second", "filled-third"];
const LANE_TONES: [&str; 3] = ["first-line", "second-line", "third-line"];

/// Draws commits; `None` when the type would be too small.
pub(super) fn draw(git: &Commits, room: &Room, measure: &Type) -> Option<Canvas> {
    let names = git.branches.iter().map(|name| measure.bold_width(name));
    let left = names.fold(0.0, f64::max) + 1.8;
    let used: Vec<bool> = (0..git.branches.len())
        .map(|branch| git.commits.iter().any(|commit| commit.branch == branch))
        .collect();
    let lanes = used.iter().filter(|used| **used).count().max(1) as f64;
    let mut best: Option<(f64, f64, Texts, Texts)> = None;
    for column in [7.0, 5.5, 4.5, 3.6, 3.0, 2.2] {
        let labels: Vec<Vec<String>> =
            git.commits.iter().map(|commit| measure.wrap(&commit.label, column - 0.4)).collect();
        let tags: Vec<Vec<String>> =
            git.commits.iter().map(|commit| measure.wrap(&commit.tag, column - 1.0)).collect();
        if labels.iter().chain(&tags).any(|lines| measure.widest(lines) > column - 0.2) {
            continue;
        }
        let rows = |all: &[Vec<String>]| all.iter().map(Vec::len).max().unwrap_or(0) as f64 * LINE;
        let lane = 1.6 + rows(&labels) + rows(&tags) + 0.5;
        let size = room.size((left + git.commits.len() as f64 * column, lanes * lane)).min(MAX_SIZE);
        if best.as_ref().is_none_or(|(largest, ..)| size > largest * 1.02) {
            best = Some((size, column, labels, tags));
        }
    }
    let (size, column, labels, tags) = best.filter(|(size, ..)| *size >= MIN_SIZE)?;
    let rows = |all: &[Vec<String>]| all.iter().map(Vec::len).max().unwrap_or(0) as f64 * LINE;
    let above = rows(&tags);
    let lane = 1.6 + rows(&labels) + above + 0.5;
    let column = ((room.width / size - left) / git.commits.len() as f64).clamp(column, 7.0);
    let lane = (room.height / size / lanes).clamp(lane, lane * 1.3);
    let mut canvas = Canvas::new(left + git.commits.len() as f64 * column, lanes * lane, size);
    let lane_of = |branch: usize| used[..branch].iter().filter(|used| **used).count() as f64;
    let x = |commit: usize| left + (commit as f64 + 0.5) * column;
    let y = |branch: usize| lane_of(branch) * lane + above + 1.0;
    for (branch, name) in git.branches.iter().enumerate() {
        let Some(first) = git.commits.iter().position(|commit| commit.branch == branch) else { continue };
        let rect = Rect { x: 0.0, y: y(branch) - 0.8, width: left - 0.6, height: 1.6 };
        canvas.shape(&[first], "stadium", rect, ["first", "second", "third"][branch % 3]);
        canvas.text(&[first], rect, std::slice::from_ref(name), "strong");
    }
    for (at, commit) in git.commits.iter().enumerate() {
        for parent in &commit.parents {
            let (a, b) = ((x(*parent), y(git.commits[*parent].branch)), (x(at), y(commit.branch)));
            let half = (column / 2.0).min((b.0 - a.0) / 2.0);
            // Along the lane of the later branch.
            let lane = git.commits[*parent].branch.max(commit.branch);
            let pieces = if (a.1 - b.1).abs() < 0.01 {
                vec![Piece::Line(b)]
            } else if lane == commit.branch {
                let turn = (a.0 + 2.0 * half, b.1);
                vec![Piece::Curve((a.0 + half, a.1), (a.0 + half, b.1), turn), Piece::Line(b)]
            } else {
                let turn = (b.0 - 2.0 * half, a.1);
                vec![Piece::Line(turn), Piece::Curve((b.0 - half, a.1), (b.0 - half, b.1), b)]
            };
            canvas.path(&[*parent, at], a, &pieces, Line::Thick, LANE_TONES[lane % 3]);
        }
    }
    for (at, commit) in git.commits.iter().enumerate() {
        let middle = (x(at), y(commit.branch));
        canvas.shape(&[at], "circle", Rect::around(middle, (1.0, 1.0)), TONES[commit.branch % 3]);
        let (width, lines) = (column - 0.1, labels[at].len() as f64 * LINE);
        let below = Rect { x: middle.0 - width / 2.0, y: middle.1 + 0.65, width, height: lines };
        canvas.text(&[at], below, &labels[at], "node");
        if !tags[at].is_empty() {
            let size = (measure.widest(&tags[at]) + 0.6, tags[at].len() as f64 * LINE);
            let rect = Rect {
                x: middle.0 - size.0 / 2.0,
                y: middle.1 - 0.75 - size.1,
                width: size.0,
                height: size.1,
            };
            canvas.shape(&[at], "note", rect, "note");
            canvas.text(&[at], rect, &tags[at], "node");
        }
    }
    Some(canvas)
}
