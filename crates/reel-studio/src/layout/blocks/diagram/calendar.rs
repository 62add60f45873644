//! Plans: a bar for each task, over days.

use reel_scene::diagram::{Line, Plan};

use super::canvas::{Canvas, Piece, Rect};
use super::measure::{LINE, Texts, Type};
use super::{MAX_SIZE, MIN_SIZE, Room};

/// Longest lines of names, in em.
const NAME_WIDTHS: [f64; 3] = [16.0, 12.0, 9.0];
/// Steps between marks, in days: hours, days, weeks, months, years.
const STEPS: [f64; 16] = [
    1.0 / 24.0,
    1.0 / 8.0,
    0.25,
    0.5,
    1.0,
    2.0,
    7.0,
    14.0,
    30.4375,
    60.875,
    91.3125,
    182.625,
    365.25,
    1826.25,
    3652.5,
    36_525.0,
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Draws a plan; `None` when its type would be too small.
pub(super) fn draw(plan: &Plan, room: &Room, measure: &Type) -> Option<Canvas> {
    let first = plan.tasks.iter().map(|task| task.start).fold(f64::MAX, f64::min);
    let last = plan.tasks.iter().map(|task| task.end).fold(f64::MIN, f64::max);
    let span = (last - first).max(1.0 / 24.0);
    let section_widths = plan.sections.iter().map(|title| measure.bold_width(title));
    let is_titled = !plan.sections.is_empty();
    let mut best: Option<(f64, Texts, f64, Vec<f64>)> = None;
    for width in NAME_WIDTHS {
        let names: Vec<Vec<String>> =
            plan.tasks.iter().map(|task| measure.wrap(&task.label, width)).collect();
        let heights: Vec<f64> = names.iter().map(|lines| lines.len().max(1) as f64 * LINE + 0.45).collect();
        let titles = if is_titled { plan.sections.len() as f64 * 1.6 } else { 0.0 };
        let height = heights.iter().sum::<f64>() + titles + 1.9;
        let size = (room.height / height).min(MAX_SIZE).min(room.width / (width + 18.0));
        if best.as_ref().is_none_or(|(largest, ..)| size > largest * 1.05) {
            let widest = names.iter().map(|lines| measure.widest(lines)).fold(0.0, f64::max);
            best = Some((size, names, widest.max(section_widths.clone().fold(0.0, f64::max)) + 1.0, heights));
        }
    }
    let (size, names, left, heights) = best.filter(|(size, ..)| *size >= MIN_SIZE)?;
    let (width, full) = (room.width / size, room.height / size);
    let titles = if is_titled { plan.sections.len() as f64 * 1.6 } else { 0.0 };
    let spare = ((full - 1.9 - titles) / heights.iter().sum::<f64>()).clamp(1.0, 1.45);
    let right = width - 0.8;
    let x = |day: f64| left + (day - first) / span * (right - left);
    let mut canvas = Canvas::new(width, 0.0, size);
    let mut at = 0.0;
    let mut marks = vec![];
    let mut shown = None;
    for (index, task) in plan.tasks.iter().enumerate() {
        if is_titled && task.section != shown {
            shown = task.section;
            if let Some(title) = shown.and_then(|section| plan.sections.get(section)) {
                let row = Rect { x: 0.0, y: at, width: right, height: 1.6 };
                canvas.text(&[index], row, std::slice::from_ref(title), "title");
                at += 1.6;
            }
        }
        let height = heights[index] * spare;
        canvas.text(&[index], Rect { x: 0.0, y: at, width: left - 0.6, height }, &names[index], "start");
        let (from, to) = (x(task.start), x(task.end));
        let bar = (height - 0.45).min(1.5);
        let tone = match (task.is_critical, task.is_done) {
            (true, _) => "filled-second",
            (_, true) => "filled-quiet",
            _ => "filled-first",
        };
        if task.is_milestone {
            marks.push((
                index,
                "milestone",
                Rect::around((from, at + height / 2.0), (1.1, 1.1)),
                "filled-third",
            ));
        } else {
            marks.push((
                index,
                "span",
                Rect { x: from, y: at + (height - bar) / 2.0, width: (to - from).max(0.3), height: bar },
                tone,
            ));
        }
        at += height;
    }
    paint_days(&mut canvas, (first, span), at, left, right, measure);
    for (index, shape, rect, tone) in marks {
        canvas.shape(&[index], shape, rect, tone);
    }
    canvas.height = at + 1.7;
    Some(canvas)
}

/// Draws the days below, with a line up from each.
fn paint_days(
    canvas: &mut Canvas,
    (first, span): (f64, f64),
    bottom: f64,
    left: f64,
    right: f64,
    measure: &Type,
) {
    let most = ((right - left) / 5.0).clamp(2.0, 8.0);
    let step = STEPS.into_iter().find(|step| span / step <= most).unwrap_or(span);
    let mut day = (first / step).ceil() * step;
    if step >= 1.0 {
        day = day.ceil();
    }
    let mut ends = -1.0;
    for _ in 0..12 {
        let x = left + (day - first) / span * (right - left);
        if day > first + span + 1e-6 {
            break;
        }
        let words = day_words(day, step);
        let width = measure.width(&words);
        canvas.path(&[], (x, 0.0), &[Piece::Line((x, bottom + 0.2))], Line::Solid, "rule");
        let middle = x.min(right + 0.8 - width / 2.0);
        if middle - width / 2.0 > ends {
            canvas.text(
                &[],
                Rect { x: middle - width / 2.0, y: bottom + 0.3, width, height: LINE },
                &[words],
                "quiet",
            );
            ends = middle + width / 2.0 + 0.4;
        }
        day += step;
    }
}

/// Writes a day as far as the steps need it.
fn day_words(day: f64, step: f64) -> String {
    let (year, month, date) = civil(day.floor() as i64);
    let month = MONTHS[(month as usize).clamp(1, 12) - 1];
    let minutes = ((day - day.floor()) * 1440.0).round() as i64;
    if step < 1.0 {
        format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
    } else if step < 30.0 {
        format!("{date} {month}")
    } else if step < 360.0 {
        format!("{month} {year}")
    } else {
        year.to_string()
    }
}

/// Returns year, month and day of a day since 1970-01-01. From Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
