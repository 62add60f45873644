//! Making videos, against what others take for the same pictures, in one run: real-time factor, combining, memory,
//! size at equal quality. Writes its section of `docs/BENCHMARKS.md`.
//!
//! MoviePy and Manim run when `REEL_PEERS` names a folder with their `bin/python` and `bin/manim`; see scripts/bench.

#![allow(clippy::unwrap_used, dead_code)]

mod report;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::Utc;
use reel_scene::description::{Description, VERSION};
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;
use reel_studio::encode::encoder::EncodeSettings;
use reel_studio::layout::images::Images;
use reel_studio::speak::voice::{Espeak, Voice};
use reel_studio::studio::{Progress, Studio};
use report::median;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The same as in `reel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCRIPT: &str = include_str!("../tests/fixtures/scripts/reference-180s.md");
/// Makes the reference about 180 s long.
const WORDS_PER_MINUTE: u32 = 145;
const RUNS: usize = 3;
const SIZE: (u32, u32) = (1920, 1080);

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(folder.path()));
    report::write_section("media", &report);
}

struct Made {
    seconds: f64,
    combining: f64,
    video: f64,
    bytes: u64,
}

fn described(script: &str) -> Description {
    let request = reel_planner::Request {
        topic: "Batteries",
        context: None,
        script: Some(script),
        title: None,
        duration_ms: None,
    };
    let plan = reel_planner::plan(&request).unwrap();
    Description { version: VERSION, title: plan.title, look: Look::default(), scenes: plan.scenes }
}

async fn make(description: &Description, words_per_minute: u32, crf: Option<u32>, out: &Path) -> Made {
    let mut settings = EncodeSettings::new(SIZE.0, SIZE.1, 30);
    settings.crf = crf.unwrap_or(settings.crf);
    let studio = Studio {
        voice: Voice::Espeak(Espeak { words_per_minute, ..Espeak::default() }),
        settings,
        format: if out.extension().is_some_and(|ending| ending == "webm") {
            OutputFormat::Webm
        } else {
            OutputFormat::Mp4
        },
        images: Images::default(),
        duration_ms: None,
        music: None,
        manim: None,
        concurrency: std::thread::available_parallelism().unwrap().get(),
    };
    let (started, combining) = (Instant::now(), Mutex::new(None));
    let watch = |progress| {
        if progress == Progress::Combining {
            combining.lock().unwrap().get_or_insert(Instant::now());
        }
    };
    let made = studio.make(description, out, watch, &CancellationToken::new()).await.unwrap();
    let combining = combining.lock().unwrap().unwrap().elapsed().as_secs_f64();
    let video = made.duration_ms as f64 / 1000.0;
    Made { seconds: started.elapsed().as_secs_f64(), combining, video, bytes: made.bytes }
}

/// Seconds that a command takes.
fn timed(program: &Path, arguments: &[&str], variables: &[(&str, String)]) -> f64 {
    let started = Instant::now();
    let mut command = Command::new(program);
    let status = command
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{} {arguments:?}", program.display());
    started.elapsed().as_secs_f64()
}

fn ffmpeg(arguments: &[&str]) -> f64 {
    timed(Path::new("ffmpeg"), &[&["-v", "error", "-y"], arguments].concat(), &[])
}

/// How alike two videos are, in their first minute: 1 is the same.
fn ssim(one: &Path, other: &Path) -> f64 {
    let output = Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-t",
            "60",
            "-i",
            one.to_str().unwrap(),
            "-t",
            "60",
            "-i",
            other.to_str().unwrap(),
        ])
        .args(["-filter_complex", "[0:v][1:v]ssim", "-f", "null", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let all = text.rsplit("All:").next().unwrap().split(' ').next().unwrap();
    all.parse().unwrap()
}

/// The most memory, in MB, that `reel render` takes for a description.
fn peak_of_render(folder: &Path, name: &str, description: &str) -> f64 {
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, description).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_reel"))
        .args(["render", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        // A process that has just ended has no memory to tell.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0.0) * 1024.0 / 1e6);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    peak
}

/// A description of about as many minutes, whose scenes are all alike: what grows, grows with their number.
fn minutes(count: usize) -> String {
    let line =
        "Ions move from one layer to the other while the cell is charged, and back again when it is used.";
    let blocks: Vec<_> =
        (0..5).map(|layer| json!({ "kind": "bullet", "text": format!("Layer {layer}") })).collect();
    let steps: Vec<_> =
        (0..5).map(|block| json!({ "narration": line, "reveals": [{ "block": block }] })).collect();
    let scene = |part| json!({ "title": format!("Part {part}"), "blocks": blocks, "steps": steps });
    let scenes: Vec<_> = (0..2 * count).map(scene).collect();
    json!({ "version": VERSION, "title": "Minutes", "scenes": scenes }).to_string()
}

/// The same reveal of five bullets, by us and by others: seconds of each, where they are installed.
async fn bullets(folder: &Path) -> (f64, f64, Vec<(&'static str, f64)>) {
    let words = [
        "Anode: graphite that stores lithium",
        "Cathode: a metal oxide",
        "Separator keeps the two apart",
        "Electrolyte that ions swim through",
        "Collectors lead the current out",
    ];
    let blocks: Vec<_> = words.iter().map(|text| json!({ "kind": "bullet", "text": text })).collect();
    let steps: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(block, text)| json!({ "narration": text, "reveals": [{ "block": block }] }))
        .collect();
    let description = json!({ "version": 1, "title": "Parts", "scenes": [{ "title": "Parts", "blocks": blocks, "steps": steps }] });
    let description: Description = serde_json::from_value(description).unwrap();
    let mut ours = vec![];
    let mut video = 0.0;
    for _ in 0..RUNS {
        let made = make(&description, 165, None, &folder.join("bullets.mp4")).await;
        ours.push(made.seconds);
        video = made.video;
    }
    let mut others = vec![];
    if let Some(peers) = std::env::var_os("REEL_PEERS").map(PathBuf::from) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        let (moviepy, manim) = (scripts.join("bullets_moviepy.py"), scripts.join("bullets_manim.py"));
        let out = folder.join("moviepy.mp4");
        let length = format!("{video:.1}");
        let arguments = [moviepy.to_str().unwrap(), &length, out.to_str().unwrap()];
        let moviepy = || timed(&peers.join("bin/python"), &arguments, &[]);
        others.push(("MoviePy", median((0..RUNS).map(|_| moviepy()).collect())));
        let media = folder.join("manim");
        let arguments = [
            "-r",
            "1920,1080",
            "--fps",
            "30",
            "--disable_caching",
            "--media_dir",
            media.to_str().unwrap(),
            manim.to_str().unwrap(),
            "Bullets",
        ];
        let manim = || timed(&peers.join("bin/manim"), &arguments, &[("BULLETS_SECONDS", length.clone())]);
        others.push(("Manim CE", median((0..RUNS).map(|_| manim()).collect())));
    }
    (median(ours), video, others)
}

async fn measure(folder: &Path) -> String {
    let description = described(SCRIPT);
    let ours = folder.join("ours.mp4");
    let mut runs = vec![];
    for _ in 0..RUNS {
        runs.push(make(&description, WORDS_PER_MINUTE, None, &ours).await);
    }
    let (video, bytes) = (runs[0].video, runs[0].bytes);
    let seconds = median(runs.iter().map(|run| run.seconds).collect());
    let combining = median(runs.iter().map(|run| run.combining).collect());

    // What the pictures were before they were encoded, as nearly as makes no difference.
    let (exact, veryfast) = (folder.join("exact.mp4"), folder.join("veryfast.mp4"));
    make(&description, WORDS_PER_MINUTE, Some(2), &exact).await;
    let decode = ffmpeg(&["-i", exact.to_str().unwrap(), "-map", "0:v", "-f", "null", "-"]);
    let encode = ffmpeg(&[
        "-i",
        exact.to_str().unwrap(),
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-g",
        "60",
        "-c:a",
        "copy",
        veryfast.to_str().unwrap(),
    ]);
    let veryfast_bytes = std::fs::metadata(&veryfast).unwrap().len();
    let (our_ssim, their_ssim) = (ssim(&ours, &exact), ssim(&veryfast, &exact));

    let peaks = |name: &str, count: usize| {
        median((0..RUNS).map(|_| peak_of_render(folder, name, &minutes(count))).collect())
    };
    let (short, long) = (peaks("short", 1), peaks("long", 10));
    let webm = folder.join("ours.webm");
    let vp9 = make(&description, WORDS_PER_MINUTE, None, &webm).await;
    let vp9_ssim = ssim(&webm, &exact);
    let (bullets_seconds, bullets_video, others) = bullets(folder).await;

    let mut text = String::new();
    let cores = std::thread::available_parallelism().unwrap();
    writeln!(text, "## Making videos\n\n`tests/fixtures/scripts/reference-180s.md` at 1080p30, espeak-ng at {WORDS_PER_MINUTE} words a minute, script to file in one process (`reel render`); medians of {RUNS} runs.\nMeasured on {} with {cores} cores; release build.\n", Utc::now().format("%Y-%m-%d")).unwrap();
    writeln!(text, "| figure | value | wanted |\n| --- | ---: | ---: |").unwrap();
    writeln!(text, "| length of the video | {video:.1} s | about 180 s |").unwrap();
    writeln!(text, "| script to file | {seconds:.2} s | 6.5 s |").unwrap();
    writeln!(text, "| times as fast as it plays | {:.1} | at least 10 |", video / seconds).unwrap();
    writeln!(text, "| combining, of that | {combining:.2} s | under 1 s |").unwrap();
    writeln!(
        text,
        "| libx264 `veryfast` on the same pictures, encoding alone | {:.1} s | |",
        encode - decode
    )
    .unwrap();
    writeln!(text, "| that to all of ours | {:.1} | |", (encode - decode) / seconds).unwrap();
    writeln!(text, "| size | {:.2} MB | |", bytes as f64 / 1e6).unwrap();
    writeln!(
        text,
        "| size to that of `veryfast` | {:.2} | at most 1.2 |",
        bytes as f64 / veryfast_bytes as f64
    )
    .unwrap();
    writeln!(text, "| SSIM, first minute | {our_ssim:.4} | at least 0.98 |").unwrap();
    writeln!(text, "| SSIM of `veryfast` | {their_ssim:.4} | |").unwrap();
    writeln!(text, "| the same as WebM (VP9, Opus), script to file | {:.2} s | |", vp9.seconds).unwrap();
    writeln!(text, "| times as fast as it plays | {:.1} | |", vp9.video / vp9.seconds).unwrap();
    writeln!(text, "| its size to that of the MP4 | {:.2} | |", vp9.bytes as f64 / bytes as f64).unwrap();
    writeln!(text, "| its SSIM | {vp9_ssim:.4} | |").unwrap();
    writeln!(text, "| peak memory, a video of about 1 minute | {short:.0} MB | under 500 MB |").unwrap();
    writeln!(text, "| peak memory, about 10 minutes of scenes alike | {long:.0} MB | under 500 MB |")
        .unwrap();
    writeln!(text, "| growth from 1 minute to 10 | {:.1} % | under 10 % |", (long / short - 1.0) * 100.0)
        .unwrap();
    writeln!(
        text,
        "| five bullets, {bullets_video:.1} s of video, with narration | {bullets_seconds:.2} s | |"
    )
    .unwrap();
    for (name, theirs) in others {
        writeln!(text, "| the same bullets without narration by {name} | {theirs:.1} s | |").unwrap();
        writeln!(text, "| that to ours | {:.1} | at least 10 |", theirs / bullets_seconds).unwrap();
    }
    text
}
