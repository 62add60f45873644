//! Sequence diagrams: participants side by side, messages from top to bottom.

use reel_scene::diagram::{EdgeEnd, Frame, Line, NoteSide, Sequence, SequenceRow};

use super::canvas::{Canvas, Piece, Rect, head_length};
use super::measure::{LINE, Type};
use super::{MIN_SIZE, Room};

/// Longest lines of messages that are tried, in em.
const LINE_WIDTHS: [f64; 4] = [22.0, 15.0, 11.0, 8.0];
/// Room of a frame's words, above its rows.
const FRAME_HEAD: f64 = 1.55;
const FRAME_FOOT: f64 = 0.45;
const SELF_WIDTH: f64 = 1.6;

struct Layout {
    heads: Vec<Vec<String>>,
    /// Widths of the participants' boxes, and middles of their lines.
    head_widths: Vec<f64>,
    middles: Vec<f64>,
    head_height: f64,
    words: Vec<Vec<String>>,
    /// Widths of the words.
    widths: Vec<f64>,
    /// Top and bottom of each row.
    rows: Vec<(f64, f64)>,
    width: f64,
    height: f64,
}

/// Draws a sequence; `None` when its type would be too small.
pub(super) fn draw(sequence: &Sequence, room: &Room, measure: &Type) -> Option<Canvas> {
    let mut best: Option<(f64, Layout)> = None;
    for width in LINE_WIDTHS {
        let tried = lay_out(sequence, width, measure);
        let size = room.size((tried.width, tried.height));
        if best.as_ref().is_none_or(|(largest, _)| size > largest * 1.03) {
            best = Some((size, tried));
        }
    }
    let (size, mut layout) = best.filter(|(size, _)| *size >= MIN_SIZE)?;
    let stretch = (room.width / size / layout.width).clamp(1.0, 1.5);
    layout.middles.iter_mut().for_each(|middle| *middle *= stretch);
    layout.width *= stretch;
    let taller = (room.height / size / layout.height).clamp(1.0, 1.25);
    layout.rows.iter_mut().for_each(|(top, bottom)| (*top, *bottom) = (*top * taller, *bottom * taller));
    layout.height *= taller;
    Some(paint(sequence, &layout, size))
}

fn lay_out(sequence: &Sequence, line_width: f64, measure: &Type) -> Layout {
    let heads: Vec<Vec<String>> =
        sequence.participants.iter().map(|participant| measure.wrap(&participant.label, 8.0)).collect();
    let head_widths: Vec<f64> = heads.iter().map(|lines| measure.widest(lines) * 1.07 + 1.3).collect();
    let head_height = heads.iter().map(Vec::len).max().unwrap_or(1) as f64 * LINE + 0.8;
    let words: Vec<Vec<String>> =
        sequence.rows.iter().map(|row| measure.wrap(row.text(), line_width)).collect();
    let count = sequence.participants.len();
    // Distances between neighbours.
    let mut gaps: Vec<f64> =
        (1..count).map(|at| (head_widths[at - 1] + head_widths[at]) / 2.0 + 0.6).collect();
    let (mut left, mut right) = (
        head_widths.first().map_or(0.0, |width| width / 2.0),
        head_widths.last().map_or(0.0, |width| width / 2.0),
    );
    // Rows between near participants first: they leave less choice.
    let mut needs: Vec<(usize, usize, f64)> = vec![];
    for (row, lines) in sequence.rows.iter().zip(&words) {
        let width = measure.widest(lines);
        match row {
            SequenceRow::Message { from, to, .. } if from == to => {
                needs.push((*from, from + 1, width + SELF_WIDTH + 0.6))
            }
            SequenceRow::Message { from, to, .. } => needs.push((*from.min(to), *from.max(to), width + 1.6)),
            SequenceRow::Note { over: [first, last], side: NoteSide::Over, .. } if first != last => {
                needs.push((*first, *last, width - 0.6))
            }
            SequenceRow::Note { over: [at, _], side: NoteSide::Over, .. } => {
                let half = (width + 1.0) / 2.0 + 0.3;
                match at.checked_sub(1) {
                    Some(before) => needs.push((before, *at, half)),
                    None => left = left.max(half),
                }
                needs.push((*at, at + 1, half));
            }
            SequenceRow::Note { over: [at, _], side: NoteSide::Right, .. } => {
                needs.push((*at, at + 1, width + 1.7))
            }
            SequenceRow::Note { over: [at, _], side: NoteSide::Left, .. } => match at.checked_sub(1) {
                Some(before) => needs.push((before, *at, width + 1.7)),
                None => left = left.max(width + 1.7),
            },
        }
    }
    needs.sort_by_key(|(first, last, _)| last - first);
    for (first, last, width) in needs {
        if last >= count {
            right = right.max(width);
            continue;
        }
        let missing = width - gaps[first..last].iter().sum::<f64>();
        if missing > 0.0 {
            gaps[first..last].iter_mut().for_each(|gap| *gap += missing / (last - first) as f64);
        }
    }
    let depth = sequence.frames.iter().map(|frame| frame.depth + 1).max().unwrap_or(0) as f64;
    let margin = if depth > 0.0 { 0.4 + 0.4 * depth } else { 0.0 };
    let mut middles = vec![left + margin];
    for gap in &gaps {
        middles.push(middles.last().copied().unwrap_or(0.0) + gap);
    }
    let width = middles.last().copied().unwrap_or(0.0) + right + margin;
    let mut rows = vec![];
    let mut at = head_height + 0.35;
    for (index, (row, lines)) in sequence.rows.iter().zip(&words).enumerate() {
        let begins =
            sequence.frames.iter().flat_map(|frame| &frame.parts).filter(|(row, _)| *row == index).count();
        at += begins as f64 * FRAME_HEAD;
        let text = lines.len() as f64 * LINE;
        let height = match row {
            SequenceRow::Message { from, to, .. } if from == to => text.max(1.1) + 0.4,
            SequenceRow::Message { .. } => text + 0.45,
            SequenceRow::Note { .. } => text + 0.8,
        };
        rows.push((at, at + height));
        let ends = sequence.frames.iter().filter(|frame| frame.end == index + 1).count();
        at += height + ends as f64 * FRAME_FOOT;
    }
    let widths = words.iter().map(|lines| measure.widest(lines)).collect();
    Layout { heads, head_widths, middles, head_height, words, widths, rows, width, height: at + 0.3 }
}

fn paint(sequence: &Sequence, layout: &Layout, size: f64) -> Canvas {
    let mut canvas = Canvas::new(layout.width, layout.height, size);
    for frame in &sequence.frames {
        paint_frame_box(&mut canvas, frame, layout);
    }
    for (at, lines) in layout.heads.iter().enumerate() {
        let middle = layout.middles[at];
        canvas.path(
            &[],
            (middle, layout.head_height),
            &[Piece::Line((middle, layout.height))],
            Line::Dashed,
            "rule",
        );
        let rect = Rect {
            x: middle - layout.head_widths[at] / 2.0,
            y: 0.0,
            width: layout.head_widths[at],
            height: layout.head_height,
        };
        let is_actor = sequence.participants[at].is_actor;
        canvas.shape(
            &[],
            if is_actor { "stadium" } else { "round" },
            rect,
            if is_actor { "second" } else { "first" },
        );
        canvas.text(&[], rect, lines, "strong");
    }
    for frame in &sequence.frames {
        paint_frame_words(&mut canvas, frame, layout);
    }
    for (at, row) in sequence.rows.iter().enumerate() {
        paint_row(&mut canvas, at, row, layout);
    }
    canvas
}

/// Returns the rectangle of a frame. It is as wide as the diagram.
fn frame_rect(frame: &Frame, layout: &Layout) -> Option<Rect> {
    let (first, _) = frame.parts.first()?;
    let top = layout.rows.get(*first)?.0 - FRAME_HEAD * 0.95;
    let bottom = layout.rows.get(frame.end.checked_sub(1)?)?.1 + FRAME_FOOT * 0.6;
    let inset = 0.4 * frame.depth as f64;
    Some(Rect { x: inset, y: top, width: layout.width - 2.0 * inset, height: bottom - top })
}

fn paint_frame_box(canvas: &mut Canvas, frame: &Frame, layout: &Layout) {
    let (Some(rect), Some((first, _))) = (frame_rect(frame, layout), frame.parts.first()) else { return };
    canvas.shape(&[*first], if frame.depth == 0 { "group" } else { "inner-group" }, rect, "group");
}

fn paint_frame_words(canvas: &mut Canvas, frame: &Frame, layout: &Layout) {
    let Some(rect) = frame_rect(frame, layout) else { return };
    for (at, (row, words)) in frame.parts.iter().enumerate() {
        let Some((top, _)) = layout.rows.get(*row) else { continue };
        let top = top - FRAME_HEAD;
        if at > 0 {
            canvas.path(
                &[*row],
                (rect.x, top + 0.1),
                &[Piece::Line((rect.x + rect.width, top + 0.1))],
                Line::Dashed,
                "rule",
            );
        }
        let text = if at == 0 { format!("{} {words}", frame.kind) } else { words.clone() };
        let line = Rect { x: rect.x + 0.5, y: top + 0.12, width: rect.width - 1.0, height: LINE };
        canvas.text(&[*row], line, &[text], "frame");
    }
}

fn paint_row(canvas: &mut Canvas, at: usize, row: &SequenceRow, layout: &Layout) {
    let ((top, bottom), lines) = (layout.rows[at], &layout.words[at]);
    let height = lines.len() as f64 * LINE;
    match row {
        SequenceRow::Message { from, to, line, head, .. } if from == to => {
            let x = layout.middles[*from];
            let (first, last) = (top + 0.25, bottom - 0.3);
            let end = x + head_length(*head);
            let out = x + SELF_WIDTH;
            canvas.path(
                &[at],
                (x, first),
                &[Piece::Curve((out, first), (out, last), (end, last))],
                *line,
                "line",
            );
            canvas.head(&[at], *head, (x, last), (-1.0, 0.0));
            let rect =
                Rect { x: x + SELF_WIDTH * 0.85, y: top, width: layout.widths[at], height: bottom - top };
            canvas.text(&[at], rect, lines, "start");
        }
        SequenceRow::Message { from, to, line, head, .. } => {
            let (a, b) = (layout.middles[*from], layout.middles[*to]);
            let way = if b > a { 1.0 } else { -1.0 };
            let y = bottom - 0.25;
            let end = b - way * head_length(*head);
            canvas.path(&[at], (a, y), &[Piece::Line((end, y))], *line, "line");
            let tip = if *head == EdgeEnd::Cross { b - way * 0.3 } else { b };
            canvas.head(&[at], *head, (tip, y), (way, 0.0));
            let rect = Rect { x: a.min(b), y: y - 0.2 - height, width: (a - b).abs(), height };
            canvas.text(&[at], rect, lines, "message");
        }
        SequenceRow::Note { over: [first, last], side, .. } => {
            let (a, b) = (layout.middles[*first], layout.middles[*last]);
            let width = layout.widths[at] + 1.0;
            let (x, width) = match side {
                NoteSide::Over if first != last => (a - 0.8, b - a + 1.6),
                NoteSide::Over => (a - width / 2.0, width),
                NoteSide::Right => (a + 0.5, width),
                NoteSide::Left => (a - 0.5 - width, width),
            };
            let rect = Rect { x, y: top + 0.15, width, height: height + 0.5 };
            canvas.shape(&[at], "note", rect, "note");
            canvas.text(&[at], rect, lines, "node");
        }
    }
}
