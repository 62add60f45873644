//! Words of lines, and their times: against the silences of real speech, against espeak-ng's own times, and for any text.

use proptest::prelude::*;

use super::*;
use crate::speak::voice::{Synthesised, Timing, prepare};
use crate::speak::{espeak_library, silences};

fn texts(line: &str) -> Vec<&str> {
    words(line).into_iter().map(|word| &line[word]).collect()
}

#[test]
fn words_are_those_that_are_spoken() {
    assert_eq!(texts("Ions move — “slowly”, at 3.5 %."), ["Ions", "move —", "“slowly”,", "at", "3.5", "%."]);
    assert_eq!(
        texts("R&D costs $5, e.g. (here) don't..."),
        ["R&D", "costs", "$5,", "e.g.", "(here)", "don't..."]
    );
    assert_eq!(texts("电池很好。ABC公司"), ["电", "池", "很", "好。", "ABC", "公", "司"]);
    assert_eq!(texts("エネルギーを"), ["エ", "ネ", "ル", "ギ", "ー", "を"]);
    assert_eq!(texts("تخزن البطاريات، الطاقة"), ["تخزن", "البطاريات،", "الطاقة"]);
    assert_eq!(texts("전기를 저장"), ["전기를", "저장"]);
    assert_eq!(
        texts("cafe\u{301} 👩‍🔬 naïve"),
        ["cafe\u{301} 👩‍🔬", "naïve"].map(|word| word).to_vec().as_slice()
    );
    assert_eq!(texts(""), [""; 0]);
    assert_eq!(texts(" — … "), [""; 0]);
}

/// Speaks a line with espeak-ng, and returns its sound with the words by espeak-ng and by estimate.
fn speak(voice: &str, line: &str) -> (Pcm, Vec<WordTime>, Vec<WordTime>) {
    let speech = espeak_library::speak(voice, 165, 85, line).unwrap();
    let timing = Timing::Marks(speech.words);
    let answer = Synthesised { rate: speech.rate, samples: speech.samples, timing };
    let marked = prepare(line, &answer).unwrap();
    let estimated = prepare(line, &Synthesised { timing: Timing::Unknown, ..answer }).unwrap();
    (marked.sound, marked.words, estimated.words)
}

/// Sentences of one word, between which the voice is silent.
const SEPARATE: [(&str, &str); 4] = [
    ("en-us", "Solar. Wind. Water. Batteries. Coal. Gas. Uranium. Oil. Wood. Light."),
    ("de", "Erde. Wasser. Feuer. Luft. Apfelbaum. Nacht. Mond."),
    ("fr-fr", "Bonjour. Merci. Demain. Lumière. Nuage. Montagne."),
    ("cmn", "水。火。木。金。土。"),
];

#[test]
fn words_between_silences_begin_with_their_sound() {
    let mut errors = [vec![], vec![]];
    for (voice, line) in SEPARATE {
        let (sound, marked, estimated) = speak(voice, line);
        let onsets = silences::find_silences(&sound.samples);
        let onsets: Vec<f64> = onsets.iter().map(|silence| silence.end_ms).collect();
        assert_eq!(onsets.len() + 1, marked.len(), "{line}: {onsets:?}");
        for (errors, words) in errors.iter_mut().zip([marked, estimated]) {
            let found = words[1..].iter().zip(&onsets);
            errors.extend(found.map(|(word, onset)| (f64::from(word.start_ms) - onset).abs() as u32));
        }
    }
    for (name, errors) in ["by espeak-ng", "by estimate"].into_iter().zip(&mut errors) {
        let (median, max) = median_and_max(errors);
        println!("{name}: {} words, median {median} ms, at most {max} ms", errors.len());
        assert!(max <= 100, "{name}: {errors:?}");
    }
}

const LINES: [&str; 8] = [
    "Ions move from one layer to the other, and back again, many hundreds of times.",
    "First, the charger pulls electrons out of the cathode; the ions leave it, cross the separator, and slip between \
     the sheets of graphite.",
    "In 1997, about 3,500 of them, roughly 12.5 percent, went to the second plant.",
    "Solar, wind, hydro, and nuclear power make up most of it.",
    "Nothing is burned, and almost nothing is used up.",
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth \
     of a well.",
    "A cache holds what was read lately: when the same page is asked for again, it is there at once.",
    "Events are never edited. A view can be dropped, together with its checkpoint, and is filled again from the log.",
];

#[test]
fn estimates_are_near_the_times_of_the_voice() {
    let mut errors = vec![];
    for line in LINES {
        let (_, marked, estimated) = speak("en-us", line);
        assert_eq!(marked.len(), estimated.len());
        errors.extend(marked.iter().zip(&estimated).map(|(a, b)| a.start_ms.abs_diff(b.start_ms)));
    }
    let (median, max) = median_and_max(&mut errors);
    println!(
        "{} words, median {median} ms, 90 % {} ms, at most {max} ms",
        errors.len(),
        errors[errors.len() * 9 / 10]
    );
    assert!(median <= 60 && max <= 400, "{errors:?}");
}

fn median_and_max(errors: &mut [u32]) -> (u32, u32) {
    errors.sort_unstable();
    (errors[errors.len() / 2], errors[errors.len() - 1])
}

#[test]
fn marks_give_their_times_and_the_words_between_share_the_rest() {
    let sound = Pcm { samples: vec![1000; 48 * 3000] };
    let mark = |character, ms| Mark { character, ms };
    // A number has several marks, of which the first counts. A mark that goes back is passed over.
    let marks =
        [mark(0, 10.0), mark(4, 500.0), mark(6, 700.0), mark(4, 800.0), mark(16, 2000.0), mark(90, 2900.0)];
    let words = from_marks("In 1997, we moved.", &sound, &marks[..]);
    let times: Vec<u32> = words.iter().map(|word| word.start_ms).collect();
    assert_eq!(words.iter().map(|word| word.offset).collect::<Vec<_>>(), [0, 3, 9, 12]);
    assert_eq!((times[0], times[1], times[3]), (10, 500, 2000));
    assert!((500..2000).contains(&times[2]), "{times:?}");
    assert!(from_marks("", &sound, &marks).is_empty());
}

#[test]
fn what_is_said_is_paired_with_what_is_written() {
    let sound = Pcm { samples: vec![1000; 48 * 3000] };
    let group = |sounds, ms: u32| Group { sounds, ms: f64::from(ms) };
    let times = |line: &str, groups: &[Group]| -> Vec<u32> {
        from_groups(line, &sound, groups).iter().map(|word| word.start_ms).collect()
    };
    assert_eq!(times("Ions move.", &[group(5, 20), group(3, 400)]), [20, 400]);
    // "nineteen ninety seven"
    let groups = [group(2, 20), group(7, 200), group(6, 500), group(5, 800), group(2, 1200), group(5, 1400)];
    assert_eq!(times("In 1997, we moved.", &groups), [20, 200, 1200, 1400]);
    // "of the" in one.
    let groups = [group(5, 20), group(4, 400), group(6, 700)];
    let shared = times("Layers of the plates", &groups);
    assert_eq!((shared[0], shared[1].max(shared[2]), shared[3]), (20, 400, 700));
}

proptest! {
    #[test]
    fn times_are_in_order_and_within_the_sound(
        line in "(\\PC|[a-z]{1,9} |[0-9]{1,4} |[,.;:!?—] |[一-十ぁ-ん]|\\s){0,60}",
        marks in prop::collection::vec((0_usize..200, -50.0..4000.0_f64), 0..20),
        pieces in prop::collection::vec((0_usize..400, prop::bool::ANY), 0..8),
    ) {
        let samples = pieces.iter().flat_map(|(ms, sounds)| vec![if *sounds { 5000 } else { 0 }; ms * 48]);
        let sound = Pcm { samples: samples.collect() };
        let as_marks: Vec<_> = marks.iter().map(|(character, ms)| Mark { character: *character, ms: *ms }).collect();
        let as_groups: Vec<_> = marks.iter().map(|(sounds, ms)| Group { sounds: *sounds, ms: *ms }).collect();
        let expected: Vec<u32> = words(&line).iter().map(|word| word.start as u32).collect();
        for times in [estimate(&line, &sound), from_marks(&line, &sound, &as_marks), from_groups(&line, &sound, &as_groups)] {
            prop_assert_eq!(times.iter().map(|word| word.offset).collect::<Vec<_>>(), expected.clone());
            prop_assert!(times.is_sorted_by(|a, b| a.start_ms <= b.start_ms), "{:?}", times);
            prop_assert!(times.iter().all(|word| word.start_ms <= sound.duration_ms()), "{:?}", times);
        }
    }
}
