//! Traces, as a collector receives them by OTLP over HTTP.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use salvo::conn::Acceptor;
use salvo::prelude::*;

use crate::harness::folder;

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[async_trait::async_trait]
impl Handler for Collector {
    async fn handle(&self, req: &mut Request, _depot: &mut Depot, res: &mut Response, _ctrl: &mut FlowCtrl) {
        assert_eq!(req.header::<String>("content-type").as_deref(), Some("application/x-protobuf"));
        assert_eq!(req.header::<String>("x-collector-key").as_deref(), Some("of the test"));
        let body = req.payload().await.unwrap().clone();
        self.0.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
        res.add_header("content-type", "application/x-protobuf", true).unwrap();
        res.write_body(ExportTraceServiceResponse::default().encode_to_vec()).unwrap();
    }
}

impl Collector {
    /// Returns the collector, and its address.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
        let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
        let router = Router::with_path("v1/traces").post(collector.clone());
        tokio::spawn(async move { Server::new(acceptor).serve(router).await });
        (collector, format!("http://{address}"))
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.0.lock().unwrap();
        let resources = received.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

/// 000-6.4, 001-8.2: one trace from the request to the last byte, the time in queues included.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_shows_a_job_from_its_request_to_its_end() {
    let (collector, endpoint) = Collector::start().await;
    let folder = folder();
    let script = folder.path().join("short.md");
    std::fs::write(&script, "# Zebrafish\n\nZebrafish swim.\n\n# Quokkas\n\nQuokkas smile.\n").unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_reel"));
    demo.arg("demo").arg(&script).arg("--data").arg(folder.path().join("data"));
    demo.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_SERVICE_NAME", "reelstream-test");
    demo.env("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=of%20the%20test");
    demo.env("REEL_LOG", "info").env("REEL_LOG_FORMAT", "json");
    let output = tokio::task::spawn_blocking(move || demo.output()).await.unwrap().unwrap();
    let logged = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{logged}");
    // 001-8.7
    let ended: Vec<serde_json::Value> = logged
        .lines()
        .filter(|line| line.contains("job ended"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(ended.len(), 1, "{logged}");
    for figure in ["total_ms", "cpu_ms", "peak_memory_mb", "stored_bytes"] {
        assert!(ended[0]["fields"][figure].as_u64().unwrap() > 10, "{figure} of {}", ended[0]);
    }

    let spans = collector.spans();
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let request = spans.iter().find(|span| span.name == "POST /api/v1/videos/generate");
    let request = request.unwrap_or_else(|| panic!("{names:?}"));
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(text(&request.attributes, "http.response.status_code").as_deref(), Some("201"));
    assert_eq!(text(&request.attributes, "url.path").as_deref(), Some("/api/v1/videos/generate"));
    let of_job: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == request.trace_id && span.span_id != request.span_id)
        .collect();
    let scenes = of_job.iter().filter(|span| span.name == "rendering").count();
    assert!(scenes >= 2, "{names:?}");
    let stages = [
        ("initializing", 1),
        ("planning", 1),
        ("scenario_creation", scenes),
        ("code_generation", scenes),
        ("rendering", scenes),
        ("combining", 1),
        ("storage", 1),
    ];
    for (stage, pieces) in stages {
        let named = |name: &str| of_job.iter().filter(|span| span.name == name).copied().collect::<Vec<_>>();
        let (works, waits) = (named(stage), named(&format!("{stage} waits")));
        assert_eq!((works.len(), waits.len()), (pieces, pieces), "{stage}");
        for span in works.iter().chain(&waits) {
            assert_eq!(span.parent_span_id, request.span_id, "{stage}");
            assert!(request.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000, "{stage}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{stage}");
            assert_eq!(text(&span.attributes, "reelstream.stage").as_deref(), Some(stage));
            assert_eq!(text(&span.attributes, "reelstream.attempt").as_deref(), Some("1"));
        }
        assert!(works.iter().all(|span| span.kind() == SpanKind::Consumer
            && span.status.as_ref().is_none_or(|status| status.code == 0)));
        let scenes: BTreeSet<_> =
            works.iter().map(|span| text(&span.attributes, "reelstream.scene")).collect();
        assert_eq!(scenes.len(), pieces, "{stage}: {scenes:?}");
    }
    let received = collector.0.lock().unwrap();
    for resource in received.iter().flat_map(|request| &request.resource_spans) {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        assert_eq!(text(attributes, "service.name").as_deref(), Some("reelstream-test"));
    }
    // What users wrote is nobody else's.
    // The demo says to its user what it is about; log lines do not.
    let mut lines = logged.lines().filter(|line| line.starts_with('{'));
    assert!(lines.all(|line| !line.to_lowercase().contains("zebrafish")), "{logged}");
    for request in received.iter() {
        let sent = String::from_utf8_lossy(&request.encode_to_vec()).to_lowercase();
        assert!(!sent.contains("zebrafish") && !sent.contains("quokka"));
    }
}

#[test]
fn a_protocol_that_is_not_spoken_is_refused_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_reel"))
        .args(["demo", "--data", "/nonexistent"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim_end(),
        "reel: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but traces are sent as http/protobuf only"
    );
}
