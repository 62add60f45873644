//! Traces: a span for each request, each piece of work, and the time it waited, sent to a collector by OTLP over HTTP.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) is set. OpenTelemetry's other variables hold as they are
//! specified: headers, time-outs, sampler, batches, service name and attributes. The log carries a trace on: the request's
//! `traceparent` is in the envelope of its events, and the spans of its work are children of the request's.
//!
//! Deliberately absent: log lines as span events, because they may say more than a collector should keep.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer as SdkTracer};
use uuid::Uuid;

/// The environment as a function.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

const SCOPE: &str = "reelstream";
/// Bytes of a collector's answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{variable} is {value}, but traces are sent as http/protobuf only")]
    Protocol { variable: &'static str, value: String },
    #[error("OTEL_TRACES_EXPORTER is {0}, but must be otlp or none")]
    Exporter(String),
    #[error("traces cannot be sent to the endpoint of OTEL_EXPORTER_OTLP_ENDPOINT")]
    Build(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the client for OTEL_EXPORTER_OTLP_ENDPOINT cannot be made")]
    Client(#[from] reqwest::Error),
}

/// Whether traces are to be sent.
fn is_wanted(env: Environment<'_>) -> Result<bool, Error> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let endpoint = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    if endpoint.is_none() || set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Ok(false);
    }
    match set("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(other) => return Err(Error::Exporter(other.to_owned())),
    }
    for variable in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match set(variable) {
            Some(value) if value != "http/protobuf" => return Err(Error::Protocol { variable, value }),
            Some(_) => break,
            None => {}
        }
    }
    Ok(true)
}

/// Begins to send spans, where a collector is configured. Returns the tracer of this process; a second call gets the first one's.
/// Needs a Tokio runtime.
pub fn init(env: Environment<'_>) -> Result<Option<SdkTracer>, Error> {
    if !is_wanted(env)? {
        return Ok(None);
    }
    if PROVIDER.get().is_none() {
        // The exporter applies the time-outs of the standard variables itself.
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let client = Client { client, runtime: tokio::runtime::Handle::current() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .build()?;
        let mut resource = Resource::builder();
        let is_named = env("OTEL_SERVICE_NAME").is_some()
            || env("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| text.contains("service.name="));
        if !is_named {
            resource = resource.with_service_name(SCOPE);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_tracer_provider(provider.clone());
        let _set_before = PROVIDER.set(provider);
    }
    Ok(PROVIDER.get().map(|provider| provider.tracer(SCOPE)))
}

/// Whether this process sends its spans somewhere.
pub fn are_sent() -> bool {
    PROVIDER.get().is_some()
}

/// Sends the spans that have not been sent yet, before the process ends.
pub async fn finish() {
    let Some(provider) = PROVIDER.get() else { return };
    let ended = tokio::task::spawn_blocking(|| provider.shutdown()).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(error = %super::chain(&error), "the last spans were not sent");
    }
}

/// Sends on the runtime of this process: spans are collected by a thread that has none.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let exchange = async move {
            let mut answer = client.execute(request).await?;
            let mut body = vec![];
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                    return Err(HttpError::from("the collector's answer is too large"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((answer.status(), body))
        };
        let (status, body) = self.runtime.spawn(exchange).await??;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        Ok(response)
    }
}

/// A `traceparent` of a trace that begins here, where no span is recorded.
pub fn new_traceparent() -> String {
    let (trace, span) = (Uuid::new_v4(), Uuid::new_v4());
    format!("00-{}-{}-01", trace.simple(), &span.simple().to_string()[16..])
}

/// Reads a `traceparent` (W3C Trace Context, section 3.2); `None` for any other text.
pub fn parse_traceparent(text: &str) -> Option<Context> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return None };
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = (version.len(), trace.len(), span.len(), flags.len());
    if lengths != (2, 32, 16, 2) || version == "ff" || !parts.iter().all(|part| is_hex(part)) {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then(|| Context::new().with_remote_span_context(context))
}

/// Returns the trace that a `traceparent` names.
pub fn trace_id(traceparent: &str) -> Option<String> {
    parse_traceparent(traceparent).map(|context| context.span().span_context().trace_id().to_string())
}

/// The `traceparent` of a span; `None` where nothing is traced.
pub fn traceparent(context: &Context) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8() & 1))
}

/// A piece of work, as its spans tell of it.
#[derive(Debug, Clone)]
pub struct Piece {
    pub job_id: String,
    pub stage: &'static str,
    pub scene: Option<u32>,
    pub attempt: u32,
    /// When it began to wait.
    pub scheduled_at: Option<SystemTime>,
}

/// The spans of one attempt: how long its work waited, and how long it takes. Ends with [`Self::end`], or when it is dropped.
pub struct AttemptSpan(global::BoxedSpan);

impl AttemptSpan {
    /// `traceparent` is that of the request that led to the work.
    pub fn begin(traceparent: &str, piece: Piece) -> Self {
        let parent = parse_traceparent(traceparent).unwrap_or_default();
        let tracer = global::tracer(SCOPE);
        let Piece { job_id, stage, scene, attempt, scheduled_at } = piece;
        let now = SystemTime::now();
        let mut attributes = vec![
            KeyValue::new("reelstream.job_id", job_id),
            KeyValue::new("reelstream.stage", stage),
            KeyValue::new("reelstream.attempt", i64::from(attempt)),
        ];
        attributes.extend(scene.map(|scene| KeyValue::new("reelstream.scene", i64::from(scene))));
        if let Some(scheduled_at) = scheduled_at {
            tracer
                .span_builder(format!("{stage} waits"))
                .with_kind(SpanKind::Internal)
                .with_start_time(scheduled_at.min(now))
                .with_attributes(attributes.clone())
                .start_with_context(&tracer, &parent)
                .end_with_timestamp(now);
        }
        let span = tracer
            .span_builder(stage)
            .with_kind(SpanKind::Consumer)
            .with_start_time(now)
            .with_attributes(attributes)
            .start_with_context(&tracer, &parent);
        Self(span)
    }

    /// `failed` is the code of what went wrong.
    pub fn end(mut self, failed: Option<&str>) {
        if let Some(code) = failed {
            self.0.set_attribute(KeyValue::new("error.type", code.to_owned()));
            self.0.set_status(Status::error(code.to_owned()));
        }
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_sent_only_where_a_collector_is_configured() {
        let wanted = |set: &[(&str, &str)]| {
            let found = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            is_wanted(&found).map_err(|error| error.to_string())
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(false));
        assert_eq!(wanted(&[endpoint]), Ok(true));
        assert_eq!(wanted(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(false));
        assert_eq!(wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
        let refused = wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert_eq!(refused, "OTEL_TRACES_EXPORTER is zipkin, but must be otlp or none");
        let refused = wanted(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
        assert_eq!(refused, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but traces are sent as http/protobuf only");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        assert_eq!(wanted(&[endpoint, own, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(true));
    }

    /// Asks a collector that answers with so many bytes.
    async fn answered(bytes: usize) -> Result<usize, String> {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _asked = stream.read(&mut [0; 4096]).unwrap();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_bytes();
            // Who has read enough hangs up.
            let _written = stream.write_all(&[head, &vec![b'x'; bytes]].concat());
        });
        let client = Client { client: reqwest::Client::new(), runtime: tokio::runtime::Handle::current() };
        let answer = client.send_bytes(Request::post(url).body(Bytes::new()).unwrap()).await;
        collector.join().unwrap();
        answer.map(|answer| answer.body().len()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_collector_that_answers_without_end_is_left() {
        assert_eq!(answered(1000).await, Ok(1000));
        assert_eq!(answered(8 << 20).await, Err("the collector's answer is too large".to_owned()));
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse_traceparent(text).unwrap();
        assert_eq!(traceparent(&context).as_deref(), Some(text));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert!(parse_traceparent(wrong).is_none(), "{wrong}");
        }
        assert_eq!(traceparent(&Context::new()), None);
    }
}
