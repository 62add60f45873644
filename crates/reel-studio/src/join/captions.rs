//! Captions and chapters: the narration with its times, as WebVTT, as SubRip, and as a track of the file. WebVTT has the time of
//! each word, too, and the language.

use std::fmt::Write;

use reel_scene::{Scene, SceneTimeline, WordTime};

use crate::speak::languages;
use reel_scene::timing::LEAD_IN_MS;

/// Longest line of a caption, and most lines of one.
pub const MAX_LINE_CHARACTERS: usize = 42;
pub const MAX_LINES: usize = 2;
/// Bounds of the time that a caption is shown.
pub const MIN_DURATION_MS: u64 = 1000;
pub const MAX_DURATION_MS: u64 = 7000;

/// One caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Milliseconds from the beginning of the video, like `end_ms`.
    pub start_ms: u64,
    pub end_ms: u64,
    /// One or two lines.
    pub text: String,
    /// The words that begin in it, in order. Empty where the times of the words are not known.
    pub words: Vec<CaptionWord>,
    /// The language as a BCP 47 tag.
    pub language: String,
}

/// A word of a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptionWord {
    /// Index of its first byte in the caption's text.
    pub offset: usize,
    /// Milliseconds from the beginning of the video.
    pub start_ms: u64,
}

impl Caption {
    fn duration_ms(&self) -> u64 {
        self.end_ms - self.start_ms
    }
}

/// A titled part of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    pub start_ms: u64,
    pub end_ms: u64,
    pub title: String,
}

/// Returns a chapter for each scene. Consecutive scenes with the same title share one, and a scene without a title goes on with the
/// chapter before it.
pub fn chapters<'a>(scenes: impl IntoIterator<Item = (&'a Scene, &'a SceneTimeline)>) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = vec![];
    let mut frames = 0;
    for (scene, timeline) in scenes {
        let start_ms = frames_to_ms(frames, timeline.fps);
        frames += u64::from(timeline.frames);
        let end_ms = frames_to_ms(frames, timeline.fps);
        match chapters.last_mut() {
            Some(last) if last.title == scene.title || scene.title.is_empty() => last.end_ms = end_ms,
            _ => chapters.push(Chapter { start_ms, end_ms, title: scene.title.clone() }),
        }
    }
    chapters
}

/// Returns the whole narration as captions within the bounds above, none of them overlapping. The caption of a line
/// shorter than a second stays during the pause after it.
pub fn captions<'a>(scenes: impl IntoIterator<Item = (&'a Scene, &'a SceneTimeline)>) -> Vec<Caption> {
    let mut captions: Vec<Caption> = vec![];
    let mut frames = 0;
    for (scene, timeline) in scenes {
        for (index, (step, timing)) in scene.steps.iter().zip(&timeline.steps).enumerate() {
            let lead_in = if index == 0 { LEAD_IN_MS } else { 0 };
            let start = frames_to_ms(frames + u64::from(timing.start_frame), timeline.fps) + lead_in;
            let end_of_step =
                frames_to_ms(frames + u64::from(timing.start_frame + timing.frames), timeline.fps);
            let end = (start + u64::from(timing.speech_ms)).min(end_of_step);
            let line = Line {
                narration: &step.narration,
                language: languages::of_scene(&scene.language),
                words: &timing.words,
            };
            captions.extend(line.captions(start, end, end_of_step));
        }
        frames += u64::from(timeline.frames);
    }
    extend_short_captions(captions)
}

/// Brings captions to [`MIN_DURATION_MS`], as far as their neighbours allow. A short caption takes time from the pauses
/// around it, then from longer neighbours; failing that, it merges with a neighbour.
fn extend_short_captions(mut captions: Vec<Caption>) -> Vec<Caption> {
    let mut at = 0;
    while at < captions.len() {
        extend_caption(&mut captions, at);
        let is_short = captions[at].duration_ms() < MIN_DURATION_MS;
        let merge = |first: usize| -> Option<Caption> {
            let (one, next) = (captions.get(first)?, captions.get(first + 1)?);
            let text = format!("{} {}", one.text, next.text).replace('\n', " ");
            let fits = fits_lines(&text) && next.end_ms - one.start_ms <= MAX_DURATION_MS;
            let shift = one.text.len() + 1;
            let shifted = next.words.iter().map(|word| CaptionWord { offset: word.offset + shift, ..*word });
            (fits && one.language == next.language).then(|| Caption {
                start_ms: one.start_ms,
                end_ms: next.end_ms,
                // Line breaks are as long as the spaces that they replace.
                text: break_lines(&text),
                words: one.words.iter().copied().chain(shifted).collect(),
                language: one.language.clone(),
            })
        };
        let pairs = [at.checked_sub(1), Some(at)].into_iter().flatten().filter(|_| is_short);
        match pairs.map(|first| (first, merge(first))).find(|(_, merged)| merged.is_some()) {
            Some((first, merged)) => {
                captions.splice(first..first + 2, merged);
                at = first;
            }
            None => at += 1,
        }
    }
    captions
}

fn extend_caption(captions: &mut [Caption], at: usize) {
    let missing = |captions: &[Caption]| MIN_DURATION_MS.saturating_sub(captions[at].duration_ms());
    let spare = |caption: &Caption| caption.duration_ms().saturating_sub(MIN_DURATION_MS);
    if let Some(next) = captions.get(at + 1) {
        let pause = next.start_ms - captions[at].end_ms;
        captions[at].end_ms += missing(captions).min(pause);
    }
    if let Some(before) = at.checked_sub(1) {
        let pause = captions[at].start_ms - captions[before].end_ms;
        let taken = missing(captions).min(pause + spare(&captions[before]));
        captions[at].start_ms -= taken;
        captions[before].end_ms -= taken.saturating_sub(pause);
    }
    if at + 1 < captions.len() {
        let taken = missing(captions).min(spare(&captions[at + 1]));
        captions[at + 1].start_ms += taken;
        captions[at].end_ms += taken;
    }
}

fn frames_to_ms(frames: u64, fps: u32) -> u64 {
    frames * 1000 / u64::from(fps)
}

/// A spoken line.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    narration: &'a str,
    language: &'a str,
    words: &'a [WordTime],
}

impl Line<'_> {
    /// Splits the line into captions. Each begins with its first word; without the times of words, captions share the time in
    /// proportion to their characters. The last one stays until `latest` at most.
    fn captions(self, start: u64, end: u64, latest: u64) -> Vec<Caption> {
        let spoken = end - start;
        let most = (MAX_LINE_CHARACTERS * MAX_LINES).min(self.narration.chars().count().max(1));
        // As few captions as the longest duration and the room of a caption allow.
        let by_time = spoken.div_ceil(MAX_DURATION_MS).max(1) as usize;
        let by_room = self.narration.chars().count().div_ceil(most);
        let pieces = split_text(self.narration, by_time.max(by_room));
        let all: u64 = pieces.iter().map(|piece| piece.chars().count() as u64).sum::<u64>().max(1);
        let texts: Vec<String> = pieces.iter().map(|piece| break_lines(piece)).collect();
        let words = self.place_words(&texts, start, end);
        let mut starts = vec![];
        let mut spoken_characters = 0;
        for (piece, words) in pieces.iter().zip(&words) {
            let by_characters = start + spoken * spoken_characters / all;
            let by_word = words.first().filter(|_| spoken_characters > 0).map(|word| word.start_ms);
            starts.push(by_word.unwrap_or(by_characters).max(starts.last().copied().unwrap_or(start)));
            spoken_characters += piece.chars().count() as u64;
        }
        let mut captions = vec![];
        for (index, (text, words)) in texts.into_iter().zip(words).enumerate() {
            let from = starts[index];
            let to = match starts.get(index + 1) {
                Some(next) => *next,
                None => end.max((from + MIN_DURATION_MS).min(latest)),
            };
            let end_ms = to.min(from + MAX_DURATION_MS);
            captions.push(Caption {
                start_ms: from,
                end_ms,
                text,
                words,
                language: self.language.to_owned(),
            });
        }
        captions
    }

    /// Finds the words in the texts of the captions, which have the characters of the line, but other white space.
    fn place_words(self, texts: &[String], start: u64, end: u64) -> Vec<Vec<CaptionWord>> {
        // The number of characters before each word, without white space.
        let mut places = self.words.iter().peekable();
        let mut numbered = vec![];
        let visible = self.narration.char_indices().filter(|(_, c)| !c.is_whitespace());
        for (characters, (at, _)) in visible.enumerate() {
            while let Some(word) = places.next_if(|word| word.offset as usize <= at) {
                numbered.push((characters, (start + u64::from(word.start_ms)).min(end)));
            }
        }
        let mut numbered = numbered.into_iter().peekable();
        let mut characters = 0;
        let mut placed = vec![];
        for text in texts {
            let mut words = vec![];
            for (offset, _) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                while let Some((_, start_ms)) = numbered.next_if(|(place, _)| *place <= characters) {
                    words.push(CaptionWord { offset, start_ms });
                }
                characters += 1;
            }
            placed.push(words);
        }
        placed
    }
}

/// Splits a text at spaces into about `count` pieces of similar length that each fit a caption. Prefers the end of a
/// clause where one is near.
fn split_text(text: &str, count: usize) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().flat_map(split_word).collect();
    let total: usize = words.iter().map(|word| word.chars().count() + 1).sum();
    let ideal = total.div_ceil(count.max(1));
    let mut pieces: Vec<String> = vec![];
    let mut current = String::new();
    for (index, word) in words.iter().enumerate() {
        let fits = fits_lines(&format!("{current} {word}"));
        let length = current.chars().count();
        let ends_clause =
            current.ends_with([',', ';', ':', '.', '!', '?', '。', '、']) && length * 10 >= ideal * 7;
        let rest: usize = words[index..].iter().map(|word| word.chars().count() + 1).sum();
        let enough = length >= ideal || ends_clause && rest >= MAX_LINE_CHARACTERS / 2;
        if !current.is_empty() && (!fits || enough) {
            pieces.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    if !current.is_empty() {
        pieces.push(current);
    }
    pieces
}

/// Splits a word, or a text without spaces, into pieces that fit a line.
fn split_word(word: &str) -> Vec<&str> {
    let mut pieces = vec![];
    let mut rest = word;
    while let Some((at, _)) = rest.char_indices().nth(MAX_LINE_CHARACTERS) {
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

fn fits_lines(text: &str) -> bool {
    break_lines(text).lines().all(|line| line.chars().count() <= MAX_LINE_CHARACTERS)
}

/// Breaks a text that does not fit one line into two lines of similar length.
fn break_lines(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= MAX_LINE_CHARACTERS {
        return text.to_owned();
    }
    let uneven = |at: &usize| {
        let (first, second) = (text[..*at].chars().count(), text[at + 1..].chars().count());
        let over = first.max(second).saturating_sub(MAX_LINE_CHARACTERS);
        (over, first.abs_diff(second))
    };
    let spaces = text.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at);
    match spaces.min_by_key(uneven) {
        Some(at) => format!("{}\n{}", &text[..at], &text[at + 1..]),
        None => text.to_owned(),
    }
}

/// Returns the language in which most is said, as a BCP 47 tag; empty without captions.
pub fn main_language(captions: &[Caption]) -> &str {
    let mut spoken: Vec<(&str, usize)> = vec![];
    for caption in captions {
        let characters = caption.text.chars().count();
        match spoken.iter_mut().find(|(language, _)| *language == caption.language) {
            Some((_, all)) => *all += characters,
            None => spoken.push((&caption.language, characters)),
        }
    }
    // Of two, the first.
    spoken.iter().rev().max_by_key(|(_, characters)| *characters).map_or("", |(language, _)| *language)
}

/// Formats captions as WebVTT (W3C, section 4), in UTF-8, with a timestamp tag before each word after the first. The header says
/// the language; captions in another have a language tag.
pub fn web_vtt(captions: &[Caption]) -> String {
    let main = main_language(captions);
    let mut text = String::from("WEBVTT\n");
    if !main.is_empty() {
        // Writing into a string cannot fail.
        let _written = writeln!(text, "Kind: captions\nLanguage: {main}");
    }
    for caption in captions {
        let (start, end) = (format_time(caption.start_ms, '.'), format_time(caption.end_ms, '.'));
        let shown = timed_text(caption);
        let is_other = caption.language != main && !caption.language.is_empty();
        let (opening, closing) = match is_other {
            true => (format!("<lang {}>", caption.language), "</lang>"),
            false => (String::new(), ""),
        };
        let _written = write!(text, "\n{start} --> {end}\n{opening}{shown}{closing}\n");
    }
    text
}

/// Returns the text of a caption with a timestamp tag before each word. Timestamps rise, and lie between the caption's beginning and
/// its end, as the format demands; a word that would break this has none.
fn timed_text(caption: &Caption) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (mut text, mut done, mut latest) = (String::new(), 0, caption.start_ms);
    for word in &caption.words {
        if word.start_ms > latest && word.start_ms < caption.end_ms && word.offset >= done {
            text.push_str(&escape(&caption.text[done..word.offset]));
            let _written = write!(text, "<{}>", format_time(word.start_ms, '.'));
            (done, latest) = (word.offset, word.start_ms);
        }
    }
    text.push_str(&escape(&caption.text[done..]));
    text
}

/// Formats captions as SubRip, in UTF-8.
pub fn sub_rip(captions: &[Caption]) -> String {
    let mut text = String::new();
    for (number, caption) in (1..).zip(captions) {
        let (start, end) = (format_time(caption.start_ms, ','), format_time(caption.end_ms, ','));
        let _written = write!(text, "{number}\n{start} --> {end}\n{}\n\n", caption.text);
    }
    text
}

fn format_time(ms: u64, point: char) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::{Step, StepTiming};

    fn scene(title: &str, lines: &[(&str, u32)]) -> (Scene, SceneTimeline) {
        let steps = lines.iter().map(|(line, _)| Step::new(*line, vec![])).collect();
        let mut start_frame = 0;
        let timings = lines.iter().enumerate().map(|(index, (_, ms))| {
            let lead_in = if index == 0 { 12 } else { 0 };
            let frames = ms * 30 / 1000 + 11 + lead_in;
            let timing = StepTiming { start_frame, frames, speech_ms: *ms, words: vec![] };
            start_frame += frames;
            timing
        });
        let timings = timings.collect();
        let scene = Scene { title: title.into(), steps, ..Scene::default() };
        (scene, SceneTimeline { fps: 30, frames: start_frame, steps: timings })
    }

    fn captions_of_scenes(scenes: &[(Scene, SceneTimeline)]) -> Vec<Caption> {
        captions(scenes.iter().map(|(scene, timeline)| (scene, timeline)))
    }

    #[test]
    fn captions_keep_their_bounds_and_hold_the_whole_narration() {
        let long = "First, the charger pulls electrons out of the cathode, and the ions leave it and cross the \
                    separator, until finally they slip between the sheets of graphite, where the electrons are \
                    waiting for them in the dark.";
        let scenes = [
            scene(
                "One",
                &[
                    ("Ions move.", 700),
                    (long, 14_200),
                    ("Nothing is burned, and almost nothing is used up.", 3100),
                ],
            ),
            scene("Two", &[(&"x".repeat(130), 9000), ("電池".repeat(40).as_str(), 8000), ("Done.", 300)]),
        ];
        let captions = captions_of_scenes(&scenes);
        for caption in &captions {
            let length = caption.end_ms - caption.start_ms;
            assert!((MIN_DURATION_MS..=MAX_DURATION_MS).contains(&length), "{caption:?}");
            assert!(caption.text.lines().count() <= MAX_LINES, "{caption:?}");
            assert!(
                caption.text.lines().all(|line| line.chars().count() <= MAX_LINE_CHARACTERS),
                "{caption:?}"
            );
        }
        for pair in captions.windows(2) {
            assert!(pair[0].end_ms <= pair[1].start_ms, "{pair:?}");
        }
        let strip_whitespace = |text: &str| text.split_whitespace().collect::<String>();
        let spoken_characters: String = scenes
            .iter()
            .flat_map(|(scene, _)| &scene.steps)
            .map(|step| strip_whitespace(&step.narration))
            .collect();
        assert_eq!(
            captions.iter().map(|caption| strip_whitespace(&caption.text)).collect::<String>(),
            spoken_characters
        );
        assert_eq!(captions[0].start_ms, 400, "starts with the voice, not with the scene");
    }

    #[test]
    fn short_lines_stand_long_enough_or_share_a_caption() {
        let quick = [("Yes.", 300), ("No.", 250), ("Go on and tell me more.", 1900), ("Why?", 300)];
        let captions = captions_of_scenes(&[scene("One", &quick), scene("Two", &[("So.", 200)])]);
        assert!(captions.iter().all(|caption| caption.duration_ms() >= MIN_DURATION_MS), "{captions:?}");
        assert!(captions.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms), "{captions:?}");
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        assert_eq!(texts, ["Yes. No.", "Go on and tell me more.", "Why? So."]);
    }

    #[test]
    fn both_formats_are_as_players_expect() {
        let mut captions = [Caption {
            start_ms: 3_661_005,
            end_ms: 3_662_000,
            text: "a < b & c\nd".into(),
            words: vec![],
            language: String::new(),
        }];
        assert_eq!(web_vtt(&captions), "WEBVTT\n\n01:01:01.005 --> 01:01:02.000\na &lt; b &amp; c\nd\n");
        captions[0].words =
            [(0, 3_661_005), (4, 3_661_200), (8, 3_661_200), (10, 3_661_999), (10, 3_662_000)]
                .map(|(offset, start_ms)| CaptionWord { offset, start_ms })
                .to_vec();
        captions[0].language = "de".into();
        assert_eq!(
            web_vtt(&captions),
            "WEBVTT\nKind: captions\nLanguage: de\n\n01:01:01.005 --> 01:01:02.000\na &lt; \
             <01:01:01.200>b &amp; c\n<01:01:01.999>d\n"
        );
        assert_eq!(sub_rip(&captions), "1\n01:01:01,005 --> 01:01:02,000\na < b & c\nd\n\n");
    }

    /// Reads captions as the WebVTT parser of the standard does: each with its times, its text without tags, and its timestamps.
    fn read_vtt(text: &str) -> Vec<(u64, u64, String, Vec<u64>)> {
        let ms = |time: &str| -> u64 {
            let (clock, ms) = time.split_once('.').unwrap();
            let seconds = clock.split(':').fold(0, |all, part| all * 60 + part.parse::<u64>().unwrap());
            seconds * 1000 + ms.parse::<u64>().unwrap()
        };
        let blocks = text.trim_end().split("\n\n").skip(1);
        let cue = |block: &str| {
            let (times, payload) = block.split_once('\n').unwrap();
            let (start, end) = times.split_once(" --> ").unwrap();
            let (mut shown, mut stamps) = (String::new(), vec![]);
            for (index, part) in payload.split('<').enumerate() {
                let after = match part.split_once('>') {
                    Some((tag, after)) if index > 0 => {
                        if tag.starts_with(|c: char| c.is_ascii_digit()) {
                            stamps.push(ms(tag));
                        }
                        after
                    }
                    _ => part,
                };
                shown.push_str(after);
            }
            let shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            (ms(start), ms(end), shown, stamps)
        };
        blocks.map(cue).collect()
    }

    proptest::proptest! {
        #[test]
        fn any_narration_gives_captions_with_words_in_order(
            lines in proptest::collection::vec(("(\\PC|[a-z]{1,9} |[一-十]|<|>|&|-->|\\s){1,80}", 100_u32..20_000), 1..5),
            step in 0_u32..700,
        ) {
            let lines: Vec<(&str, u32)> = lines.iter().map(|(line, ms)| (line.as_str(), *ms)).collect();
            let (mut scene, mut timeline) = scene("One", &lines);
            scene.language = "en".into();
            for (index, timing) in timeline.steps.iter_mut().enumerate() {
                let words = crate::speak::words::words(&scene.steps[index].narration);
                let time = |(number, word): (u32, std::ops::Range<usize>)| WordTime {
                    offset: word.start as u32,
                    start_ms: (number * step).min(timing.speech_ms),
                };
                timing.words = (0..).zip(words).map(time).collect();
            }
            let captions = captions([(&scene, &timeline)]);
            let words: usize = timeline.steps.iter().map(|step| step.words.len()).sum();
            let placed: usize = captions.iter().map(|caption| caption.words.len()).sum();
            proptest::prop_assert_eq!(words, placed);
            let cues = read_vtt(&web_vtt(&captions));
            proptest::prop_assert_eq!(cues.len(), captions.len());
            for ((start, end, text, stamps), caption) in cues.iter().zip(&captions) {
                proptest::prop_assert_eq!((*start, *end, text), (caption.start_ms, caption.end_ms, &caption.text));
                let times: Vec<u64> = [*start].into_iter().chain(stamps.iter().copied()).chain([*end]).collect();
                proptest::prop_assert!(start == end || times.is_sorted_by(|a, b| a < b), "{:?}", times);
            }
        }
    }

    #[test]
    fn captions_begin_with_their_words_and_say_their_language() {
        let line = "Ions leave the cathode and cross the separator, until finally they slip between sheets of graphite.";
        let (mut one, mut timeline) = scene("One", &[(line, 8000)]);
        one.language = "en".into();
        let word =
            |(number, word): (u32, std::ops::Range<usize>)| WordTime::from((word.start as u32, number * 300));
        timeline.steps[0].words = (0..).zip(crate::speak::words::words(line)).map(word).collect();
        let (mut two, after) = scene("Two", &[("Das ist alles.", 1500)]);
        two.language = "de".into();
        let captions = captions_of_scenes(&[(one, timeline), (two, after)]);
        let starts: Vec<u64> = captions.iter().map(|caption| caption.start_ms).collect();
        assert_eq!(captions.len(), 3, "{captions:?}");
        let second = captions[1].text.split_whitespace().next().unwrap();
        let number = line.split(' ').position(|word| word == second).unwrap() as u64;
        assert_eq!(starts[..2], [400, 400 + number * 300]);
        assert_eq!(main_language(&captions), "en");
        let vtt = web_vtt(&captions);
        assert!(vtt.starts_with("WEBVTT\nKind: captions\nLanguage: en\n\n00:00:00.400 --> "), "{vtt}");
        assert!(vtt.contains("Ions <00:00:00.700>leave <00:00:01.000>the "), "{vtt}");
        assert!(vtt.ends_with("<lang de>Das ist alles.</lang>\n"), "{vtt}");
    }

    #[test]
    fn scenes_under_one_title_are_one_chapter() {
        let scenes = [
            scene("One", &[("a", 1000)]),
            scene("One", &[("b", 1000)]),
            scene("", &[("d", 1000)]),
            scene("Two", &[("c", 1000)]),
        ];
        let chapters = chapters(scenes.iter().map(|(scene, timeline)| (scene, timeline)));
        let titles: Vec<&str> = chapters.iter().map(|chapter| chapter.title.as_str()).collect();
        assert_eq!(titles, ["One", "Two"]);
        assert_eq!(chapters[0].end_ms, chapters[1].start_ms);
    }
}
