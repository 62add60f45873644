//! Mermaid's `gantt` and `journey`.

use super::text::label;
use super::{Journey, JourneyTask, MAX_ROWS, Plan, Task};

const MAX_SECTIONS: usize = 12;
/// Most days of a plan: a thousand years.
const MAX_DAYS: f64 = 366_000.0;

pub(super) fn read_plan(lines: &[&str]) -> Option<Plan> {
    let mut plan = Plan::default();
    let mut names: Vec<String> = vec![];
    let mut section = None;
    let mut format = "YYYY-MM-DD";
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "section" => {
                if plan.sections.len() >= MAX_SECTIONS {
                    return None;
                }
                plan.sections.push(label(rest)?);
                section = Some(plan.sections.len() - 1);
            }
            "dateFormat" => format = rest.trim(),
            "title" | "axisFormat" | "tickInterval" | "excludes" | "includes" | "todayMarker" | "weekday"
            | "weekend" | "inclusiveEndDates" | "topAxis" | "click" | "accTitle:" | "accDescr:" => {}
            _ => {
                if plan.tasks.len() >= MAX_ROWS {
                    return None;
                }
                // A time of day has colons, too.
                let (words, fields) = line.split_once(" :").or_else(|| line.split_once(':'))?;
                let mut task =
                    Task { label: label(words.trim_end_matches([' ', ':']))?, section, ..Task::default() };
                names.push(read_task(&mut task, fields, &plan.tasks, &names, format)?);
                plan.tasks.push(task);
            }
        }
    }
    let bounded = plan.tasks.iter().all(|task| task.end >= task.start && task.end - task.start <= MAX_DAYS);
    bounded.then_some(plan)
}

/// Reads `crit, done, name, after other, 3d`, and returns the task's name.
fn read_task(
    task: &mut Task,
    fields: &str,
    before: &[Task],
    names: &[String],
    format: &str,
) -> Option<String> {
    let mut rest = vec![];
    for field in fields.split(',').map(str::trim) {
        match field {
            "done" => task.is_done = true,
            "crit" => task.is_critical = true,
            "milestone" => task.is_milestone = true,
            "active" | "vert" => {}
            other => rest.push(other),
        }
    }
    let is_time = |text: &str| date(text, format).is_some() || text.starts_with("after ");
    let (name, start, end) = match rest[..] {
        [name, start, end] => (name, Some(start), Some(end)),
        [start, end] if is_time(start) => ("", Some(start), Some(end)),
        [name, end] => (name, None, Some(end)),
        [start] if is_time(start) => ("", Some(start), None),
        [end] => ("", None, Some(end)),
        _ => return None,
    };
    let follows = before.last().map_or(0.0, |task| task.end);
    task.start = match start {
        Some(text) => match text.strip_prefix("after ") {
            Some(others) => others
                .split_whitespace()
                .filter_map(|other| names.iter().position(|name| name == other))
                .map(|other| before[other].end)
                .fold(None, |latest: Option<f64>, end| Some(latest.map_or(end, |latest| latest.max(end))))
                .unwrap_or(follows),
            None => date(text, format)?,
        },
        None => follows,
    };
    task.end = match end.filter(|end| !end.is_empty()) {
        Some(text) => match duration(text) {
            Some(days) => task.start + days,
            None => date(text, format)?,
        },
        None => task.start + 1.0,
    };
    Some(name.to_owned())
}

/// Reads `3d`, `2w`, `12h`, `30m` as days.
fn duration(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let count: f64 = super::text::number(&text[..unit])?;
    let days = match &text[unit..] {
        "d" => 1.0,
        "w" => 7.0,
        "h" => 1.0 / 24.0,
        "m" | "min" => 1.0 / 1440.0,
        "s" => 1.0 / 86_400.0,
        "M" => 30.0,
        "y" => 365.0,
        _ => return None,
    };
    Some(count * days).filter(|days| (0.0..=MAX_DAYS).contains(days))
}

/// Reads a date as days since 1970-01-01. `format` says the order of its numbers.
fn date(text: &str, format: &str) -> Option<f64> {
    let numbers = |text: &str| {
        text.split(|c: char| !c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse::<u32>().ok())
            .collect::<Option<Vec<u32>>>()
    };
    if text.is_empty() || text.contains(|c: char| c.is_alphabetic() && c != 'T' && c != 'Z') {
        return None;
    }
    let found = numbers(text)?;
    let names = format.split(|c: char| !c.is_alphabetic()).filter(|name| !name.is_empty());
    let (mut year, mut month, mut day, mut hours) = (None, 1, 1, 0.0);
    let mut names: Vec<&str> = names.collect();
    if names.len() < found.len() {
        names.extend(["HH", "mm", "ss"]);
    }
    for (name, value) in names.iter().zip(&found) {
        match *name {
            "YYYY" | "YY" => year = Some(*value),
            "MM" | "M" => month = *value,
            "DD" | "D" => day = *value,
            "HH" | "H" => hours += f64::from(*value),
            "mm" => hours += f64::from(*value) / 60.0,
            _ => {}
        }
    }
    if found.len() < names.len().min(2) {
        return None;
    }
    let is_clock = !format.contains('Y') && format.contains('H');
    let year = if is_clock { 1970 } else { year? };
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && year <= 9999 && hours <= 48.0;
    valid.then(|| f64::from(days_since_1970(year, month, day)) + hours / 24.0)
}

/// Counts days of the proleptic Gregorian calendar. From Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_since_1970(year: u32, month: u32, day: u32) -> i32 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let shifted = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) as i32
}

pub(super) fn read_journey(lines: &[&str]) -> Option<Journey> {
    let mut journey = Journey::default();
    let mut section = None;
    for line in lines {
        if line.starts_with("title ") || line.starts_with("acc") {
            continue;
        }
        if let Some(title) = line.strip_prefix("section ") {
            if journey.sections.len() >= MAX_SECTIONS {
                return None;
            }
            journey.sections.push(label(title)?);
            section = Some(journey.sections.len() - 1);
            continue;
        }
        if journey.tasks.len() >= MAX_ROWS {
            return None;
        }
        let mut fields = line.split(':').map(str::trim);
        let words = label(fields.next()?)?;
        let score: u8 = fields.next()?.parse().ok().filter(|score| (0..=7).contains(score))?;
        let actors = label(fields.next().unwrap_or_default())?;
        journey.tasks.push(JourneyTask { label: words, score: score.clamp(1, 5), actors, section });
    }
    Some(journey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_begin_at_dates_after_others_or_behind_the_last() {
        let lines = [
            "dateFormat DD-MM-YYYY",
            "section A",
            "One :a1, 02-01-1970, 3d",
            "Two : crit, a2, after a1, 1w",
            "Three: done, 2d",
        ];
        let plan = read_plan(&lines).unwrap();
        let times: Vec<(f64, f64)> = plan.tasks.iter().map(|task| (task.start, task.end)).collect();
        assert_eq!(times, [(1.0, 4.0), (4.0, 11.0), (11.0, 13.0)]);
        assert!(plan.tasks[1].is_critical && plan.tasks[2].is_done);
        assert_eq!(date("2024-02-29", "YYYY-MM-DD"), Some(19_782.0));
    }
}
