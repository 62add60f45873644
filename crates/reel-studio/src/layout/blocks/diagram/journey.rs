//! Journeys: steps from left to right, each as high as it felt.

use reel_scene::diagram::{Journey, Line};

use super::canvas::{Canvas, Piece, Rect};
use super::measure::{LINE, Type};
use super::{MIN_SIZE, Room};

const SIZES: [f64; 8] = [44.0, 42.0, 40.0, 38.0, 36.0, 34.0, 31.0, 28.0];
/// Height of the field of scores, in em.
const FIELD: std::ops::RangeInclusive<f64> = 6.0..=11.0;

/// Draws a journey; `None` when its type would be too small.
pub(super) fn draw(journey: &Journey, room: &Room, measure: &Type) -> Option<Canvas> {
    SIZES.into_iter().filter(|size| *size >= MIN_SIZE).find_map(|size| try_size(journey, room, measure, size))
}

fn try_size(journey: &Journey, room: &Room, measure: &Type, size: f64) -> Option<Canvas> {
    let (width, full) = (room.width / size, room.height / size);
    let column = width / journey.tasks.len() as f64;
    let names: Vec<Vec<String>> =
        journey.tasks.iter().map(|task| measure.wrap(&task.label, column - 0.8)).collect();
    let actors: Vec<Vec<String>> =
        journey.tasks.iter().map(|task| measure.wrap(&task.actors, column - 0.8)).collect();
    let titles: Vec<Vec<String>> = (0..journey.sections.len())
        .map(|section| {
            let columns = journey.tasks.iter().filter(|task| task.section == Some(section)).count();
            measure.wrap(&journey.sections[section], columns as f64 * column - 1.2)
        })
        .collect();
    let fits = names.iter().chain(&actors).all(|lines| measure.widest(lines) <= column - 0.5);
    let tallest = |all: &[Vec<String>]| all.iter().map(Vec::len).max().unwrap_or(0) as f64 * LINE;
    let (top, below, people) = (tallest(&titles), tallest(&names), tallest(&actors));
    let head = if journey.sections.is_empty() { 0.0 } else { top + 0.9 };
    let foot = below + people + 0.7;
    let field = (full - head - foot).min(*FIELD.end());
    if !fits || field < *FIELD.start() {
        return None;
    }
    let mut canvas = Canvas::new(width, head + field + foot, size);
    let middle = |at: usize| (at as f64 + 0.5) * column;
    let y = |score: u8| head + 0.9 + (field - 1.8) * (1.0 - (f64::from(score) - 1.0) / 4.0);
    for (section, lines) in titles.iter().enumerate() {
        let of_section = |task: &reel_scene::diagram::JourneyTask| task.section == Some(section);
        let Some(first) = journey.tasks.iter().position(of_section) else { continue };
        let count = journey.tasks.iter().filter(|task| of_section(task)).count() as f64;
        let rect = Rect {
            x: first as f64 * column + 0.15,
            y: 0.0,
            width: count * column - 0.3,
            height: canvas.height,
        };
        canvas.shape(&[first], "group", rect, "group");
        canvas.text(&[first], Rect { y: 0.1, height: head, ..rect }, lines, "middle-title");
    }
    for at in 1..journey.tasks.len() {
        let (a, b) =
            ((middle(at - 1), y(journey.tasks[at - 1].score)), (middle(at), y(journey.tasks[at].score)));
        let half = (b.0 - a.0) / 2.0;
        canvas.path(
            &[at - 1, at],
            a,
            &[Piece::Curve((a.0 + half, a.1), (b.0 - half, b.1), b)],
            Line::Thick,
            "line",
        );
    }
    for (at, task) in journey.tasks.iter().enumerate() {
        let tone = match task.score {
            4.. => "filled-third",
            3 => "filled-first",
            _ => "filled-second",
        };
        let face = Rect::around((middle(at), y(task.score)), (1.7, 1.7));
        canvas.shape(&[at], "circle", face, tone);
        canvas.text(&[at], face, &[task.score.to_string()], "on-filled");
        let x = at as f64 * column;
        canvas.text(
            &[at],
            Rect { x, y: head + field, width: column, height: names[at].len() as f64 * LINE },
            &names[at],
            "node",
        );
        let row =
            Rect { x, y: head + field + below + 0.2, width: column, height: actors[at].len() as f64 * LINE };
        canvas.text(&[at], row, &actors[at], "quiet");
    }
    Some(canvas)
}
