//! Uploads: what is kept and what is refused, whose it is, and what becomes of it.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use reelstream::app::Role;
use reelstream::projections::rebuild;
use reelstream::uploads::ClamavAddress;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{ALL_ROLES, System, error_of, eventually, files_under};

static API: [Role; 1] = [Role::Api];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const UPLOAD: &str = "/api/v1/uploads/content";
const BOUNDARY: &str = "----boundary-of-a-test";

const WORDS_SHA256: &str = "dba36bffa5cab0f922d087a3aeb179f9d4e745df40b323e1b1471402848c8a3e";

/// A file of a body: what it is called, and its content.
pub(crate) type File<'a> = (&'a str, Vec<u8>);

fn body_of(files: &[File]) -> Vec<u8> {
    let mut body = vec![];
    for (name, content) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend([head.as_bytes(), content, b"\r\n"].concat());
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

async fn send_as(system: &System, user: &str, body: Vec<u8>) -> Response {
    let request = system.anonymous(Method::POST, UPLOAD).bearer_auth(system.token(user, "user"));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    request.header("Content-Type", content_type).body(body).send().await.unwrap()
}

pub(crate) async fn upload(system: &System, files: &[File<'_>]) -> Vec<Value> {
    let answer = send_as(system, "user_1", body_of(files)).await;
    let status = answer.status();
    let mut body: Value = answer.json().await.unwrap();
    assert_eq!(status, 201, "{body}");
    body["uploads"].as_array_mut().unwrap().drain(..).collect()
}

pub(super) async fn refused(system: &System, files: &[File<'_>]) -> (u16, Value) {
    let refused = error_of(send_as(system, "user_1", body_of(files)).await).await;
    assert_nothing_is_left(system.media());
    refused
}

#[track_caller]
pub(super) fn assert_nothing_is_left(media: &Path) {
    for folder in ["uploads", "incoming"] {
        assert_eq!(files_under(&media.join(folder)), Vec::<std::path::PathBuf>::new(), "{folder}");
    }
}

pub(super) fn id(upload: &Value) -> &str {
    upload["upload_id"].as_str().unwrap()
}

fn path(upload: &Value) -> String {
    format!("/api/v1/uploads/{}", id(upload))
}

pub(super) fn picture(format: ImageFormat, color: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    RgbImage::from_pixel(64, 48, Rgb(color)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(super) fn large_picture(color: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    RgbImage::from_pixel(800, 600, Rgb(color)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The most pixels that are red in a frame of a finished video, of 320x180.
pub(super) async fn most_red_pixels(system: &System, job: &str) -> usize {
    let video = system.get(&format!("/api/v1/videos/jobs/{job}/download")).await.bytes().await.unwrap();
    let folder = crate::harness::folder();
    let file = folder.path().join("video.mp4");
    std::fs::write(&file, video).unwrap();
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(&file).args(["-vf", "fps=5,scale=320:180"]);
    let made = ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let is_red = |pixel: &&[u8]| pixel[0] > 150 && pixel[1] < 90 && pixel[2] < 90;
    let frames = made.stdout.chunks_exact(320 * 180 * 3);
    frames.map(|frame| frame.chunks_exact(3).filter(is_red).count()).max().unwrap()
}

fn wav() -> Vec<u8> {
    let mut wav = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(b"\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x08\0\0\0\0\0\0\0\0\0\0\0");
    wav
}

/// Two frames of 128 kbit/s at 44.1 kHz.
fn mp3() -> Vec<u8> {
    [b"\xff\xfb\x90\x00".as_slice(), &[0; 413]].concat().repeat(2)
}

fn mp4() -> Vec<u8> {
    b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08free".to_vec()
}

const SVG: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>"#;

/// The test file of virus scanners, in parts: whole, scanners would take this source for it.
fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

async fn list(system: &System, query: &str) -> Value {
    let answer = system.get(&format!("/api/v1/uploads{query}")).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn every_allowed_type_is_told_by_its_content_and_can_be_read_at_once() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let files = [
        ("a.txt", picture(ImageFormat::Png, [1, 2, 3]), "image/png"),
        ("b.exe", picture(ImageFormat::Jpeg, [1, 2, 3]), "image/jpeg"),
        ("c", picture(ImageFormat::WebP, [1, 2, 3]), "image/webp"),
        ("d.png", picture(ImageFormat::Gif, [1, 2, 3]), "image/gif"),
        ("e.html", SVG.into(), "image/svg+xml"),
        ("f.doc", b"%PDF-1.7\n%\xe2\xe3\n".to_vec(), "application/pdf"),
        ("g.zip", "Ions – they move.\r\n".into(), "text/plain"),
        ("h.MD", "# Ions\n\nThey move.".into(), "text/markdown"),
        ("i.mp4", wav(), "audio/wav"),
        ("j.wav", mp3(), "audio/mpeg"),
        ("k.mp3", mp4(), "video/mp4"),
    ];
    let (most, last) = files.split_at(10);
    let of = |files: &[(&'static str, Vec<u8>, &str)]| -> Vec<File<'static>> {
        files.iter().map(|(name, content, _)| (*name, content.clone())).collect()
    };
    let mut kept = upload(&system, &of(most)).await;
    kept.extend(upload(&system, &of(last)).await);
    for (upload, (name, content, content_type)) in kept.iter().zip(&files) {
        assert_eq!((&upload["filename"], &upload["content_type"]), (&json!(name), &json!(content_type)));
        assert_eq!((&upload["size"], &upload["scan_status"]), (&json!(content.len()), &json!("clean")));
        assert_eq!(upload["sha256"].as_str().unwrap().len(), 64);
        let is_picture = content_type.starts_with("image/") && !content_type.contains("svg");
        let expected = if is_picture { json!([64, 48]) } else { json!([null, null]) };
        assert_eq!(json!([upload["width"], upload["height"]]), expected, "{upload}");
        let one: Value = system.get(&path(upload)).await.json().await.unwrap();
        assert_eq!(&one, upload);
    }
    // As `printf words | sha256sum` says.
    let words = upload(&system, &[("words.txt", b"words".to_vec())]).await.pop().unwrap();
    assert_eq!(words["sha256"], WORDS_SHA256);
    system.request(Method::DELETE, &path(&words)).send().await.unwrap();
    let models = system.read_models().await;
    let newest_first: Vec<&Value> = kept.iter().rev().collect();
    let mut listed = vec![];
    for page in 1..=3 {
        let answer = list(&system, &format!("?page={page}&items_per_page=4")).await;
        assert_eq!((&answer["total_count"], &answer["page"]), (&json!(11), &json!(page)));
        assert_eq!((&answer["has_next"], &answer["has_previous"]), (&json!(page < 3), &json!(page > 1)));
        listed.extend(answer["uploads"].as_array().unwrap().clone());
    }
    assert_eq!(listed.iter().collect::<Vec<_>>(), newest_first);
    models.caught_up().await;
    assert_eq!(models.rows_of("library.uploads").await.len(), 11);
    assert_eq!(list(&system, "").await["uploads"], json!(newest_first), "from the rows, too");
    models.verify().await;
    system.running.stop().await;
}

#[tokio::test]
async fn what_is_of_another_type_is_refused_with_the_allowed_ones() {
    let system = System::start(&API).await;
    for (name, content, found) in [
        ("a.png", b"PK\x03\x04\x14\0\0\0".to_vec(), "ZIP"),
        ("a.txt", b"\x7fELF\x02\x01\x01\0".to_vec(), "ELF"),
        ("a.pdf", b"MZ\x90\0\x03\0\0\0".to_vec(), "PE"),
        ("a.svg", b"<!DOCTYPE html><script>alert(1)</script>".to_vec(), "HTML"),
        ("a.svg", b"<?xml version='1.0'?><feed/>".to_vec(), "not SVG"),
        ("a.txt", b"words\0and more".to_vec(), "control characters"),
        ("a.txt", b"caf\xe9".to_vec(), "UTF-8"),
        ("a.md", b"#!/bin/sh\nrm -rf /\n".to_vec(), "script"),
    ] {
        // One good file beside it does not help.
        let files = [("good.txt", b"words".to_vec()), (name, content)];
        let (status, error) = refused(&system, &files).await;
        assert_eq!((status, error["error_code"].as_str()), (415, Some("UNSUPPORTED_MEDIA_TYPE")), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(found) && message.contains("files[1]"), "{message}");
        assert_eq!(error["details"]["index"], 1);
        assert_eq!(error["details"]["allowed"].as_array().unwrap().len(), 11);
    }
    system.running.stop().await;
}

#[tokio::test]
async fn harmful_files_are_refused_and_drawings_are_kept_without_what_runs() {
    let system = System::start(&API).await;
    let entity = r#"<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>"#;
    let hidden = [b"Just words, and then: ".to_vec(), eicar()].concat();
    let in_picture = [picture(ImageFormat::Png, [9, 9, 9]), eicar()].concat();
    for (name, content) in [
        ("eicar.com", eicar()),
        ("notes.txt", hidden),
        ("photo.png", in_picture),
        ("drawing.svg", entity.into()),
        ("drawing.svg", b"<svg><!ENTITY a 'b'></svg>".to_vec()),
    ] {
        let (status, error) = refused(&system, &[(name, content)]).await;
        assert_eq!((status, error["error_code"].as_str()), (422, Some("MALICIOUS_CONTENT")), "{error}");
    }

    // A header that promises 50,000 by 50,000 pixels, in a file of a hundred bytes.
    let mut bomb = picture(ImageFormat::Png, [0, 0, 0]);
    bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let (status, error) = refused(&system, &[("bomb.png", bomb)]).await;
    assert_eq!((status, error["error_code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("50000x50000 pixels"), "{error}");

    let mut half = picture(ImageFormat::Png, [0, 0, 0]);
    half.truncate(half.len() / 2);
    for (name, content, kind) in [
        ("half.png", half, "damaged"),
        ("cut.svg", b"<svg><g>".to_vec(), "damaged"),
        ("empty", vec![], "empty"),
    ] {
        let (status, error) = refused(&system, &[(name, content)]).await;
        assert_eq!((status, error["details"][0]["type"].as_str()), (422, Some(kind)), "{error}");
        assert_eq!(error["details"][0]["loc"], json!(["body", "files", "0"]));
    }

    let drawing = r##"<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script>
        <image href="http://evil.example/x.png"/><path id="stays" d="M0 0"/></svg>"##;
    let kept = upload(&system, &[("drawing.svg", drawing.into())]).await.pop().unwrap();
    assert_eq!(kept["sanitized"], true);
    let stored = stored_content(&system);
    let [stored] = &stored[..] else { panic!("{} files", stored.len()) };
    let text = String::from_utf8(stored.clone()).unwrap();
    assert!(!text.contains("alert") && !text.contains("evil") && text.contains("stays"), "{text}");
    assert_eq!(kept["size"], text.len());
    system.running.stop().await;
}

/// The contents of all stored files.
fn stored_content(system: &System) -> Vec<Vec<u8>> {
    let root = system.media().join("uploads");
    files_under(&root).iter().map(|file| std::fs::read(root.join(file)).unwrap()).collect()
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A request whose body is sent by hand.
struct Sending(TcpStream);

impl Sending {
    async fn begin(system: &System, content_length: u64) -> Self {
        let address = system.running.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let token = system.token("user_1", "user");
        let head = format!(
            "POST {UPLOAD} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {content_length}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The status of the answer, and its body.
    async fn answer(mut self) -> (u16, Value) {
        let mut answer = vec![];
        self.0.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

// 002-2.2
#[tokio::test]
async fn a_large_file_is_never_in_memory_and_one_past_the_limit_is_refused() {
    const MIB: usize = 1 << 20;
    let system = System::start_with(&API, |config| config.uploads.max_file_bytes = 64 * MIB as u64).await;
    let whole = body_of(&[("large.txt", vec![])]);
    let (head, tail) = whole.split_at(whole.len() - BOUNDARY.len() - 8);
    let send = async |mib: usize| {
        let length = (head.len() + tail.len() + mib * MIB) as u64;
        let mut sending = Sending::begin(&system, length).await;
        sending.send(head).await;
        let piece = "words ".repeat(MIB).into_bytes();
        for _ in 0..mib {
            sending.send(&piece[..MIB]).await;
        }
        sending.send(tail).await;
        sending.answer().await
    };
    let small = send(1).await;
    assert_eq!(small.0, 201, "{}", small.1);
    let before = peak_memory();
    let (status, answer) = send(64).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["uploads"][0]["size"], 64 * MIB);
    let grown = peak_memory() - before;
    assert!(grown < 32 * MIB as u64, "64 MiB took {} MiB of memory", grown / MIB as u64);

    let (status, answer) = send(65).await;
    assert_eq!((status, answer["error"]["error_code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")));
    assert_eq!(answer["error"]["details"]["max_bytes"], 64 * MIB);
    assert!(answer["error"]["details"]["sent_bytes"].as_u64() > Some(65 * MIB as u64), "{answer}");
    assert_eq!(files_under(&system.media().join("incoming")), Vec::<std::path::PathBuf>::new());
    assert_eq!(files_under(&system.media().join("uploads")).len(), 2, "the other two");

    // One that says itself that it is too long is not read at all.
    let (status, answer) = Sending::begin(&system, 10_000_000_000).await.answer().await;
    assert_eq!((status, &answer["error"]["details"]["sent_bytes"]), (413, &json!(10_000_000_000_u64)));
    // Elsewhere bodies are as small as before.
    let long = system.post("/api/v1/videos/generate", &json!("x".repeat(3 * MIB))).await;
    assert_eq!(error_of(long).await.0, 413);
    system.running.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let system = System::start(&API).await;
    let body = body_of(&[("a.txt", vec![b'x'; 1 << 20])]);
    for cut in [40, 200, 500_000, body.len() - 10] {
        let mut sending = Sending::begin(&system, body.len() as u64).await;
        sending.send(&body[..cut]).await;
        if cut > 100_000 {
            eventually("it is being received", async || {
                !files_under(&system.media().join("incoming")).is_empty()
            })
            .await;
        }
        drop(sending);
        eventually("it is gone", async || {
            let incoming = system.media().join("incoming");
            std::fs::read_dir(incoming).map_or(true, |mut folder| folder.next().is_none())
        })
        .await;
    }
    assert_nothing_is_left(system.media());
    assert_eq!(list(&system, "").await["total_count"], 0);
    // Its places were given back.
    assert_eq!(upload(&system, &[("a.txt", b"words".to_vec())]).await.len(), 1);
    system.running.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_files_are_refused() {
    let system = System::start(&API).await;
    let text_part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n");
    let twelve: Vec<File> = (0..11).map(|_| ("a.txt", b"words".to_vec())).collect();
    let cut = body_of(&[("a.txt", b"words".to_vec())]);
    let endless_header = format!("--{BOUNDARY}\r\nX-Long: {}", "x".repeat(1 << 20));
    for (body, status, kind) in [
        (b"not multipart at all".to_vec(), 400, "BAD_REQUEST"),
        (cut[..cut.len() - 30].to_vec(), 400, "BAD_REQUEST"),
        (endless_header.into_bytes(), 400, "BAD_REQUEST"),
        (format!("--{BOUNDARY}--\r\n").into_bytes(), 422, "VALIDATION_ERROR"),
        (format!("{text_part}--{BOUNDARY}--\r\n").into_bytes(), 422, "VALIDATION_ERROR"),
        (body_of(&twelve), 422, "VALIDATION_ERROR"),
    ] {
        let (found, error) = error_of(send_as(&system, "user_1", body).await).await;
        assert_eq!((found, error["error_code"].as_str()), (status, Some(kind)), "{error}");
        assert_nothing_is_left(system.media());
    }
    let other = system.request(Method::POST, UPLOAD).header("Content-Type", "image/png").body("x");
    assert_eq!(error_of(other.send().await.unwrap()).await.0, 415);
    let no_boundary = system.request(Method::POST, UPLOAD).header("Content-Type", "multipart/form-data");
    assert_eq!(error_of(no_boundary.body("x").send().await.unwrap()).await.0, 400);
    system.running.stop().await;
}

#[tokio::test]
async fn names_are_only_texts() {
    let system = System::start(&API).await;
    let long = format!("{}.txt", "n".repeat(300));
    let names = [
        ("../../../etc/passwd", "passwd"),
        (r"C:\\temp\\notes.txt", "notes.txt"),
        ("nul\0l.txt", "null.txt"),
        ("photo\u{202e}gnp.txt", "photognp.txt"),
        ("", "unnamed"),
    ];
    let files: Vec<File> =
        names.iter().enumerate().map(|(index, (name, _))| (*name, format!("File {index}.").into())).collect();
    let kept = upload(&system, &files).await;
    for (upload, (given, expected)) in kept.iter().zip(names) {
        assert_eq!(upload["filename"], expected, "{given:?}");
    }
    let kept = upload(&system, &[(&long, b"words".to_vec())]).await;
    let name = kept[0]["filename"].as_str().unwrap();
    assert!(name.chars().count() == 200 && name.ends_with(".txt"), "{name}");
    for file in files_under(&system.media().join("uploads")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(uuid::Uuid::parse_str(name).is_ok(), "{name}");
    }
    system.running.stop().await;
}

// 002-2.5
#[tokio::test]
async fn uploads_are_their_user_s_alone_and_the_same_bytes_are_stored_once() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let first = upload(&system, &[("a.txt", b"words".to_vec())]).await.pop().unwrap();
    let twice = upload(&system, &[("b.txt", b"words".to_vec()), ("c.txt", b"words".to_vec())]).await;
    assert_eq!(stored_content(&system), [b"words"]);
    let as_other = async |method: Method, path: &str| {
        let request = system.anonymous(method, path).bearer_auth(system.token("user_2", "user"));
        request.send().await.unwrap()
    };
    let unknown = format!("/api/v1/uploads/{}", uuid::Uuid::now_v7());
    for path in [&path(&first), &unknown, "/api/v1/uploads/not-an-id"] {
        for method in [Method::GET, Method::DELETE] {
            let (status, error) = error_of(as_other(method, path).await).await;
            assert_eq!((status, &error["message"]), (404, &json!("there is no such upload")));
        }
    }
    // Another user's bytes are another user's, though they are the same.
    let other = send_as(&system, "user_2", body_of(&[("a.txt", b"words".to_vec())])).await;
    assert_eq!(other.status(), 201);
    assert_eq!(stored_content(&system).len(), 2);

    let delete = async |upload: &Value| {
        let answer = system.request(Method::DELETE, &path(upload)).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(delete(&first).await, 204);
    assert_eq!(delete(&twice[0]).await, 204);
    assert_eq!(stored_content(&system).len(), 2, "one upload needs them still");
    assert_eq!(delete(&first).await, 404);
    assert_eq!(list(&system, "").await["total_count"], 1);
    assert_eq!(delete(&twice[1]).await, 204);
    assert_eq!(stored_content(&system).len(), 1, "user_2's");
    let models = system.read_models().await;
    models.caught_up().await;
    assert_eq!(models.rows_of("library.uploads").await.len(), 1);
    models.verify().await;
    // A new edition of the rows is the same, and serves.
    let rows = models.rows_of("library.uploads").await;
    let library = models.model("library");
    let differences = rebuild::rebuild(&models.log, &library, true, &watch::Sender::default()).await.unwrap();
    assert_eq!(differences.count, 0, "{:#?}", differences.shown);
    assert_eq!(models.rows_of("library.uploads").await, rows);
    let again = upload(&system, &[("a.txt", b"words".to_vec())]).await.pop().unwrap();
    models.caught_up().await;
    assert_eq!(list(&system, "").await["uploads"], json!([again]));
    system.running.stop().await;
}

#[tokio::test]
async fn what_one_user_keeps_is_bounded() {
    let system = System::start_with(&API, |config| config.streams.limits.upload_bytes_per_user = 100).await;
    let kept = upload(&system, &[("a.txt", vec![b'a'; 60])]).await.pop().unwrap();
    let (status, error) =
        error_of(send_as(&system, "user_1", body_of(&[("b.txt", vec![b'b'; 41])])).await).await;
    assert_eq!((status, error["error_code"].as_str()), (413, Some("QUOTA_EXCEEDED")));
    let details = &error["details"];
    assert_eq!(
        json!([details["used_bytes"], details["more_bytes"], details["max_bytes"]]),
        json!([60, 41, 100])
    );
    assert_eq!(stored_content(&system).len(), 1);
    assert_eq!(upload(&system, &[("again.txt", vec![b'a'; 60])]).await.len(), 1, "the same bytes");
    // Many at once: what fits is kept, and no more.
    let sends =
        (0..4).map(|number| send_as(&system, "user_1", body_of(&[("c.txt", vec![b'0' + number; 20])])));
    let answers = futures_util::future::join_all(sends).await;
    let accepted = answers.iter().filter(|answer| answer.status() == 201).count();
    assert_eq!(accepted, 2);
    assert_eq!(stored_content(&system).len(), 3);
    let other = send_as(&system, "user_2", body_of(&[("a.txt", vec![b'a'; 100])])).await;
    assert_eq!(other.status(), 201, "another user's quota is their own");
    let again = list(&system, "?items_per_page=100").await;
    for upload in again["uploads"].as_array().unwrap() {
        system.request(Method::DELETE, &path(upload)).send().await.unwrap();
    }
    assert_eq!(upload(&system, &[("all.txt", vec![b'z'; 100])]).await.len(), 1, "{kept} made room");
    system.running.stop().await;
}

/// Speaks clamd's INSTREAM: finds what holds `malicious`, and answers `garbage` with an error.
async fn scanner() -> (TcpListener, ClamavAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ClamavAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    (listener, address)
}

async fn scan(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut command = [0; 10];
        stream.read_exact(&mut command).await.unwrap();
        assert_eq!(&command, b"zINSTREAM\0");
        let mut content = vec![];
        loop {
            let length = stream.read_u32().await.unwrap() as usize;
            if length == 0 {
                break;
            }
            let start = content.len();
            content.resize(start + length, 0);
            stream.read_exact(&mut content[start..]).await.unwrap();
        }
        let content = String::from_utf8_lossy(&content).into_owned();
        let answer: &[u8] = match () {
            () if content.contains("malicious") => b"stream: Test-Signature FOUND\0",
            () if content.contains("garbage") => b"INSTREAM size limit exceeded. ERROR\0",
            () => b"stream: OK\0",
        };
        stream.write_all(answer).await.unwrap();
    }
}

/// Against a stand-in for clamd, which speaks its protocol.
#[tokio::test]
async fn a_configured_scanner_decides_and_without_its_answer_nothing_is_kept() {
    let (listener, address) = scanner().await;
    let system = System::start_with(&API, |config| config.uploads.clamav = Some(address)).await;
    let away = tokio::spawn(scan(listener));
    let long = [vec![b'x'; 200_000], b" clean".to_vec()].concat();
    let kept = upload(&system, &[("long.txt", long)]).await.pop().unwrap();
    assert_eq!(kept["scanned_by"], json!(["built_in", "clamav"]));
    let delete = system.request(Method::DELETE, &path(&kept)).send().await.unwrap();
    assert_eq!(delete.status(), 204);
    let (status, error) = refused(&system, &[("a.txt", b"something malicious".to_vec())]).await;
    assert_eq!((status, error["error_code"].as_str()), (422, Some("MALICIOUS_CONTENT")));
    assert!(error["message"].as_str().unwrap().contains("Test-Signature"), "{error}");
    let (status, error) = refused(&system, &[("a.txt", b"garbage".to_vec())]).await;
    assert_eq!((status, error["error_code"].as_str()), (503, Some("SERVICE_UNAVAILABLE")));
    assert!(!error.to_string().contains("INSTREAM"), "causes are not sent: {error}");
    away.abort();
    let _ended = away.await;
    let (status, _) = refused(&system, &[("a.txt", b"words".to_vec())]).await;
    assert_eq!(status, 503, "it is away");
    system.running.stop().await;
}

/// ClamAV's daemon with one signature of our own, which needs no network. Stopped when dropped.
struct Clamd(std::process::Child);

impl Clamd {
    async fn start(folder: &Path) -> (Self, ClamavAddress) {
        let (database, socket) = (folder.join("signatures"), folder.join("clamd.socket"));
        std::fs::create_dir_all(&database).unwrap();
        let pattern: String = b"reel-test-malware".iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(database.join("reel.ndb"), format!("Reel.Test:0:*:{pattern}\n")).unwrap();
        let config = format!(
            "DatabaseDirectory {}\nLocalSocket {}\nForeground yes\nStreamMaxLength 1M\n",
            database.display(),
            socket.display()
        );
        let file = folder.join("clamd.conf");
        std::fs::write(&file, config).unwrap();
        let clamd = std::process::Command::new("/usr/sbin/clamd")
            .arg(format!("--config-file={}", file.display()))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("clamd starts; `apt-get install clamav-daemon` installs it");
        let clamd = Self(clamd);
        eventually("clamd listens", async || tokio::net::UnixStream::connect(&socket).await.is_ok()).await;
        (clamd, ClamavAddress::Unix(socket))
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn clamd_itself_is_asked_and_what_it_does_not_scan_is_not_kept() {
    let folder = crate::harness::folder();
    let (clamd, address) = Clamd::start(folder.path()).await;
    let system = System::start_with(&API, |config| config.uploads.clamav = Some(address)).await;
    let kept = upload(&system, &[("a.txt", b"words".to_vec())]).await.pop().unwrap();
    assert_eq!(kept["scanned_by"], json!(["built_in", "clamav"]));
    system.request(Method::DELETE, &path(&kept)).send().await.unwrap();
    let (status, error) = refused(&system, &[("a.txt", b"some reel-test-malware here".to_vec())]).await;
    assert_eq!((status, error["error_code"].as_str()), (422, Some("MALICIOUS_CONTENT")), "{error}");
    assert!(error["details"]["found"].as_str().unwrap().contains("Reel.Test"), "{error}");
    // More than its StreamMaxLength: it answers before it has read all.
    let (status, _) = refused(&system, &[("a.txt", vec![b'x'; 3 << 20])]).await;
    assert_eq!(status, 503);
    drop(clamd);
    let (status, _) = refused(&system, &[("a.txt", b"words".to_vec())]).await;
    assert_eq!(status, 503, "it is away");
    system.running.stop().await;
}

#[tokio::test]
async fn an_erasure_leaves_no_name_and_no_byte() {
    let system = System::start(&API_AND_PROJECTOR).await;
    upload(&system, &[("zanzibarite.txt", b"The word zanzibarite.".to_vec())]).await;
    let body = json!({ "name": "zanzibarite", "tags": ["zanzibarite"] });
    assert_eq!(system.post("/api/v1/configurations", &body).await.status(), 201);
    let other = send_as(&system, "user_2", body_of(&[("a.txt", b"stays".to_vec())])).await;
    assert_eq!(other.status(), 201);
    let models = system.read_models().await;
    models.caught_up().await;
    let words = async || {
        let rows = models.rows().await;
        rows.iter().filter(|(_, row)| row.to_string().contains("zanzibarite")).count()
    };
    assert_eq!(words().await, 2);
    let erased = system.reel(&["erase", "user", "user_1", "--yes"]);
    let told =
        format!("{}{}", String::from_utf8_lossy(&erased.stdout), String::from_utf8_lossy(&erased.stderr));
    // The servers of the run are shared, so that their files cannot be cleaned of this test's alone.
    assert!(told.contains("1 keys destroyed"), "{told}");
    models.caught_up().await;
    assert_eq!(words().await, 0);
    assert_eq!(stored_content(&system), [b"stays"]);
    assert_eq!(list(&system, "").await["total_count"], 0);
    let configurations: Value = system.get("/api/v1/configurations").await.json().await.unwrap();
    assert_eq!(configurations["total_count"], 0);
    models.verify().await;
    let log = system.log().await;
    for partition in log.keys().partitions() {
        for (_, event) in log.read(partition, 0, 1000).await.unwrap() {
            assert!(!event.data.contains("zanzibarite"), "{}", event.data);
        }
    }
    // There is a new beginning.
    assert_eq!(upload(&system, &[("new.txt", b"new".to_vec())]).await.len(), 1);
    system.running.stop().await;
}

#[tokio::test]
async fn uploaded_texts_are_planned_and_pictures_shown() {
    let system = System::start(&ALL_ROLES).await;
    let kept = upload(
        &system,
        &[
            ("ions.md", "\u{feff}# Ions\n\nZanzibarite ions move.".into()),
            ("red.png", large_picture([230, 10, 10])),
            ("a.gif", picture(ImageFormat::Gif, [230, 10, 10])),
        ],
    )
    .await;
    let [text, red, gif] = [0, 1, 2].map(|index| id(&kept[index]));
    let from_text = json!({ "topic": "Ions", "upload_ids": [text, text], "quality": "low" });
    let scene = |upload: &str| {
        json!({ "title": "Red", "blocks": [{ "kind": "image", "upload_id": upload, "caption": "A red picture" }],
                "steps": [{ "narration": "This is red." }] })
    };
    let from_scenes =
        json!({ "topic": "Red", "scenes": [scene(red)], "upload_ids": [red], "quality": "low" });
    let (planned, shown) = (system.generate(&from_text).await, system.generate(&from_scenes).await);
    for job in [&planned, &shown] {
        let last = system.statuses_until_ended(job, Duration::from_secs(100)).await.pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
    }
    let events = system.events(&planned).await;
    let told: String =
        events.iter().filter(|event| event["type"] == "ScenePlanned").map(Value::to_string).collect();
    assert!(told.contains("Zanzibarite ions move."), "{told}");
    let recorded = events[0]["data"]["request"]["uploads"].as_array().unwrap();
    assert_eq!((recorded.len(), &recorded[0]["upload_id"]), (1, &json!(text)), "once");

    let red_pixels = most_red_pixels(&system, &shown).await;
    assert!(red_pixels > 2000, "{red_pixels} pixels of a frame are red");

    // What is not there, not theirs, or cannot be shown is named.
    let faults = async |user: &str, body: Value| {
        let request = system.anonymous(Method::POST, "/api/v1/videos/generate");
        let request = request.bearer_auth(system.token(user, "user")).json(&body);
        let (status, error) = error_of(request.send().await.unwrap()).await;
        assert_eq!(status, 422);
        let details = error["details"].as_array().unwrap().clone();
        details.iter().map(|fault| (fault["loc"].to_string(), fault["msg"].to_string())).collect::<Vec<_>>()
    };
    let unknown = uuid::Uuid::now_v7().to_string();
    let found =
        faults("user_1", json!({ "topic": "Ions", "script": "x", "upload_ids": [text, unknown, "no"] }))
            .await;
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, [r#"["body","upload_ids","1"]"#, r#"["body","upload_ids","2"]"#]);
    let found = faults("user_2", json!({ "topic": "Ions", "script": "x", "upload_ids": [text] })).await;
    assert_eq!(found.len(), 1, "another user's: {found:?}");
    let found = faults("user_1", json!({ "topic": "Ions", "upload_ids": [red] })).await;
    assert_eq!(found[0].0, r#"["body","context"]"#, "a picture says nothing");
    let found = faults("user_1", json!({ "topic": "Ions", "scenes": [scene(red)] })).await;
    assert!(found[0].1.contains("names no upload of upload_ids"), "{found:?}");
    let found =
        faults("user_1", json!({ "topic": "Ions", "scenes": [scene(gif)], "upload_ids": [gif] })).await;
    assert!(found[0].1.contains("PNG and JPEG only"), "{found:?}");
    let many = vec![text; 11];
    let found = faults("user_1", json!({ "topic": "Ions", "script": "x", "upload_ids": many })).await;
    assert!(found[0].1.contains("at most 10"), "{found:?}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_job_whose_upload_was_deleted_says_so() {
    let system = System::start(&API).await;
    let kept = upload(&system, &[("ions.txt", b"Ions move.".to_vec())]).await.pop().unwrap();
    let job = system.generate(&json!({ "topic": "Ions", "upload_ids": [id(&kept)], "quality": "low" })).await;
    let deleted = system.request(Method::DELETE, &path(&kept)).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    let worker = crate::harness::Running::start(system.config.clone(), &[Role::Worker]).await;
    let last = system.statuses_until_ended(&job, Duration::from_secs(60)).await.pop().unwrap();
    assert_eq!(
        (&last["status"], &last["error"]["error_code"]),
        (&json!("failed"), &json!("UPLOAD_GONE")),
        "{last}"
    );
    worker.stop().await;
    system.running.stop().await;
}
