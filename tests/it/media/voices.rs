//! Voices besides espeak-ng: a speech server that speaks OpenAI's protocol, and what a job says when it refuses; music under them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reelstream::config::{SpeechKey, VoiceConfig};
use salvo::conn::Acceptor;
use salvo::prelude::*;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, short_request};

/// `POST /v1/audio/speech` as OpenAI answers it: a tone, as long as the text.
struct Speech {
    key: &'static str,
    spoken: Arc<AtomicU32>,
}

#[async_trait::async_trait]
impl Handler for Speech {
    async fn handle(&self, req: &mut Request, _depot: &mut Depot, res: &mut Response, _ctrl: &mut FlowCtrl) {
        let authorised = req.header::<String>("authorization") == Some(format!("Bearer {}", self.key));
        let body: Value = req.parse_json().await.unwrap();
        if !authorised {
            res.status_code(StatusCode::UNAUTHORIZED);
            return res.render(Json(json!({ "error": { "message": "Incorrect API key provided" } })));
        }
        let fields = (&body["model"], &body["voice"], &body["response_format"]);
        assert_eq!(fields, (&json!("tts-1"), &json!("alloy"), &json!("wav")));
        self.spoken.fetch_add(1, Ordering::Relaxed);
        let samples = body["input"].as_str().unwrap().len() as u32 * 24_000 / 20;
        let sound = (0..samples).map(|at| ((f64::from(at) * 0.06).sin() * 8000.0) as i16);
        let mut wav = std::io::Cursor::new(vec![]);
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 24_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
        sound.for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        res.write_body(wav.into_inner()).unwrap();
    }
}

/// A speech server on a free port; its address, and how many lines it spoke.
async fn speech_server(key: &'static str) -> (String, Arc<AtomicU32>) {
    let spoken = Arc::new(AtomicU32::new(0));
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    let router = Router::with_path("v1/audio/speech").post(Speech { key, spoken: spoken.clone() });
    tokio::spawn(async move { Server::new(acceptor).serve(router).await });
    (format!("http://{address}/v1"), spoken)
}

fn voice(url: String, key: &str) -> VoiceConfig {
    VoiceConfig::OpenAi {
        url,
        key: Some(SpeechKey(key.into())),
        model: "tts-1".into(),
        voice: "alloy".into(),
    }
}

#[tokio::test]
async fn a_speech_server_speaks_each_line_once() {
    let (url, spoken) = speech_server("sk-test").await;
    let system =
        System::start_with(&ALL_ROLES, |config| config.media.voice = voice(url.clone(), "sk-test")).await;
    for _ in 0..2 {
        let job_id = system.generate(&short_request()).await;
        let last = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
        let events = system.events(&job_id).await;
        let steps =
            events.iter().filter_map(|event| event["data"]["description"]["steps"].as_array()).flatten();
        let lines: BTreeSet<&str> = steps.map(|step| step["narration"].as_str().unwrap()).collect();
        // And the passage that tells how loud the voice is.
        assert_eq!(
            spoken.load(Ordering::Relaxed) as usize,
            lines.len() + 1,
            "a line that was spoken is not asked for again"
        );
        let scenario = events.iter().find(|event| event["type"] == "SceneNarrated").unwrap();
        assert_eq!(scenario["data"]["voice"], format!("alloy of tts-1 at {url}, speed 1"));
    }
    system.running.stop().await;
}

#[tokio::test]
async fn what_a_speech_server_refuses_is_told_without_the_key() {
    let (url, _) = speech_server("sk-right").await;
    let system = System::start_with(&ALL_ROLES, |config| config.media.voice = voice(url, "sk-wrong")).await;
    let job_id = system.generate(&short_request()).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
    let error = &last["error"];
    assert_eq!(
        (&last["status"], &error["error_code"]),
        (&json!("failed"), &json!("NARRATION_FAILED")),
        "{last}"
    );
    let message = error["error_message"].as_str().unwrap();
    assert!(
        message.contains("refused with status 401") && message.contains("Incorrect API key"),
        "{message}"
    );
    assert!(!last.to_string().contains("sk-wrong"));
    system.running.stop().await;
}

#[tokio::test]
async fn music_plays_under_the_voice_and_its_lack_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let piece = folder.path().join("calm.wav");
    let tone = "sine=frequency=220:duration=5:sample_rate=44100";
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", tone, "-ac", "2", piece.to_str().unwrap()])
        .status();
    assert!(made.unwrap().success());
    let music = Some(folder.path().to_owned());
    let system = System::start_with(&ALL_ROLES, |config| config.media.music = music).await;
    let mut levels = vec![];
    for (piece, warnings) in [(None, 0), (Some("calm"), 0), (Some("wild"), 1)] {
        let body = json!({ "topic": "Ions", "script": "Ions move. They come back.", "quality": "low",
                           "style_preferences": { "music": piece } });
        let job_id = system.completed(&body).await;
        let told = system.warnings(&job_id).await;
        assert_eq!(told.matches("NO_MUSIC").count(), warnings, "{told}");
        let video = folder.path().join("video.mp4");
        let download = system.get(&format!("/api/v1/videos/jobs/{job_id}/download")).await;
        std::fs::write(&video, download.bytes().await.unwrap()).unwrap();
        levels.push(quietest(&video));
    }
    assert!(levels[1] > levels[0] + 20.0, "in pauses something is heard: {levels:?}");
    assert!((levels[2] - levels[0]).abs() < 1.0, "{levels:?}");
    system.running.stop().await;
}

/// Decibels of the quietest tenth of a second, the first and the last second left out.
fn quietest(video: &std::path::Path) -> f64 {
    let path = video.to_str().unwrap();
    let arguments = ["-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"];
    let sound = std::process::Command::new("ffmpeg").args(arguments).output().unwrap().stdout;
    let samples: Vec<f64> =
        sound.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    let tenths = samples[48_000..samples.len() - 120_000].chunks_exact(4800);
    let power = |tenth: &[f64]| tenth.iter().map(|sample| sample * sample).sum::<f64>() / tenth.len() as f64;
    let least = tenths.map(power).fold(f64::MAX, f64::min).max(1.0);
    10.0 * (least / 32_768.0_f64.powi(2)).log10()
}

/// Sounds of lines that one process speaks, in their order: the protocol is in `espeak_helper`.
fn spoken_by_one_process(lines: &[&str]) -> Vec<Vec<u8>> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_reel"))
        .arg("speak-line")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let number = |output: &mut std::process::ChildStdout| {
        let mut bytes = [0; 4];
        output.read_exact(&mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    };
    let voice = "en-us";
    let spoken = lines.iter().map(|line| {
        let request: Vec<u8> = [voice.len(), 165, 85, line.len()]
            .iter()
            .flat_map(|number| (*number as u32).to_le_bytes())
            .collect();
        input.write_all(&[&request, voice.as_bytes(), line.as_bytes()].concat()).unwrap();
        assert_eq!(number(&mut output), 0, "{line}");
        let mut sound = vec![0; number(&mut output) as usize];
        output.read_exact(&mut sound).unwrap();
        sound
    });
    let spoken = spoken.collect();
    drop(input);
    assert!(process.wait().unwrap().success());
    spoken
}

/// Two machines speak the same lines in another order, and must make the same video.
#[test]
fn a_line_sounds_the_same_whatever_was_spoken_before() {
    let (first, second) = ("This is what page 3 of the machine is about.", "It says a second thing, too.");
    let one_order = spoken_by_one_process(&[first, second, first]);
    let other_order = spoken_by_one_process(&[second, second, first]);
    assert!(one_order[0] == one_order[2] && one_order[0] == other_order[2] && one_order[0].len() > 50_000);
    assert!(one_order[1] == other_order[0] && one_order[1] == other_order[1]);
}

#[tokio::test]
async fn a_request_chooses_among_the_voices_that_the_installation_has() {
    let (url, _) = speech_server("sk-test").await;
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.other_voices = vec![voice(url.clone(), "sk-test")];
    })
    .await;
    let with_voice = |name: Value| {
        let mut body = short_request();
        body["custom_config"] = json!({ "voice": name });
        body
    };
    for (name, expected) in [
        (json!("openai"), format!("alloy of tts-1 at {url}, speed 1")),
        (json!("espeak-ng"), "espeak-ng en-us at 165 words a minute".to_owned()),
        (Value::Null, "espeak-ng en-us at 165 words a minute".to_owned()),
    ] {
        let job_id = system.completed(&with_voice(name.clone())).await;
        let events = system.events(&job_id).await;
        let narrated = events.iter().find(|event| event["type"] == "SceneNarrated").unwrap();
        assert_eq!(narrated["data"]["voice"], expected, "{name}");
    }
    for (name, kind) in [
        (json!("piper"), "not_available"),
        (json!("kokoro:af_heart"), "not_available"),
        (json!("kokoro:nobody"), "not_allowed"),
        (json!("espeak-ng; rm"), "not_allowed"),
        (json!(""), "not_allowed"),
        (json!("x".repeat(5000)), "not_allowed"),
        (json!(5), "not_allowed"),
        (json!({}), "not_allowed"),
    ] {
        let answer = system.post("/api/v1/videos/generate", &with_voice(name.clone())).await;
        assert_eq!(answer.status(), 422, "{name}");
        let body: Value = answer.json().await.unwrap();
        let detail = &body["error"]["details"][0];
        assert_eq!((&detail["loc"][2], &detail["type"]), (&json!("voice"), &json!(kind)), "{body}");
        if kind == "not_available" {
            assert!(detail["msg"].as_str().unwrap().ends_with("these are espeak-ng, openai"), "{detail}");
        }
    }
    system.running.stop().await;
}
