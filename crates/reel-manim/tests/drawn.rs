//! Manim itself, in its sandbox. `./scripts/setup-manim` installs it.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use reel_manim::{CodeFault, Engine, Error, Frame, Timing, code_of, frame_of, prepare};
use reel_scene::look::{Colour, Look};
use reel_scene::{Animation, Block, Number, Scene, Shape, Step};

fn engine() -> Engine {
    Engine::find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.reel/manim")).unwrap()
}

/// 5 frames a second: what is drawn is looked at, not how smoothly it moves.
const SMALL: Frame =
    Frame { width: 320, height: 180, fps: 5, background: Colour([0x10, 0x20, 0x30]), fits_page: false };

/// The pictures of an animation, each with its frames.
type Drawn = (Timing, Vec<(Vec<u8>, u32)>);

fn draw(code: &str, frame: Frame) -> Result<Drawn, Error> {
    let mut pictures: Vec<(Vec<u8>, u32)> = vec![];
    let timing = engine().render(code, frame, Duration::from_secs(60), &|| false, &mut |picture| {
        match pictures.last_mut().filter(|_| picture.is_same) {
            Some((_, frames)) => *frames += picture.frames,
            None => pictures.push((picture.pixels.to_vec(), picture.frames)),
        }
        true
    })?;
    Ok((timing, pictures))
}

fn fault_of(code: &str) -> CodeFault {
    match engine().count_frames(code, SMALL, &|| false) {
        Err(Error::Code(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn scene(body: &str) -> String {
    let body: String = body.lines().map(|line| format!("        {line}\n")).collect();
    format!("from manim import *\n\n\nclass Drawn(Scene):\n    def construct(self):\n{body}")
}

fn number(value: f64) -> Number {
    Number::new(value).unwrap()
}

/// Share of the pixels that differ clearly from a colour.
fn drawn_share(pixels: &[u8], Colour(background): Colour) -> f64 {
    let differs = |pixel: &&[u8]| (0..3).any(|channel| pixel[channel].abs_diff(background[channel]) > 40);
    pixels.chunks(4).filter(differs).count() as f64 / (pixels.len() / 4) as f64
}

/// Keeps a picture for a person to look at, where `ANIMATION_STILLS` names a folder.
fn keep(name: &str, pixels: &[u8], frame: Frame) {
    let Some(folder) = std::env::var_os("ANIMATION_STILLS") else { return };
    let picture = image::RgbaImage::from_raw(frame.width, frame.height, pixels.to_vec()).unwrap();
    picture.save(Path::new(&folder).join(format!("{name}.png"))).unwrap();
}

/// 000-2.3: frames come in order and in the size that was asked for, and are counted the same without being drawn.
#[test]
fn frames_are_counted_and_drawn() {
    let code = scene(
        "self.wait(0.4)\nself.play(FadeIn(Square(side_length=30, color=RED, fill_opacity=1)), run_time=1)\nself.wait(0.7)",
    );
    for (width, height) in [(320, 180), (180, 320), (180, 180)] {
        let frame = Frame { width, height, ..SMALL };
        let (timing, pictures) = draw(&code, frame).unwrap();
        let frames: u32 = pictures.iter().map(|(_, frames)| frames).sum();
        assert_eq!((timing.frames, frames), (10, 10), "{timing:?}");
        assert!(pictures.iter().all(|(pixels, _)| pixels.len() == (width * height * 4) as usize));
        assert_eq!(pictures[0].0[..4], [0x10, 0x20, 0x30, 255], "the background");
        let (last, _) = pictures.last().unwrap();
        assert!(last[0] > 180 && last[1] < 130, "red at last: {:?}", &last[..4]);
        assert!(timing.import_s > 0.0 && timing.scene_s > 0.0);
    }
    assert_eq!(engine().count_frames(&code, SMALL, &|| false).unwrap().frames, 10);
}

/// 000-2.3, 001-1.3: every template draws something that changes, in the look's colours, on wide and on tall pages.
#[test]
fn every_template_is_drawn() {
    let range = [number(-4.0), number(4.0)];
    let point = |x: f64, y: f64| [number(x), number(y)];
    let triangle = [point(0.0, 0.0), point(4.0, 0.0), point(0.0, 3.0)];
    let animations = [
        Animation::FunctionPlot { functions: vec!["sin(x)".into(), "1 / x".into()], range },
        Animation::Construction {
            shapes: vec![
                Shape::Polygon { points: triangle.to_vec(), filled: true },
                Shape::RightAngle { at: triangle[0], between: [triangle[1], triangle[2]] },
                Shape::Circle { center: point(2.0, 1.5), radius: number(2.5) },
                Shape::Segment { from: triangle[0], to: point(2.0, 1.5) },
                Shape::Label { at: point(2.2, 1.8), text: "M".into() },
            ],
        },
        Animation::Surface { function: "sin(x) * cos(y)".into(), x_range: range, y_range: range },
        Animation::VectorField { components: ["-y".into(), "x".into()], x_range: range, y_range: range },
        Animation::MatrixTransformation { matrix: [point(1.0, 1.0), point(0.0, 1.5)] },
        Animation::Derivation {
            lines: ["x² + 2x = 8", "(x + 1)² = 9", "x = 2 or x = −4"].map(String::from).to_vec(),
        },
    ];
    let looks = [(Look::default(), (640, 360)), (Look::default(), (360, 640))];
    std::thread::scope(|threads| {
        for (index, animation) in animations.iter().enumerate() {
            let (look, size) = &looks[index % 2];
            threads.spawn(move || {
                let frame = frame_of(animation, look, *size, 3);
                let drawn = draw(&code_of(animation, look), frame);
                let (_, pictures) = drawn.unwrap_or_else(|error| panic!("{}: {error}", animation.name()));
                let (last, _) = pictures.last().unwrap();
                keep(animation.name(), last, frame);
                assert!(pictures.len() > 5, "{}: {} pictures", animation.name(), pictures.len());
                let shares = [&pictures[0].0, last].map(|pixels| drawn_share(pixels, frame.background));
                assert!(shares[1] > 0.004 && shares[1] > shares[0], "{}: {shares:?}", animation.name());
            });
        }
    });
}

/// 001-4.2: a fault is told with Python's name and the line of the code, and nothing of this machine.
#[test]
fn faults_name_their_line() {
    let fault = fault_of(&scene("self.wait(0.2)\nself.play(ShowCreation(Circle()))"));
    assert_eq!((fault.kind.as_str(), fault.line), ("NameError", Some(7)), "{fault}");
    assert_eq!(fault.traceback, ["line 7, in construct"]);
    // Several in one run: loading Manim takes the time.
    let tries = "import os\ntold = []\nfor attempt in (lambda: MathTex(r'\\frac{1}{2}'), lambda: open('/etc/passwd'), os.fork):\n    \
                 try: attempt()\n    except Exception as error: told.append(str(error))\nraise ValueError(' | '.join(told))";
    let told = fault_of(&scene(tries)).message;
    for part in
        ["needs LaTeX, which is not installed", "No such file or directory: '/etc/passwd'", "not permitted"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(fault_of("def").kind, "SyntaxError");
    assert_eq!(fault_of("from manim import *\nraise SystemExit(3)").kind, "SystemExit");
    let long = fault_of(&scene("self.wait(121)"));
    assert!(long.message.contains("more than 600 frames"), "{long}");
    // Its printed output does not count as records, and a scene without an animation is one frame.
    let quiet = scene(
        "print('F' * 100_000)\nself.add(Text('Still', font_size=90))\nself.add(Axes(x_range=[-1, 3], axis_config={'include_numbers': True}))",
    );
    let (timing, pictures) = draw(&quiet, SMALL).unwrap();
    assert_eq!((timing.frames, pictures.len()), (1, 1));
    keep("still", &pictures[0].0, SMALL);
    assert!(drawn_share(&pictures[0].0, SMALL.background) > 0.01);
}

/// 001-4.2: code is corrected a bounded number of times, each attempt is told, and a page stands for what still fails.
#[test]
fn code_is_corrected_and_each_attempt_is_told() {
    let engine = engine();
    let prepared = |code: &str, max: u32| {
        let animation = Animation::Code { code: code.to_owned() };
        let mut scene = Scene {
            blocks: vec![Block::Manim { animation, duration_ms: None }],
            steps: vec![Step::new("Say.", vec![])],
            ..Scene::default()
        };
        let frame = (&Look::default(), 320, 180, 5);
        let prepared = prepare(Ok(&engine), &mut scene, frame, max, &|_, _| None, &|| false).unwrap();
        (prepared, scene)
    };
    // Three faults: no import, a class that is no scene, and a name of an older version.
    let code =
        "class Old:\n    def construct(self):\n        self.play(ShowCreation(Circle()), run_time=1)\n";
    let (fixed, scene) = prepared(code, 5);
    let errors: Vec<bool> = fixed.attempts.iter().map(|attempt| attempt.error.is_some()).collect();
    assert_eq!(errors.last(), Some(&false), "{:#?}", fixed.attempts);
    assert!((3..=5).contains(&errors.len()) && fixed.not_drawn.is_none(), "{:#?}", fixed.attempts);
    let (animation, duration_ms) = scene.manim().unwrap();
    assert!(matches!(animation, Animation::Code { code } if code.contains("Create(Circle())")));
    assert_eq!(duration_ms, Some(1000));

    let (given_up, scene) = prepared(code, 0);
    assert_eq!(given_up.attempts.len(), 1);
    assert!(given_up.not_drawn.is_some());
    assert!(
        matches!(&scene.blocks[..], [Block::Code { text, .. }] if text == code.trim_end()),
        "{:?}",
        scene.blocks
    );
}

#[test]
fn it_stops_soon_when_it_is_cancelled_and_when_no_more_is_wanted() {
    let endless = scene("while True: pass");
    let begun = std::time::Instant::now();
    let stopped = engine().count_frames(&endless, SMALL, &|| begun.elapsed() > Duration::from_secs(1));
    assert!(matches!(stopped, Err(Error::Sandbox(reel_sandbox::Error::Cancelled))), "{stopped:?}");
    let long = scene("self.play(Rotate(Square()), run_time=60)");
    let mut seen = 0;
    let stop = &mut |_: reel_manim::Picture<'_>| {
        seen += 1;
        seen < 3
    };
    engine().render(&long, SMALL, Duration::from_secs(60), &|| false, stop).unwrap();
    assert_eq!(seen, 3);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
