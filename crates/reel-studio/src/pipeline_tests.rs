//! Makes files of scenes with real speech and real encoders, and checks them with ffprobe.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_util::sync::CancellationToken;

use crate::draw::picture::Picture;
use crate::draw::step_motion::StepMotion;
use crate::encode::encoder::{EncodeSettings, Error, SceneParts, encode_scene};
use crate::encode::scene_video::{self, ClipBeginning, ClipOutput, Material};
use crate::encode::sound::SoundTrack;
use crate::inspect::gate::{self, Allowed};
use crate::inspect::probe;
use crate::join::combine::{self, Combined, Parts};
use crate::join::labels::Labels;
use crate::join::thumbnails;
use crate::join::{stream, streamable};
use crate::layout;
use crate::layout::images::Images;
use crate::speak::espeak_library;
use crate::speak::silences::find_silences;
use crate::speak::timeline;
use crate::speak::voice::{Pcm, SpokenLine, Synthesised, Timing, Voice, prepare, speak};
use crate::studio::Studio;
use reel_scene::description;
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;
use reel_scene::{
    Arrangement, Block, Item, Layout, Leave, Reveal, RichText, Scene, SceneTimeline, Step, StepTiming,
};

const SIZE: (u32, u32) = (1280, 720);
const FPS: u32 = 30;

fn scene(title: &str, lines: &[&str]) -> Scene {
    let blocks = lines.iter().map(|line| Block::Paragraph { text: RichText::plain(*line) });
    let steps =
        lines.iter().enumerate().map(|(block, line)| Step::new(*line, vec![Reveal { block, part: None }]));
    Scene {
        layout: Layout::Content,
        title: title.into(),
        blocks: blocks.collect(),
        steps: steps.collect(),
        ..Scene::default()
    }
}

async fn speak_lines(scene: &Scene) -> Vec<SpokenLine> {
    let mut lines = vec![];
    for step in &scene.steps {
        lines.push(speak(&Voice::default(), &step.narration, &CancellationToken::new()).await.unwrap());
    }
    lines
}

struct Rendered {
    clip: PathBuf,
    sound: PathBuf,
    timeline: SceneTimeline,
    narration: Pcm,
}

async fn render(scene: &Scene, folder: &Path, name: &str) -> Rendered {
    let lines = speak_lines(scene).await;
    let timeline = timeline::time_steps(&lines, FPS, reel_scene::timing::Pauses::default());
    let narration = timeline::mix(&timeline, &lines);
    let [clip, sound] = ["mp4", "wav"].map(|extension| folder.join(format!("{name}.{extension}")));
    let rendered = Rendered { clip, sound, timeline, narration };
    encode(scene, &rendered, &EncodeSettings::new(SIZE.0, SIZE.1, FPS));
    timeline::write_wav(&rendered.sound, &rendered.narration).unwrap();
    rendered
}

fn encode(scene: &Scene, rendered: &Rendered, settings: &EncodeSettings) {
    let Rendered { clip, timeline, narration, .. } = rendered;
    let pages =
        layout::pages(&layout::source(scene, &Look::default()), settings.width, settings.height).unwrap();
    let motions = layout::motions(scene);
    let track = SoundTrack::encode(narration).unwrap();
    let mut reports = vec![];
    let encoded = encode_scene::<Error>(
        |page| Ok(Picture::from_rgba(&pages[page as usize])),
        SceneParts { motions: &motions, leave: Leave::Fade, timeline, sound: Some(&track), beginning: None },
        settings,
        clip,
        &mut |done, total| reports.push((done, total)),
        &CancellationToken::new(),
    )
    .unwrap();
    assert_eq!(encoded.frames, u64::from(timeline.frames));
    assert_eq!(reports.last(), Some(&(encoded.frames, encoded.frames)));
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn ffprobe(path: &Path, entries: &str) -> serde_json::Value {
    let path = path.to_str().unwrap();
    let text = run("ffprobe", &["-v", "error", "-of", "json", "-show_entries", entries, path]);
    serde_json::from_str(&text).unwrap()
}

async fn two_scenes(folder: &Path) -> [Rendered; 2] {
    let first = scene("One", &["Ions move back and forth.", "Nothing is burned."]);
    let second = scene("Two", &["A second scene joins without a gap."]);
    [render(&first, folder, "0").await, render(&second, folder, "1").await]
}

fn combined(scenes: &[Rendered], out: &Path) -> Combined {
    let labels = Labels { title: "A title".to_owned(), ..Labels::default() };
    join(scenes, &labels, out, &CancellationToken::new()).unwrap()
}

fn join(
    scenes: &[Rendered],
    labels: &Labels,
    out: &Path,
    cancel: &CancellationToken,
) -> Result<Combined, combine::Error> {
    let clips: Vec<_> = scenes.iter().map(|scene| scene.clip.clone()).collect();
    let sounds: Vec<_> = scenes.iter().map(|scene| scene.sound.clone()).collect();
    let parts = Parts { clips: &clips, sounds: &sounds, streams: &[], format: OutputFormat::Mp4 };
    combine::combine(parts, labels, out, &mut |_, _| {}, cancel)
}

#[tokio::test]
async fn scenes_become_one_conformant_file() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = two_scenes(folder.path()).await;
    let out = folder.path().join("video.mp4");
    let result = combined(&scenes, &out);
    let frames: u64 = scenes.iter().map(|scene| u64::from(scene.timeline.frames)).sum();
    assert_eq!(result.frames, frames);

    let facts = ffprobe(
        &out,
        "stream=codec_name,profile,pix_fmt,color_space,color_range,avg_frame_rate,nb_frames,sample_rate,duration:format_tags=title",
    );
    let (video, audio) = (&facts["streams"][0], &facts["streams"][1]);
    for (name, expected) in [
        ("codec_name", "h264"),
        ("profile", "High"),
        ("pix_fmt", "yuv420p"),
        ("color_space", "bt709"),
        ("color_range", "tv"),
        ("avg_frame_rate", "30/1"),
        ("nb_frames", &frames.to_string()),
    ] {
        assert_eq!(video[name], expected, "{name}");
    }
    assert_eq!((&audio["codec_name"], &audio["sample_rate"]), (&"aac".into(), &"48000".into()));
    assert_eq!(facts["format"]["tags"]["title"], "A title");
    for stream in [video, audio] {
        let duration: f64 = stream["duration"].as_str().unwrap().parse().unwrap();
        assert!((duration - frames as f64 / 30.0).abs() <= 1.0 / 30.0, "{duration}");
    }
    check_packets(&out, frames);
    let path = out.to_str().unwrap();
    assert_eq!(
        run("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]),
        "",
        "it decodes without a complaint"
    );
}

/// Times rise by one frame; a key frame comes at least every two seconds.
fn check_packets(path: &Path, frames: u64) {
    let listed = ffprobe(path, "packet=stream_index,pts_time,flags");
    let packets = listed["packets"].as_array().unwrap().iter().filter(|packet| packet["stream_index"] == 0);
    let mut last_key = 0;
    let mut count = 0;
    for packet in packets {
        let time: f64 = packet["pts_time"].as_str().unwrap().parse().unwrap();
        assert!((time - count as f64 / 30.0).abs() < 0.001, "frame {count} at {time} s");
        if packet["flags"].as_str().unwrap().starts_with('K') {
            last_key = count;
        }
        assert!(count - last_key < 60, "no key frame for two seconds at frame {count}");
        count += 1;
    }
    assert_eq!(count, frames);
}

#[tokio::test]
async fn a_file_is_read_back_as_it_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = two_scenes(folder.path()).await;
    let out = folder.path().join("video.mp4");
    let result = combined(&scenes, &out);
    let facts = probe::probe(&out).unwrap();
    assert_eq!((facts.frames, facts.file_size), (result.frames, result.bytes));
    let expected = probe::ExpectedFacts {
        format: OutputFormat::Mp4,
        duration_ms: result.duration_ms,
        width: SIZE.0,
        height: SIZE.1,
        fps: FPS,
    };
    assert_eq!(probe::find_mismatches(&facts, &expected), Vec::<String>::new());
    let by_ffmpeg = probe::read_streams(&out, facts.file_size).unwrap();
    assert!(by_ffmpeg.duration_ms.abs_diff(facts.duration_ms) < 50);
    let same = |facts: &probe::VideoFacts| {
        (facts.width, facts.height, facts.frames, facts.video_codec.clone(), facts.audio_codec.clone())
    };
    assert_eq!(same(&by_ffmpeg), same(&facts), "both readers agree");
}

#[tokio::test]
async fn thumbnails_show_something_in_each_size() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = two_scenes(folder.path()).await;
    let out = folder.path().join("video.mp4");
    combined(&scenes, &out);
    let sides = [320, 640, 1280];
    let paths: Vec<_> = sides.iter().map(|side| folder.path().join(format!("{side}.jpg"))).collect();
    let written = thumbnails::extract(&out, &sides, &paths).unwrap();
    for ((side, path), written) in sides.iter().zip(&paths).zip(written) {
        let picture = image::open(path).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (*side, side * 9 / 16));
        assert_eq!((written.width, written.height), picture.dimensions());
        assert_eq!(std::fs::metadata(path).unwrap().len(), written.bytes);
        let (darkest, lightest) =
            (picture.pixels().map(|p| p.0[0]).min(), picture.pixels().map(|p| p.0[0]).max());
        assert!(
            darkest < Some(100) && lightest > Some(200),
            "text on a light page: {darkest:?} to {lightest:?}"
        );
    }
}

#[tokio::test]
async fn cancelled_work_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = two_scenes(folder.path()).await;
    let empty = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let timeline = SceneTimeline {
        fps: 30,
        frames: 300,
        steps: vec![StepTiming { start_frame: 0, frames: 300, speech_ms: 0, words: vec![] }],
    };
    let mut stop_midway = |done, _| {
        if done == 100 {
            cancel.cancel();
        }
    };
    let encoded = encode_scene::<Error>(
        |_| Ok(Picture::filled([255; 3], 64, 64)),
        SceneParts {
            motions: &[StepMotion::default()],
            leave: Leave::Fade,
            timeline: &timeline,
            sound: None,
            beginning: None,
        },
        &EncodeSettings::new(64, 64, 30),
        &empty.path().join("scene.mp4"),
        &mut stop_midway,
        &cancel,
    );
    assert_eq!(encoded.unwrap_err().to_string(), "cancelled");
    let joined = join(&scenes, &Labels::default(), &empty.path().join("video.mp4"), &cancel);
    assert_eq!(joined.unwrap_err().to_string(), "cancelled");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn scenes_of_different_settings_are_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = two_scenes(folder.path()).await;
    encode(
        &scene("Two", &["A second scene joins without a gap."]),
        &second,
        &EncodeSettings::new(640, 360, FPS),
    );
    let out = folder.path().join("v.mp4");
    let joined = join(&[first, second], &Labels::default(), &out, &CancellationToken::new());
    assert_eq!(joined.unwrap_err().to_string(), "scene 2 was encoded with other settings than the first");
}

fn findings(scenes: &[Rendered], out: &Path) -> Vec<String> {
    let frames = || scenes.iter().flat_map(|scene| &scene.timeline.steps).map(|step| step.frames);
    let allowed = Allowed {
        pictures: frames().map(u64::from).sum(),
        longest_hold_s: f64::from(frames().max().unwrap()) / f64::from(FPS),
        key_frame_interval_s: 2.0,
        longest_animation_s: 0.0,
    };
    gate::find_faults(&gate::inspect(out).unwrap(), &allowed)
}

#[tokio::test]
async fn a_sound_video_passes_the_gate_and_others_say_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("video.mp4");
    let scenes = two_scenes(folder.path()).await;
    combined(&scenes, &out);
    assert_eq!(findings(&scenes, &out), Vec::<String>::new());

    // A picture between two key frames begins with something else than it should, and a repeat has another number.
    let whole = std::fs::read(&out).unwrap();
    let (smallest, largest) = slices_between_key_frames(&out);
    for (at, damage) in
        [(largest, [0xff; 8].as_slice()), (smallest + 1, [whole[smallest + 1] ^ 0x20].as_slice())]
    {
        let mut damaged = whole.clone();
        damaged[at..at + damage.len()].copy_from_slice(damage);
        std::fs::write(&out, &damaged).unwrap();
        let told = findings(&scenes, &out).join("; ");
        assert!(told.contains("damaged"), "{told}");
    }

    // Silent, blank, and shorter than planned.
    let [first, _] = scenes;
    let silent = Rendered { narration: Pcm { samples: vec![0; first.narration.samples.len()] }, ..first };
    encode(&scene(" ", &[".", "."]), &silent, &EncodeSettings::new(SIZE.0, SIZE.1, FPS));
    combined(std::slice::from_ref(&silent), &out);
    let told = findings(&[silent], &out).join("; ");
    assert!(told.contains("nothing can be heard"), "{told}");

    std::fs::write(&out, &std::fs::read(&out).unwrap()[..2000]).unwrap();
    assert!(gate::inspect(&out).is_err(), "half a file is no video");
}

/// Finds the slices of the smallest and the largest picture that is no key frame, and returns their offsets after the length
/// and kind.
fn slices_between_key_frames(video: &Path) -> (usize, usize) {
    let facts = ffprobe(video, "packet=pos,size,flags,codec_type");
    let number =
        |packet: &serde_json::Value, name: &str| packet[name].as_str().unwrap().parse::<usize>().unwrap();
    let packets = facts["packets"].as_array().unwrap().iter();
    let between = packets.filter(|packet| {
        packet["codec_type"] == "video" && !packet["flags"].as_str().unwrap().starts_with('K')
    });
    let mut by_size: Vec<_> =
        between.map(|packet| (number(packet, "size"), number(packet, "pos") + 5)).collect();
    by_size.sort_unstable();
    (by_size[0].1, by_size[by_size.len() - 1].1)
}

/// Scenes with a chart that grows and a figure that draws itself.
fn described(titles: &[&str]) -> description::Description {
    let chart = r#"{ "kind": "chart", "chart": "line", "labels": ["a", "b", "c"], "series": [{ "values": [1, 3, 2] }] }"#;
    let figure = r#"{ "kind": "figure", "shapes": [{ "shape": "circle", "center": [0, 0], "radius": 1 }] }"#;
    let scene = |title: &&str| {
        format!(
            r#"{{ "title": "{title}", "blocks": [{chart}, {figure}], "steps": [{{ "narration": "It rises, and falls." }}] }}"#
        )
    };
    let scenes = titles.iter().map(scene).collect::<Vec<_>>().join(",");
    let json = format!(r#"{{ "version": 1, "title": "T", "scenes": [{scenes}] }}"#);
    description::read(&json).unwrap()
}

async fn make_video(titles: &[&str], format: OutputFormat, concurrency: usize, out: &Path) -> Combined {
    let studio = Studio {
        voice: Voice::default(),
        settings: EncodeSettings::new(640, 360, FPS),
        format,
        images: Images::default(),
        duration_ms: None,
        music: None,
        manim: None,
        concurrency,
    };
    studio.make(&described(titles), out, |_| (), &CancellationToken::new()).await.unwrap()
}

/// Returns the time of the first word, in samples of 48 kHz.
fn onset(video: &Path) -> usize {
    let path = video.to_str().unwrap();
    let arguments = ["-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"];
    let sound = Command::new("ffmpeg").args(arguments).output().unwrap().stdout;
    let samples = sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.into_iter().position(|sample| sample.unsigned_abs() > 1500).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_its_codecs_and_plays_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut onsets = vec![];
    for (format, container, codecs) in [
        (OutputFormat::Mp4, "mov,mp4,m4a,3gp,3g2,mj2", ["h264", "aac"]),
        (OutputFormat::Mov, "mov,mp4,m4a,3gp,3g2,mj2", ["h264", "aac"]),
        (OutputFormat::Webm, "matroska,webm", ["vp9", "opus"]),
        (OutputFormat::Avi, "avi", ["h264", "mp3"]),
    ] {
        let out = folder.path().join(format!("video.{}", format.name()));
        let result = make_video(&["One", "Two", "Three"], format, 2, &out).await;
        let facts = ffprobe(&out, "stream=codec_name,width,height,avg_frame_rate:format=format_name");
        let (video, audio) = (&facts["streams"][0], &facts["streams"][1]);
        assert_eq!(facts["format"]["format_name"], container, "{format:?}");
        assert_eq!([&video["codec_name"], &audio["codec_name"]], codecs, "{format:?}");
        assert_eq!((&video["width"], &video["avg_frame_rate"]), (&640.into(), &"30/1".into()), "{format:?}");
        let complaints = run("ffmpeg", &["-v", "error", "-i", out.to_str().unwrap(), "-f", "null", "-"]);
        assert_eq!(complaints, "", "{format:?} decodes without a complaint");
        let allowed = Allowed {
            pictures: result.frames,
            longest_hold_s: 4.0,
            key_frame_interval_s: 2.0,
            longest_animation_s: 0.0,
        };
        assert_eq!(
            gate::find_faults(&gate::inspect(&out).unwrap(), &allowed),
            Vec::<String>::new(),
            "{format:?}"
        );
        let expected = probe::ExpectedFacts {
            format,
            duration_ms: result.duration_ms,
            width: 640,
            height: 360,
            fps: FPS,
        };
        assert_eq!(probe::find_mismatches(&probe::probe(&out).unwrap(), &expected), Vec::<String>::new());
        onsets.push(onset(&out));
    }
    let most_apart = onsets.iter().max().unwrap() - onsets.iter().min().unwrap();
    assert!(most_apart < 480, "the first word comes at {onsets:?}, more than 10 ms apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_thread_and_many_make_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for format in [OutputFormat::Mp4, OutputFormat::Webm] {
        let mut files = vec![];
        for concurrency in [1, 4] {
            let out = folder.path().join(format!("{concurrency}.{}", format.name()));
            make_video(&["One", "Two", "Three", "Four"], format, concurrency, &out).await;
            files.push(std::fs::read(out).unwrap());
        }
        assert!(files[0] == files[1], "{format:?}: {} and {} bytes", files[0].len(), files[1].len());
    }
}

/// Speaks a line by espeak-ng's library, renders its scene, and compares the pictures with the pauses of the sound, which know nothing
/// of the words.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_line_names_appears_with_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let line = "Power. Solar. Wind. Batteries.";
    let titles = ["Solar", "Wind", "Battery"];
    let items = titles.map(|title| Item { title: title.to_owned(), ..Item::default() });
    let block = Block::Items { arrangement: Arrangement::Cards, items: items.to_vec(), center: None };
    let reveals = (0..3).map(|part| Reveal { block: 0, part: Some(part) }).collect();
    let scene = Scene {
        title: "Sources".into(),
        blocks: vec![block],
        steps: vec![Step::new(line, reveals)],
        ..Scene::default()
    };
    let speech = espeak_library::speak("en-us", 165, 85, line).unwrap();
    let timing = Timing::Marks(speech.words);
    let spoken = prepare(line, &Synthesised { rate: speech.rate, samples: speech.samples, timing }).unwrap();
    let onsets = find_silences(&spoken.sound.samples).into_iter().map(|silence| 400.0 + silence.end_ms);
    let onsets: Vec<f64> = onsets.collect();
    let timeline =
        timeline::time_steps(std::slice::from_ref(&spoken), FPS, reel_scene::timing::Pauses::default());
    let sound = timeline::mix(&timeline, &[spoken]);
    let out = folder.path().join("clip.mp4");
    let material = Material {
        scene: &scene,
        source: &layout::source(&scene, &Look::default()),
        timeline: &timeline,
        narration: &sound,
        images: &Images::default(),
    };
    let output = ClipOutput { settings: EncodeSettings::new(640, 360, FPS), out: out.clone() };
    scene_video::render(material, &[output], &mut |_, _| {}, &CancellationToken::new()).unwrap();
    // A picture that repeats the one before is very small.
    let listed = ffprobe(&out, "packet=stream_index,size,flags");
    let packets = listed["packets"].as_array().unwrap().iter().filter(|packet| packet["stream_index"] == 0);
    let changed: Vec<bool> = packets
        .map(|packet| {
            let bytes: usize = packet["size"].as_str().unwrap().parse().unwrap();
            bytes > 100 && !packet["flags"].as_str().unwrap().starts_with('K')
        })
        .collect();
    assert_eq!(changed.len(), timeline.frames as usize);
    let changes: Vec<f64> = (1..changed.len())
        .filter(|frame| changed[*frame] && !changed[frame - 1])
        .map(|frame| frame as f64 * 1000.0 / f64::from(FPS))
        .collect();
    assert_eq!(onsets.len(), 3, "{onsets:?}");
    for onset in onsets {
        let nearest = changes.iter().map(|change| change - onset).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        println!("{nearest:?} ms");
        assert!(nearest.unwrap().abs() <= 100.0, "{onset}: {changes:?}");
    }
}

/// 000-5.2: a viewer who begins before the first scene is rendered gets the same bytes as one who begins later.
#[test]
fn a_scene_is_streamed_from_its_beginning_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scene = Scene {
        title: "Rivers".into(),
        blocks: ["They rise in the hills", "They end in the sea"]
            .map(|text| Block::Bullet { text: RichText::plain(text) })
            .to_vec(),
        steps: (0..2).map(|block| Step::new("x", vec![Reveal { block, part: None }])).collect(),
        ..Scene::default()
    };
    let step = |start_frame, frames| StepTiming { start_frame, frames, speech_ms: 0, words: vec![] };
    let steps = vec![step(0, 75), step(75, 115)];
    let timeline = SceneTimeline { fps: FPS, frames: 190, steps };
    let narration = Pcm { samples: (0..190 * 1600).map(|at| (at % 997) as i16 * 9).collect() };
    let source = layout::source(&scene, &Look::default());
    let images = Images::default();
    let material = Material {
        scene: &scene,
        source: &source,
        timeline: &timeline,
        narration: &narration,
        images: &images,
    };
    let output = |name: &str, width, height| ClipOutput {
        settings: EncodeSettings::new(width, height, FPS),
        out: path(name),
    };
    let alone = [output("large.mp4", 640, 360), output("small.mp4", 320, 180)];
    let cancel = CancellationToken::new();
    scene_video::render(material, &alone, &mut |_, _| {}, &cancel).unwrap();
    let together = [output("large-2.mp4", 640, 360), output("small-2.mp4", 320, 180)];
    let written = std::sync::atomic::AtomicU32::new(0);
    let beginning = |name: &str| {
        Some(ClipBeginning {
            out: path(name),
            min_frames: 60,
            on_written: Box::new(|| {
                written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }),
        })
    };
    let beginnings = [beginning("large-begins.mp4"), beginning("small-begins.mp4")];
    let mut frames = vec![];
    let mut on_frame = |done, total| frames.push((done, total));
    scene_video::render_with_beginnings(material, &together, &beginnings, &mut on_frame, &cancel).unwrap();
    assert_eq!(frames.len(), 380);
    assert_eq!(frames.last(), Some(&(380, 380)));
    assert_eq!(written.load(std::sync::atomic::Ordering::Relaxed), 2);
    for size in ["large", "small"] {
        let read = |name: &str| std::fs::read(path(&format!("{size}{name}"))).unwrap();
        assert!(read(".mp4") == read("-2.mp4"), "{size}: side by side is another file");
        let part = |name: &str, is_last| {
            let out = path(&format!("{size}{name}.m4s"));
            let position = stream::Position { first_frame: 0, is_last };
            let part = stream::write(&path(&format!("{size}{name}.mp4")), position, &out).unwrap();
            (part, std::fs::read(out).unwrap())
        };
        for is_last in [false, true] {
            let ((whole, bytes), (begins, first)) = (part("", is_last), part("-begins", false));
            assert_eq!(begins.segments, whole.segments[..1], "{size}");
            assert_eq!((begins.setup_bytes, begins.codecs), (whole.setup_bytes, whole.codecs));
            assert!(bytes.starts_with(&first), "{size}: {} of {} bytes", first.len(), bytes.len());
            assert_eq!(
                whole.segments.iter().map(|segment| segment.frames).collect::<Vec<_>>(),
                [60, 60, 60, 10]
            );
        }
    }
}

/// 000-5.4: a video and its HTTP Live Stream are one file, and each is what it would be alone.
/// Bytes of a video and of a part of its stream change one by one: what comes of it is a file or an error, never a panic, and
/// takes no more memory than the files have.
fn damage(video: &Path, parts: &[PathBuf]) {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, out) = (folder.path().join("damaged"), folder.path().join("out"));
    let find = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|window| window == name).unwrap();
    let mut refused = 0;
    for (is_video, file, index, media) in
        [(true, video, b"moov", b"mdat"), (false, &parts[0], b"moof", b"mdat")]
    {
        let whole = std::fs::read(file).unwrap();
        let index = find(&whole, index) - 4..find(&whole, media) + 4;
        // Bytes all over the index, and those at its beginning one by one.
        let step = (index.len() / 150).max(1);
        for at in index.clone().take(50).chain(index.step_by(step)) {
            for change in [0xff, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                std::fs::write(&damaged, bytes).unwrap();
                let written = match is_video {
                    true => streamable::write(&damaged, parts, &out),
                    false => streamable::write(
                        video,
                        &[std::slice::from_ref(&damaged), &parts[1..]].concat(),
                        &out,
                    ),
                };
                refused += usize::from(written.is_err());
                if is_video {
                    let _facts_or_error = probe::probe(&damaged);
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[tokio::test]
async fn a_video_and_its_stream_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let lines =
        [&["Ions move back and forth.", "Nothing is burned."][..], &["A second scene."], &["The end."]];
    let scenes: Vec<Scene> =
        ["Ions", "More", "End"].into_iter().zip(lines).map(|(title, lines)| scene(title, lines)).collect();
    let mut rendered = vec![];
    for (number, scene) in scenes.iter().enumerate() {
        rendered.push(render(scene, folder.path(), &number.to_string()).await);
    }
    let labels = Labels::new("A title", scenes.iter().zip(rendered.iter().map(|scene| &scene.timeline)));
    assert_eq!((labels.captions.len(), labels.chapters.len()), (4, 3));
    let alone = join(&rendered, &labels, &path("alone.mp4"), &CancellationToken::new()).unwrap();

    let (mut first_frame, mut streams, mut written) = (0, vec![], vec![]);
    for (number, scene) in rendered.iter().enumerate() {
        let position = stream::Position { first_frame, is_last: number + 1 == rendered.len() };
        let out = path(&format!("{number}.m4s"));
        written.push(stream::write(&scene.clip, position, &out).unwrap());
        streams.push(out);
        first_frame += u64::from(scene.timeline.frames);
    }
    let clips: Vec<_> = rendered.iter().map(|scene| scene.clip.clone()).collect();
    let sounds: Vec<_> = rendered.iter().map(|scene| scene.sound.clone()).collect();
    let parts = Parts { clips: &clips, sounds: &sounds, streams: &streams, format: OutputFormat::Mp4 };
    let together = |name: &str| {
        combine::combine(parts, &labels, &path(name), &mut |_, _| {}, &CancellationToken::new()).unwrap()
    };
    let (shared, again) = (together("shared.mp4"), together("again.mp4"));
    assert_eq!((shared.frames, shared.duration_ms), (alone.frames, alone.duration_ms));
    assert!(
        shared == again
            && std::fs::read(path("shared.mp4")).unwrap() == std::fs::read(path("again.mp4")).unwrap()
    );
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");

    // The parts are the file's end, byte for byte.
    let bytes = std::fs::read(path("shared.mp4")).unwrap();
    let parts: Vec<u8> = streams.iter().flat_map(|part| std::fs::read(part).unwrap()).collect();
    assert!(bytes.ends_with(&parts));
    assert!(probe::probe(&path("shared.mp4")).unwrap().fast_start);
    // Written once more, it stays as it is.
    streamable::write(&path("shared.mp4"), &streams, &path("again.mp4")).unwrap();
    assert!(bytes == std::fs::read(path("again.mp4")).unwrap());
    damage(&path("shared.mp4"), &streams);
    // As a file: the same samples at the same times, the same captions, chapters and title.
    let packets = |name: &str| {
        let path = path(name);
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-i",
                path.to_str().unwrap(),
                "-map",
                "0:v",
                "-map",
                "0:a",
                "-map",
                "0:s",
                "-c",
                "copy",
                "-f",
                "framemd5",
                "-",
            ],
        )
    };
    let (expected, found) = (packets("alone.mp4"), packets("shared.mp4"));
    let by_stream = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // How streams are interleaved differs.
        lines.sort();
        lines
    };
    assert!(expected.lines().count() > 200);
    assert_eq!(by_stream(&found), by_stream(&expected));
    let facts = |name: &str| {
        ffprobe(
            &path(name),
            "format_tags=title:chapter:stream=codec_name,duration_ts,nb_frames,time_base,disposition:stream_tags",
        )
    };
    assert_eq!(facts("shared.mp4"), facts("alone.mp4"));
    let decoded = |name: &str| {
        let path = path(name);
        run("ffmpeg", &["-v", "error", "-xerror", "-i", path.to_str().unwrap(), "-f", "null", "-"])
    };
    assert_eq!(decoded("shared.mp4"), "");
    // As a stream: ranges of the file.
    let mut playlist =
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n".to_owned();
    let mut at = bytes.len() - parts.len();
    for (number, part) in written.iter().enumerate() {
        if number == 0 {
            playlist += &format!("#EXT-X-MAP:URI=\"shared.mp4\",BYTERANGE=\"{}@{at}\"\n", part.setup_bytes);
        }
        at += part.setup_bytes as usize;
        for segment in &part.segments {
            let seconds = f64::from(segment.frames) / f64::from(FPS);
            playlist +=
                &format!("#EXTINF:{seconds:.6},\n#EXT-X-BYTERANGE:{}@{at}\nshared.mp4\n", segment.bytes);
            at += segment.bytes as usize;
        }
    }
    assert_eq!(at, bytes.len());
    std::fs::write(path("shared.m3u8"), playlist + "#EXT-X-ENDLIST\n").unwrap();
    assert_eq!(decoded("shared.m3u8"), "");
    let pictures = |name: &str| {
        let path = path(name);
        run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:v", "-f", "framehash", "-"])
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit(',').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(pictures("shared.m3u8") == pictures("alone.mp4"));
    let kept = (
        bytes.len() as f64,
        (std::fs::metadata(path("alone.mp4")).unwrap().len() as usize + parts.len()) as f64,
    );
    eprintln!("stored: {} bytes in one file, {} in two", kept.0, kept.1);
}

#[tokio::test]
async fn a_stream_of_another_video_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scenes = two_scenes(folder.path()).await;
    let position = stream::Position { first_frame: 0, is_last: true };
    stream::write(&scenes[1].clip, position, &path("other.m4s")).unwrap();
    let [clips, sounds] = [|scene: &Rendered| scene.clip.clone(), |scene: &Rendered| scene.sound.clone()]
        .map(|file| vec![file(&scenes[0])]);
    let streams = [path("other.m4s")];
    let parts = Parts { clips: &clips, sounds: &sounds, streams: &streams, format: OutputFormat::Mp4 };
    let out = path("video.mp4");
    let result = combine::combine(parts, &Labels::default(), &out, &mut |_, _| {}, &CancellationToken::new());
    assert!(matches!(result, Err(combine::Error::Streamable(_))), "{result:?}");
    assert!(!out.exists());
}
