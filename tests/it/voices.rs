//! Voices besides espeak-ng: a speech server that speaks OpenAI's protocol, and what a job says when it refuses.

use std::collections::BTreeSet;
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
        assert_eq!(
            spoken.load(Ordering::Relaxed) as usize,
            lines.len(),
            "a line that was spoken is not asked for again"
        );
        let scenario = events.iter().find(|event| event["type"] == "ScenarioCreated").unwrap();
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
