use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use reel_sandbox::{Limits, Output, Program, Sandbox};
use reel_scene::check::MAX_ANIMATION_MS;
use reel_scene::look::Colour;

use crate::code::hex;
use crate::records::{self, Done, Fault, Record};

const RUNNER: &str = include_str!("scene_runner.py");
/// Where the virtual environment and the runner are in the sandbox.
const ENVIRONMENT: &str = "/manim";
const RUNNER_PATH: &str = "/runner/scene_runner.py";

/// The visible part of Manim's plane, which code is written for: 16:9 of a height of 8.
const PLANE: (f64, f64) = (8.0 * 16.0 / 9.0, 8.0);
/// The picture in which frames are only counted is so many times smaller.
const COUNTING_SCALE: u32 = 4;
const MEMORY_BYTES: u64 = 4 << 30;
const WORK_BYTES: u64 = 64 << 20;
const THREADS: u32 = 8;
/// The longest time that the frames of an animation may be counted.
const COUNTING_TIME: Duration = Duration::from_secs(40);
/// Output of a run that writes no frames.
const COUNTING_OUTPUT_BYTES: u64 = 1 << 20;

/// The reason why there is no Manim here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("Manim is not installed in {}: run scripts/setup-manim, or name its environment in MANIM_ROOT", root.display())]
    NotInstalled { root: PathBuf },
    #[error(transparent)]
    Sandbox(#[from] reel_sandbox::Unavailable),
}

/// Runs code of Manim scenes in a sandbox.
#[derive(Debug, Clone)]
pub struct Engine {
    sandbox: Sandbox,
    /// Paths of this machine, and where they are in the sandbox.
    read_only: Vec<(PathBuf, String)>,
    version: String,
}

/// The size and the rate of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    pub background: Colour,
    /// Set for a plane as high and as wide as the page; otherwise the plane shows at least what 16:9 shows.
    pub fits_page: bool,
}

/// A frame that stays for some time.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// RGBA, rows from the top.
    pub pixels: &'a [u8],
    /// Frames for which it stays, at least 1.
    pub frames: u32,
    /// Set when it is the picture before.
    pub is_same: bool,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    pub frames: u32,
    /// Seconds in which Python loaded Manim.
    pub import_s: f64,
    /// Seconds of the code, drawing included.
    pub scene_s: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Code(CodeFault),
    #[error(transparent)]
    Sandbox(#[from] reel_sandbox::Error),
    #[error("Manim stopped without a result")]
    Answer(#[source] io::Error),
}

/// An error of the code that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFault {
    /// Python's name of the error.
    pub kind: String,
    pub message: String,
    /// The line of the code, from 1.
    pub line: Option<u32>,
    pub traceback: Vec<String>,
}

impl std::fmt::Display for CodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Bounds of an error's texts, in characters. The runner keeps to them; code may write records of its own.
const MAX_KIND: usize = 100;
const MAX_MESSAGE: usize = 2000;
const MAX_CALLS: usize = 8;
const MAX_CALL: usize = 200;

impl From<Fault> for CodeFault {
    fn from(Fault { kind, message, line, traceback }: Fault) -> Self {
        let cut = |text: String, most: usize| text.chars().take(most).collect::<String>();
        let traceback = traceback.into_iter().take(MAX_CALLS).map(|call| cut(call, MAX_CALL)).collect();
        Self { kind: cut(kind, MAX_KIND), message: cut(message, MAX_MESSAGE), line, traceback }
    }
}

impl Engine {
    /// Looks for Manim in a virtual environment, and for the sandbox.
    pub fn find(root: &Path) -> Result<Self, Unavailable> {
        let not_installed = || Unavailable::NotInstalled { root: root.to_owned() };
        let root = std::fs::canonicalize(root).map_err(|_| not_installed())?;
        let settings = std::fs::read_to_string(root.join("pyvenv.cfg")).map_err(|_| not_installed())?;
        if !root.join("bin/manim").is_file() {
            return Err(not_installed());
        }
        let mut read_only = vec![(root.clone(), ENVIRONMENT.to_owned())];
        // The interpreter that the environment was made of, at its own path: the environment names it.
        let interpreter = std::fs::canonicalize(root.join("bin/python")).map_err(|_| not_installed())?;
        if let Some(home) = settings.lines().find_map(|line| line.strip_prefix("home = ")) {
            let named = Path::new(home.trim()).join("python3");
            match interpreter.starts_with("/usr/bin") {
                true => read_only.push((interpreter, named.to_string_lossy().into_owned())),
                // An interpreter of its own, with its libraries beside it.
                false => {
                    let prefix = Path::new(home.trim()).parent().unwrap_or(Path::new(home));
                    read_only.push((prefix.to_owned(), prefix.to_string_lossy().into_owned()));
                }
            }
        }
        // The pinned packages, as scripts/setup-manim leaves them.
        let version = std::fs::read_to_string(root.join("installed")).unwrap_or(settings);
        Ok(Self { sandbox: Sandbox::find()?, read_only, version })
    }

    /// Returns a text that differs where another version may draw other pictures.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Counts the frames of an animation. Draws only some of them, small, so that faults are found, too.
    pub fn count_frames(
        &self,
        code: &str,
        frame: Frame,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Timing, Error> {
        let small = |pixels: u32| (pixels / COUNTING_SCALE).max(16) & !1;
        let small = Frame { width: small(frame.width), height: small(frame.height), ..frame };
        let limits = self.limits(COUNTING_TIME, COUNTING_OUTPUT_BYTES);
        self.run(code, small, false, &limits, is_cancelled, &mut |_| true)
    }

    /// Draws an animation. `on_picture` receives the pictures in order, and returns `false` to stop. Takes at most `max_time`.
    pub fn render(
        &self,
        code: &str,
        frame: Frame,
        max_time: Duration,
        is_cancelled: &(dyn Fn() -> bool + Sync),
        on_picture: &mut dyn FnMut(Picture<'_>) -> bool,
    ) -> Result<Timing, Error> {
        let pictures = u64::from(max_frames(frame.fps));
        let bytes = pictures * (frame_bytes(frame) as u64 + 5) + COUNTING_OUTPUT_BYTES;
        let limits = self.limits(max_time, bytes);
        self.run(code, frame, true, &limits, is_cancelled, on_picture)
    }

    fn limits(&self, wall: Duration, output_bytes: u64) -> Limits {
        Limits {
            wall,
            cpu_s: wall.as_secs().max(1),
            memory_bytes: MEMORY_BYTES,
            threads: THREADS,
            work_bytes: WORK_BYTES,
            output_bytes,
        }
    }

    fn run(
        &self,
        code: &str,
        frame: Frame,
        draws: bool,
        limits: &Limits,
        is_cancelled: &(dyn Fn() -> bool + Sync),
        on_picture: &mut dyn FnMut(Picture<'_>) -> bool,
    ) -> Result<Timing, Error> {
        let plane = plane(frame);
        let request = json!({
            "code": code,
            "width": frame.width,
            "height": frame.height,
            "fps": frame.fps,
            "frame_width": plane.0,
            "frame_height": plane.1,
            "background": hex(frame.background),
            "max_frames": max_frames(frame.fps),
            "draws": draws,
        })
        .to_string();
        let python = format!("{ENVIRONMENT}/bin/python");
        let program = Program {
            arguments: &[&python, "-I", RUNNER_PATH],
            read_only: &self.read_only,
            files: &[(RUNNER_PATH, RUNNER.as_bytes())],
            environment: &[
                ("HOME", "/work"),
                ("LANG", "C.UTF-8"),
                ("PATH", "/manim/bin:/usr/bin"),
                ("PYTHONDONTWRITEBYTECODE", "1"),
                ("XDG_CACHE_HOME", "/work/cache"),
                // A thread for each processor takes memory, and no picture needs it.
                ("OMP_NUM_THREADS", "1"),
                ("OPENBLAS_NUM_THREADS", "1"),
            ],
            input: request.as_bytes(),
        };
        self.sandbox.run(&program, limits, is_cancelled, |output| read_records(output, frame, on_picture))?
    }
}

/// Reads until the end of the scene, or until `on_picture` wants no more.
fn read_records(
    output: &mut Output<'_>,
    frame: Frame,
    on_picture: &mut dyn FnMut(Picture<'_>) -> bool,
) -> Result<Timing, Error> {
    let mut input = io::BufReader::with_capacity(1 << 16, output);
    let mut pixels = vec![0; frame_bytes(frame)];
    let mut frames = 0_u32;
    loop {
        let (number, is_same) = match records::read(&mut input, &mut pixels).map_err(Error::Answer)? {
            Record::Frame(number) => (number, false),
            Record::Same(number) => (number, true),
            Record::Fault(fault) => return Err(Error::Code(fault.into())),
            Record::Done(Done { frames, import_s, scene_s }) => {
                // To the end, so that the process ends by itself.
                let _trailing = io::copy(&mut input.take(1 << 16), &mut io::sink());
                return Ok(Timing { frames: frames.min(max_frames(frame.fps)), import_s, scene_s });
            }
        };
        frames = frames.saturating_add(number);
        if number == 0 || frames > max_frames(frame.fps) {
            return Err(Error::Answer(io::ErrorKind::InvalidData.into()));
        }
        if !on_picture(Picture { pixels: &pixels, frames: number, is_same }) {
            return Ok(Timing { frames, import_s: 0.0, scene_s: 0.0 });
        }
    }
}

fn frame_bytes(frame: Frame) -> usize {
    frame.width as usize * frame.height as usize * 4
}

fn max_frames(fps: u32) -> u32 {
    (u64::from(MAX_ANIMATION_MS) * u64::from(fps) / 1000) as u32
}

/// Returns the width and height of the visible part of Manim's plane.
fn plane(frame: Frame) -> (f64, f64) {
    let ratio = f64::from(frame.width) / f64::from(frame.height);
    match (ratio >= PLANE.0 / PLANE.1, frame.fits_page) {
        (true, _) => (PLANE.1 * ratio, PLANE.1),
        (false, false) => (PLANE.0, PLANE.0 / ratio),
        // A page that is not wide has a plane of 8 along its shorter side.
        (false, true) if ratio <= 1.0 => (PLANE.1, PLANE.1 / ratio),
        (false, true) => (PLANE.1 * ratio, PLANE.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_the_code_wrote_itself_is_cut() {
        let long = || "ä".repeat(30_000);
        let fault = Fault { kind: long(), message: long(), line: None, traceback: vec![long(); 100] };
        let CodeFault { kind, message, traceback, .. } = fault.into();
        assert_eq!((kind.chars().count(), message.chars().count()), (MAX_KIND, MAX_MESSAGE));
        assert_eq!(traceback.len(), MAX_CALLS);
        assert!(traceback.iter().all(|call| call.chars().count() == MAX_CALL));
    }
}
