//! Pages of which the strokes draw themselves.

use reel_scene::look::{Look, Theme};
use reel_scene::{Entrance, description};

use crate::draw::pen::{Ink, Pen};
use crate::draw::picture::Picture;
use crate::draw::step_motion::{Moving, StepMotion};
use crate::draw::strokes::{Mark, Stroke, Strokes};
use crate::layout::images::Images;
use crate::layout::{self, Pages};

const WIDTH: usize = 960;
const HEIGHT: usize = 540;
const FRAMES: u32 = 24;
/// Frames in which everything but the strokes enters.
const REST_FRAMES: u32 = 12;

/// A page with nothing, and the page after it.
struct Step {
    from: Picture,
    to: Picture,
    moving: Moving,
}

fn step(entrance: Entrance, before: &str, added: &str) -> Step {
    let source = format!(
        "#set page(width: 960pt, height: 540pt, margin: 0pt, fill: white)\n{before}\n#pagebreak()\n{before}\n{added}"
    );
    let pages = Pages::compile(&source, &Images::default()).unwrap();
    let mut motions = [StepMotion { entrance, pages: 1, moving: Moving::None }];
    pages.find_strokes(&mut motions, (WIDTH as u32, HEIGHT as u32));
    let [StepMotion { moving, .. }] = motions;
    let picture = |page| Picture::from_rgba(&pages.rasterize(page, WIDTH as u32, HEIGHT as u32).unwrap());
    Step { from: picture(0), to: picture(1), moving }
}

impl Step {
    fn strokes(&self) -> &Strokes {
        match &self.moving {
            Moving::Strokes(strokes) => strokes,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the frames from `from` to the last.
    fn frames(&self, entrance: Entrance) -> Vec<Picture> {
        let ink = Ink::new(&self.from, &self.to, self.strokes());
        let pen = Pen::new((&self.from, &self.to), &ink, entrance, (REST_FRAMES, FRAMES));
        let mut canvas = self.from.clone();
        let drawn = (1..=FRAMES).map(|number| {
            pen.draw(&mut canvas, number);
            canvas.clone()
        });
        std::iter::once(self.from.clone()).chain(drawn).collect()
    }
}

const ARROW: &str = "
#place(dx: 100pt, dy: 100pt, line(end: (600pt, 0pt), stroke: 4pt))
#place(dx: 700pt, dy: 100pt, polygon(fill: black, (0pt, -10pt), (24pt, 0pt), (0pt, 10pt)))";
/// Three strokes on a tinted disc.
const ICON: &str = r##"
#place(dx: 100pt, dy: 300pt, circle(radius: 50pt, fill: rgb("#dde6f5")))
#place(dx: 120pt, dy: 330pt, curve(stroke: 4pt, curve.move((0pt, 0pt)), curve.line((60pt, 0pt))))
#place(dx: 120pt, dy: 350pt, curve(stroke: 4pt, curve.move((0pt, 0pt)), curve.line((60pt, 0pt))))
#place(dx: 120pt, dy: 370pt, curve(stroke: 4pt, curve.move((0pt, 0pt)), curve.line((60pt, 0pt))))"##;

fn luma(picture: &Picture, (x, y): (usize, usize)) -> u8 {
    picture.luma[y * WIDTH + x]
}

fn is_dark(picture: &Picture, at: (usize, usize)) -> bool {
    luma(picture, at) < 60
}

/// Returns the number of the first frame in which a pixel is dark.
fn drawn_at(frames: &[Picture], at: (usize, usize)) -> usize {
    frames.iter().position(|frame| is_dark(frame, at)).unwrap()
}

#[test]
fn an_arrow_runs_from_its_tail_to_its_head() {
    let step = step(Entrance::Fade, "", ARROW);
    let frames = step.frames(Entrance::Fade);
    let on_line = |frame: &Picture| (100..700).map(|x| is_dark(frame, (x, 100))).collect::<Vec<_>>();
    let [Mark::Stroke(line), Mark::Head(head)] = &step.strokes().marks[..] else {
        panic!("{:?}", step.strokes());
    };
    let end = line.times.last().copied().unwrap();
    assert!(head.times.0 > 0.97 * end, "{:?}", head.times);
    let half = (end * FRAMES as f32 / 2.0).round() as usize;
    let reached = on_line(&frames[half]).iter().filter(|dark| **dark).count();
    assert!((240..360).contains(&reached), "{reached} of 600 pixels half-way");
    for (number, frame) in frames.iter().enumerate() {
        let line = on_line(frame);
        let reached = line.iter().filter(|dark| **dark).count();
        assert!(line[..reached].iter().all(|dark| *dark), "frame {number}: no gap behind the pen");
        let has_head = (710..724).any(|x| luma(frame, (x, 100)) < 200);
        assert!(!has_head || reached > 590, "frame {number}: the head comes last, after {reached} pixels");
    }
    assert!(frames[FRAMES as usize] == step.to);
}

#[test]
fn sides_and_strokes_are_drawn_one_after_the_other() {
    let triangle = "#place(polygon(stroke: 5pt, (200pt, 400pt), (600pt, 400pt), (200pt, 100pt)))";
    let frames = step(Entrance::Fade, "", triangle).frames(Entrance::Fade);
    let sides = [(400, 400), (400, 250), (200, 250)].map(|middle| drawn_at(&frames, middle));
    assert!(sides[0] + 3 < sides[1] && sides[1] + 3 < sides[2], "{sides:?}");

    let icon = step(Entrance::Rise, "", ICON);
    let frames = icon.frames(Entrance::Rise);
    let strokes = [330, 350, 370].map(|y| drawn_at(&frames, (150, y)));
    assert!(strokes[0] + 3 < strokes[1] && strokes[1] + 3 < strokes[2], "{strokes:?}");
    // The disc is there, and looks as if it had no third stroke.
    let frame = &frames[REST_FRAMES as usize];
    assert_eq!(luma(frame, (150, 370)), luma(&icon.to, (150, 385)));
    assert!(is_dark(&icon.to, (150, 370)));
}

#[test]
fn a_frame_depends_on_its_number_alone_and_goes_on_towards_the_new_picture() {
    let text = "#place(dx: 300pt, dy: 250pt, text(size: 30pt)[Some words beside it])";
    let step =
        step(Entrance::Fade, "#place(dx: 300pt, line(end: (0pt, 300pt)))", &[ARROW, ICON, text].concat());
    for entrance in [Entrance::Fade, Entrance::Rise] {
        let frames = step.frames(entrance);
        let ink = Ink::new(&step.from, &step.to, step.strokes());
        let pen = Pen::new((&step.from, &step.to), &ink, entrance, (REST_FRAMES, FRAMES));
        for number in [3, 9, 17, FRAMES] {
            let mut canvas = step.from.clone();
            pen.draw(&mut canvas, number);
            assert!(canvas == frames[number as usize], "{entrance:?}, frame {number}");
        }
        assert!(frames[FRAMES as usize] == step.to);
    }
    // Nothing that is drawn goes again, and nothing is drawn twice.
    let frames = step.frames(Entrance::Fade);
    for pair in frames.windows(2) {
        let apart = |frame: &Picture| -> Vec<u8> {
            frame.luma.iter().zip(&step.to.luma).map(|(one, other)| one.abs_diff(*other)).collect()
        };
        let further =
            apart(&pair[0]).iter().zip(apart(&pair[1])).filter(|(old, new)| *new > **old + 1).count();
        assert_eq!(further, 0);
    }
}

#[test]
fn what_lies_over_a_line_does_not_wait_for_the_pen() {
    let hub = "
#place(dx: 100pt, dy: 300pt, line(end: (600pt, 0pt), stroke: 4pt))
#place(dx: 640pt, dy: 240pt, circle(radius: 60pt, fill: blue, align(center + horizon, text(fill: white)[Hub])))";
    let step = step(Entrance::Fade, "", hub);
    let frame = &step.frames(Entrance::Fade)[REST_FRAMES as usize];
    assert!(!is_dark(frame, (620, 300)), "the line is not there yet");
    for y in 260..340 {
        let inside = y * WIDTH + 660..y * WIDTH + 740;
        assert_eq!(frame.luma[inside.clone()], step.to.luma[inside], "row {y}");
    }
}

#[test]
fn some_strokes_do_not_draw_themselves() {
    let line = "#place(dx: 100pt, dy: 100pt, line(end: (600pt, 0pt), stroke: 4pt))";
    let many =
        "#for i in range(401) { place(dx: 2pt * i, dy: 100pt, line(end: (0pt, 40pt), stroke: 0.2pt)) }";
    let wide = "#place(dx: 100pt, dy: 250pt, line(end: (700pt, 0pt), stroke: 200pt))";
    let frame = "#place(dx: 20pt, dy: 20pt, rect(width: 920pt, height: 500pt, stroke: 5pt))";
    let white =
        "#place(dx: 100pt, dy: 100pt, rect(width: 100pt, height: 100pt, fill: red, stroke: 5pt + white))";
    for (why, entrance, before, added) in [
        ("it is there already", Entrance::Fade, line, "#place(dx: 100pt, dy: 200pt)[Words]"),
        ("it is wiped in", Entrance::Wipe, "", line),
        ("they are too many", Entrance::Fade, "", many),
        ("it covers too much", Entrance::Fade, "", wide),
        ("it goes around the page", Entrance::Rise, "", frame),
        ("it has the background's colour", Entrance::Rise, "", white),
    ] {
        assert_eq!(step(entrance, before, added).moving, Moving::None, "{why}");
    }
}

#[test]
fn figures_and_flows_draw_themselves_unless_told_otherwise() {
    let json = r#"{ "version": 1, "title": "T", "scenes": [{ "title": "Flow", "blocks": [
        { "kind": "flow", "nodes": ["One", "Two"], "edges": [{ "from": 0, "to": 1 }] },
        { "kind": "figure", "shapes": [{ "shape": "circle", "center": [0, 0], "radius": 1 }] }
      ], "steps": [
        { "narration": "One.", "reveals": [{ "block": 0, "part": 0 }] },
        { "narration": "Two.", "reveals": [{ "block": 0, "part": 1 }] },
        { "narration": "Three.", "reveals": [{ "block": 1 }], "enter": "slide" }
      ] }] }"#;
    let description = description::read(json).unwrap();
    let scene = &description.scenes[0];
    let pages = Pages::compile(&layout::source(scene, &Look::default()), &Images::default()).unwrap();
    let mut motions = layout::motions(scene);
    pages.find_strokes(&mut motions, (1920, 1080));
    let [Moving::Strokes(node), Moving::Strokes(arrow), Moving::None] =
        [0, 1, 2].map(|step| &motions[step].moving)
    else {
        panic!("{motions:?}");
    };
    assert!(matches!(node.marks[..], [Mark::Stroke(_)]), "{:?}", node.marks);
    assert!(
        matches!(arrow.marks[..], [Mark::Stroke(_), Mark::Head(_), Mark::Stroke(_)]),
        "{:?}",
        arrow.marks
    );
}
/// 14.5: a highlight goes to the word that matters.
#[test]
fn a_strong_word_gets_a_line_behind_it_in_each_theme_and_direction() {
    let strong = r#"[{ "text": "Light takes " }, { "text": "\"eight\" #minutes", "style": "strong" }, { "text": " to us" }]"#;
    let reveal = r#"[{ "block": 0 }]"#;
    let blocks = [
        (format!(r#"{{ "kind": "statement", "text": {strong} }}"#), reveal),
        (format!(r#"{{ "kind": "paragraph", "text": {strong} }}"#), reveal),
        (format!(r#"{{ "kind": "bullet", "text": {strong} }}"#), reveal),
        (format!(r#"{{ "kind": "quote", "text": {strong} }}"#), reveal),
        (format!(r#"{{ "kind": "definition", "term": "Light", "text": {strong} }}"#), reveal),
        (
            format!(
                r#"{{ "kind": "items", "arrangement": "cards", "items": [{{ "text": {strong} }}, {{ "text": "Far" }}] }}"#
            ),
            r#"[{ "block": 0, "part": 0 }]"#,
        ),
    ];
    let languages = ["en", "ar"];
    let looks = Theme::ALL.into_iter().map(|theme| Look { theme, ..Look::default() });
    for (look, language) in looks.flat_map(|look| languages.map(|language| (look.clone(), language))) {
        for (block, reveals) in &blocks {
            let json = format!(
                r#"{{ "version": 1, "title": "T", "scenes": [{{ "title": "Light", "blocks": [{block}], "steps": [
                    {{ "narration": "Light takes eight minutes to us, and that is far.", "reveals": {reveals} }}
                ] }}] }}"#
            );
            let mut scene = description::read(&json).unwrap().scenes.remove(0);
            scene.language = language.to_owned();
            let pages = Pages::compile(&layout::source(&scene, &look), &Images::default()).unwrap();
            let mut motions = layout::motions(&scene);
            assert_eq!(motions.len(), 2, "it takes a part of the step: {block}");
            pages.find_strokes(&mut motions, (WIDTH as u32, HEIGHT as u32));
            let Moving::Strokes(strokes) = &motions[1].moving else { panic!("{block} {motions:?}") };
            let lines = strokes.marks.iter().filter(|mark| matches!(mark, Mark::Stroke(_))).count();
            assert!(lines >= 1, "{block} {strokes:?}");
        }
    }
}

/// Not all of them are highlighted, but all are shown.
#[test]
fn strong_words_stand_wherever_text_has_styles() {
    let strong = r#"[{ "text": "one", "style": "strong" }]"#;
    let blocks = [
        format!(r#"{{ "kind": "table", "header": ["A"], "rows": [[{strong}]] }}"#),
        format!(
            r#"{{ "kind": "comparison", "left": {{ "title": "A", "points": [{strong}] }}, "right": {{ "title": "B", "points": [{strong}] }} }}"#
        ),
        format!(
            r#"{{ "kind": "items", "arrangement": "hub", "items": [{{ "title": "A", "points": [{strong}] }}, {{ "title": "B", "text": "x" }}],
                "center": {{ "text": {strong} }} }}"#
        ),
    ];
    for block in blocks {
        let json = format!(
            r#"{{ "version": 1, "title": "T", "scenes": [{{ "title": "S", "blocks": [{block}], "steps": [
                {{ "narration": "One.", "reveals": [{{ "block": 0 }}] }}
            ] }}] }}"#
        );
        let description = description::read(&json).unwrap_or_else(|faults| panic!("{block}: {faults:?}"));
        let source = layout::source(&description.scenes[0], &Look::default());
        Pages::compile(&source, &Images::default()).unwrap_or_else(|error| panic!("{block}: {error}"));
    }
}

#[test]
fn dots_on_a_line_come_as_the_pen_passes() {
    let dots = "
#place(dx: 100pt, dy: 300pt, line(end: (600pt, 0pt), stroke: 4pt))
#for x in (200pt, 400pt, 600pt) { place(dx: x - 10pt, dy: 290pt, circle(radius: 10pt, fill: black)) }";
    let frames = step(Entrance::Fade, "", dots).frames(Entrance::Fade);
    let times = [200, 400, 600].map(|x| (drawn_at(&frames, (x - 15, 300)), drawn_at(&frames, (x, 308))));
    assert!(times[0].1 + 2 < times[1].1 && times[1].1 + 2 < times[2].1, "{times:?}");
    assert!(times.iter().all(|(line, dot)| line <= dot && *dot <= line + 3), "{times:?}");
}

const BY_HAND: &str = "#set document(keywords: \"hand-drawn\")";

/// One pen writes the words in the direction in which they are read, and begins a line when the one before is there.
#[test]
fn one_pen_writes_text_and_draws_lines_one_after_the_other() {
    let added = "
#place(dx: 100pt, dy: 100pt, text(size: 40pt)[A line of text])
#place(dx: 100pt, dy: 300pt, text(size: 40pt)[and another one])
#place(dx: 100pt, dy: 400pt, line(end: (600pt, 0pt), stroke: 4pt))";
    let step = step(Entrance::Fade, BY_HAND, added);
    let strokes: Vec<&Stroke> = step
        .strokes()
        .marks
        .iter()
        .map(|mark| match mark {
            Mark::Stroke(stroke) => stroke,
            other => panic!("{other:?}"),
        })
        .collect();
    let spans: Vec<(f32, f32)> =
        strokes.iter().map(|stroke| (stroke.times[0], *stroke.times.last().unwrap())).collect();
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-3), "{spans:?}");
    assert!(strokes.iter().all(|stroke| stroke.path.points[0].0 < 110.0), "all begin at the left");
    let frames = step.frames(Entrance::Fade);
    let line = drawn_at(&frames, (690, 400));
    assert!(drawn_at(&frames, (110, 400)) < line && line <= FRAMES as usize);
    assert_eq!(frames.last(), Some(&step.to));
}

#[test]
fn one_pen_writes_from_right_to_left_where_that_is_how_it_is_read() {
    let added = "#place(dx: 100pt, dy: 100pt, text(size: 40pt, lang: \"ar\", dir: rtl)[مرحبا])";
    let step = step(Entrance::Fade, BY_HAND, added);
    let Mark::Stroke(stroke) = &step.strokes().marks[0] else { panic!("{:?}", step.strokes().marks) };
    assert!(stroke.path.points[0].0 > stroke.path.points.last().unwrap().0, "{:?}", stroke.path.points);
}

/// Only what a page adds is written: the words that were there stay.
#[test]
fn one_pen_writes_nothing_twice() {
    let before = format!("{BY_HAND}\n#place(dx: 100pt, dy: 100pt, text(size: 40pt)[It stands])");
    let added = step(Entrance::Fade, &before, "#place(dx: 100pt, dy: 300pt, text(size: 40pt)[It comes])");
    assert_eq!(added.strokes().marks.len(), 1, "{:?}", added.strokes().marks);
    assert!(matches!(step(Entrance::Fade, &before, "").moving, Moving::None));
}
