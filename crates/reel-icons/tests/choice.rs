//! How often the icon that is chosen for a phrase is one of those that people found right.
//!
//! A row of `data/icons.tsv` is a phrase, the icons that are right for it (`*` stands for any ending, `-` for none), and `aside` for
//! those that nobody looks at when the thesaurus is changed. The phrases are older than the thesaurus, but of the same
//! hand, so the figures flatter: of 45 sentences written afterwards, four in five of the icons shown were right at first.
//!
//! `cargo nextest run -p reel-icons --no-capture -E 'test(phrases)'` lists what went wrong among the phrases that may be looked at.

use std::collections::HashMap;

const PHRASES: &str = include_str!("data/icons.tsv");

#[derive(Default, Debug)]
struct Tally {
    right: usize,
    wrong: usize,
    /// None shown, although one would have been right.
    missing: usize,
    /// None shown, rightly.
    silent: usize,
}

impl Tally {
    /// Share of the icons shown that are right.
    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong) as f64
    }

    /// Share of the phrases with a fitting icon that are given one.
    fn coverage(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong + self.missing) as f64
    }
}

struct Row {
    phrase: &'static str,
    right: Vec<&'static str>,
    is_aside: bool,
    field: &'static str,
}

fn rows() -> Vec<Row> {
    let mut field = "";
    let mut rows = Vec::new();
    for line in PHRASES.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            field = name;
            continue;
        }
        let mut cells = line.split('\t');
        rows.push(Row {
            phrase: cells.next().unwrap_or_default(),
            right: cells.next().unwrap_or_default().split(',').collect(),
            is_aside: cells.next() == Some("aside"),
            field,
        });
    }
    rows
}

impl Row {
    fn allows(&self, name: &str) -> bool {
        self.right.iter().any(|right| match right.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *right,
        })
    }
}

#[test]
fn icons_of_phrases_are_right_where_one_is_shown() {
    let rows = rows();
    assert_eq!((rows.len(), rows.iter().filter(|row| row.is_aside).count()), (300, 100));
    let mut scripts: HashMap<&str, String> = HashMap::new();
    for row in &rows {
        let script = scripts.entry(row.field).or_default();
        script.push_str(row.phrase);
        script.push_str(".\n");
    }
    let mut tallies = [Tally::default(), Tally::default()];
    for row in &rows {
        let tally = &mut tallies[usize::from(row.is_aside)];
        let choice = reel_icons::choose(row.phrase, &scripts[row.field]);
        match &choice {
            Some(choice) if row.allows(choice.name) => tally.right += 1,
            Some(_) => tally.wrong += 1,
            None if row.right == ["-"] => tally.silent += 1,
            None => tally.missing += 1,
        }
        if !row.is_aside && choice.as_ref().map_or(row.right != ["-"], |choice| !row.allows(choice.name)) {
            println!("{}: {:?}, not {:?}", row.phrase, choice.map(|choice| choice.name), row.right);
        }
    }
    for (tally, name) in tallies.iter().zip(["tuned", "aside"]) {
        println!("{name}: {tally:?}, precision {:.3}, coverage {:.3}", tally.precision(), tally.coverage());
    }
    for tally in &tallies {
        assert!(tally.precision() >= 0.9, "{tally:?}");
        assert!(tally.coverage() >= 0.85, "{tally:?}");
    }
}
