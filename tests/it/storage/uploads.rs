//! The store itself: what it writes can be read back, whatever goes wrong on the way, and nothing is left behind.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use reelstream::storage::{
    Content, Error, Key, Mode, Prefix, Refusal, S3, SignedAnswer, Storage, StorageMode, Store, Stores,
};

use super::s3_server::{BUCKET, Fault, S3Server};
use crate::harness::folder;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes that differ everywhere.
fn bytes(count: usize) -> Vec<u8> {
    let mut output = vec![0; count];
    blake3::Hasher::new().finalize_xof().fill(&mut output);
    output
}

fn file(folder: &Path, count: usize) -> (Content, Vec<u8>) {
    let (path, bytes) = (folder.join("in"), bytes(count));
    std::fs::write(&path, &bytes).unwrap();
    (Content::File(path), bytes)
}

async fn storage(server: &S3Server) -> Storage {
    Storage::new(S3::connect(&server.s3()).await)
}

const LARGE: usize = 20 << 20;

#[tokio::test]
async fn objects_are_written_read_listed_and_removed() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, bytes) = file(folder.path(), 100_000);
    let name = key("users/user_1/jobs/1/video.mp4");
    assert_eq!(storage.head(&name).await.unwrap(), None);
    assert!(storage.read(&name, 0..10).await.unwrap().is_none());
    let stored = storage.put(&name, content.clone(), Mode::Create).await.unwrap();
    assert_eq!((stored.bytes, stored.blake3), (100_000, blake3::hash(&bytes).to_hex().to_string()));
    assert_eq!(storage.head(&name).await.unwrap().unwrap().bytes, 100_000);
    assert_eq!(storage.get(&name, 100_000).await.unwrap().unwrap(), bytes);
    assert_eq!(storage.get_range(&name, 5..9).await.unwrap().unwrap(), &bytes[5..9]);
    assert_eq!(storage.get_range(&name, 99_999..200_000).await.unwrap().unwrap(), &bytes[99_999..]);
    assert_eq!(storage.get_range(&name, 100_000..200_000).await.unwrap().unwrap(), b"");
    assert_eq!(storage.content_hash(&name).await.unwrap(), Some(blake3::hash(&bytes).to_hex().to_string()));
    let copy = folder.path().join("out");
    assert!(storage.copy_to(&name, &copy).await.unwrap());
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    assert!(!storage.copy_to(&key("users/none"), &copy).await.unwrap());
    let again = storage.put(&name, Content::Bytes(vec![1]), Mode::Create).await;
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    storage.put(&name, Content::Bytes(vec![]), Mode::Replace).await.unwrap();
    assert_eq!(storage.get(&name, 1).await.unwrap().unwrap(), b"");
    for other in ["users/user_1/jobs/1/b", "users/user_1/jobs/10/c"] {
        storage.put(&key(other), Content::Bytes(vec![1]), Mode::Replace).await.unwrap();
    }
    let prefix = Prefix::parse("users/user_1/jobs/1").unwrap();
    let listed: Vec<Key> = storage.list(&prefix).await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(listed, [key("users/user_1/jobs/1/b"), name.clone()]);
    storage.delete_prefix(&prefix).await.unwrap();
    storage.delete_prefix(&prefix).await.unwrap();
    storage.delete(&name).await.unwrap();
    assert_eq!(server.keys(), ["users/user_1/jobs/10/c"]);
}

#[tokio::test]
async fn a_prefix_keeps_two_installations_in_one_bucket_apart() {
    let server = S3Server::start().await;
    let with =
        |prefix: &str| reelstream::storage::S3Settings { prefix: Some(prefix.to_owned()), ..server.s3() };
    let (one, two) = (S3::connect(&with("one")).await, S3::connect(&with("one/two")).await);
    for (store, byte) in [(&one, 1), (&two, 2)] {
        store.put(&key("a/x"), Content::Bytes(vec![byte]), Mode::Create, &|_| {}).await.unwrap();
    }
    assert_eq!(server.keys(), ["one/a/x", "one/two/a/x"]);
    let listed = one.list(&Prefix::parse("a").unwrap()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, key("a/x"));
    one.delete_prefix(&Prefix::parse("a").unwrap()).await.unwrap();
    assert_eq!(server.keys(), ["one/two/a/x"]);
}

// 000-3.1
#[tokio::test]
async fn a_large_file_goes_in_parts_and_reports_each() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, bytes) = file(folder.path(), LARGE);
    let sent = std::sync::Mutex::new(vec![]);
    let on_bytes = |bytes| sent.lock().unwrap().push(bytes);
    storage.put_once(&key("large.mp4"), content, Mode::Replace, &on_bytes).await.unwrap();
    let mut sent = sent.into_inner().unwrap();
    sent.sort_unstable();
    assert_eq!(sent, [4 << 20, 8 << 20, 8 << 20]);
    assert_eq!(std::fs::read(server.object("large.mp4")).unwrap(), bytes);
    let mut stream = storage.read(&key("large.mp4"), 7..(LARGE as u64)).await.unwrap().unwrap();
    let mut read = vec![];
    while let Some(piece) = stream.try_next().await.unwrap() {
        assert!(piece.len() <= 1 << 20, "in pieces, not whole: {}", piece.len());
        read.extend_from_slice(&piece);
    }
    assert!(read == bytes[7..]);
    assert_eq!(server.unfinished(), [""; 0]);
}

/// Each call of an upload in parts, and of one in one piece.
const CALLS: [(&str, &str, usize); 5] = [
    ("POST", "?uploads", LARGE),
    ("PUT", "partNumber=1", LARGE),
    ("PUT", "partNumber=3", LARGE),
    ("POST", "?uploadId", LARGE),
    ("PUT", "x.mp4", 1000),
];

// 000-5.4, 001-4.7
#[tokio::test]
async fn what_goes_wrong_once_is_tried_again_and_leaves_nothing_behind() {
    let folder = folder();
    for (method, target, count) in CALLS {
        for fault in [
            Fault::Answer(503, "SlowDown"),
            Fault::Answer(500, "InternalError"),
            Fault::Cut,
            Fault::LoseAnswer,
            Fault::CorruptRequest,
        ] {
            let has_body = method == "PUT";
            if matches!(fault, Fault::CorruptRequest) && !has_body {
                continue;
            }
            let server = S3Server::start().await;
            let storage = storage(&server).await;
            let (content, bytes) = file(folder.path(), count);
            server.fail(method, target, fault.clone(), 1);
            let what = format!("{method} {target} {fault:?}");
            let once = storage.put_once(&key("x.mp4"), content.clone(), Mode::Replace, &|_| {}).await;
            let error = once.expect_err(&what);
            assert!(error.is_remote() && error.is_retryable(), "{what}: {error:?}");
            if !matches!(fault, Fault::LoseAnswer) {
                assert_eq!(server.keys(), [""; 0], "{what}");
            }
            // The server keeps a file for the upload's id alone until it notices.
            let parts: Vec<String> =
                server.unfinished().into_iter().filter(|name| name.contains("part-")).collect();
            assert_eq!(parts, [""; 0], "{what}");
            server.fail(method, target, fault, 1);
            storage.put(&key("x.mp4"), content, Mode::Replace).await.expect(&what);
            assert!(std::fs::read(server.object("x.mp4")).unwrap() == bytes, "{what}");
        }
    }
}

#[tokio::test]
async fn an_object_that_was_created_though_the_answer_got_lost_is_not_taken_for_anothers() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    for count in [5, LARGE] {
        let name = key(&format!("created-{count}"));
        let (method, target) = if count == LARGE { ("POST", "?uploadId") } else { ("PUT", "created-5") };
        server.fail(method, target, Fault::LoseAnswer, 1);
        let folder = folder();
        let (content, _) = file(folder.path(), count);
        let stored = storage.put(&name, content, Mode::Create).await.unwrap();
        assert_eq!(stored.bytes, count as u64);
        let other = storage.put(&name, Content::Bytes(vec![1]), Mode::Create).await;
        assert!(matches!(other, Err(Error::Exists(_))), "{other:?}");
    }
    // Another's, found after a failure.
    server.fail("PUT", "taken", Fault::Cut, 1);
    let name = key("taken");
    let put = storage.put(&name, Content::Bytes(vec![1]), Mode::Create);
    let taken = async {
        while server.count("PUT", "taken") == 0 {
            tokio::task::yield_now().await;
        }
        std::fs::write(server.object("taken"), [2]).unwrap();
    };
    let (put, ()) = tokio::join!(put, taken);
    assert!(matches!(put, Err(Error::Exists(_))), "{put:?}");
}

// 000-5.4
#[tokio::test]
async fn an_upload_has_exactly_three_retries() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    server.fail("PUT", "x.mp4", Fault::Answer(503, "SlowDown"), 100);
    let failed = storage.put(&key("x.mp4"), Content::Bytes(vec![1]), Mode::Replace).await;
    assert!(failed.unwrap_err().is_retryable());
    assert_eq!(server.count("PUT", "x.mp4"), 4);
}

#[tokio::test]
async fn what_s3_refuses_is_not_tried_again_and_says_what_to_do() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    for (status, code, expected) in [
        (403, "AccessDenied", Refusal::AccessDenied),
        (403, "InvalidAccessKeyId", Refusal::BadCredentials),
        (403, "SignatureDoesNotMatch", Refusal::BadCredentials),
        (404, "NoSuchBucket", Refusal::NoSuchBucket),
        (403, "RequestTimeTooSkewed", Refusal::WrongClock),
        (301, "PermanentRedirect", Refusal::WrongRegion),
    ] {
        server.mend();
        let before = server.count("PUT", "x.mp4");
        server.fail("PUT", "x.mp4", Fault::Answer(status, code), 10);
        let refused = storage.put(&key("x.mp4"), Content::Bytes(vec![1]), Mode::Replace).await;
        let error = refused.expect_err(code);
        assert!(
            matches!(&error, Error::Refused { refusal, .. } if *refusal == expected),
            "{code}: {error:?}"
        );
        assert_eq!(server.count("PUT", "x.mp4"), before + 1, "{code}");
    }
    // A token that has expired may be renewed meanwhile.
    server.mend();
    server.fail("PUT", "x.mp4", Fault::Answer(400, "ExpiredToken"), 1);
    storage.put(&key("x.mp4"), Content::Bytes(vec![1]), Mode::Replace).await.unwrap();
}

#[tokio::test]
async fn wrong_settings_are_told_at_the_start() {
    let server = S3Server::start().await;
    let folder = folder();
    let open = async |change: &dyn Fn(&mut reelstream::storage::S3Settings)| {
        let mut settings = server.settings(StorageMode::S3);
        change(settings.s3.as_mut().unwrap());
        Stores::open(&settings, folder.path(), folder.path()).await.unwrap_err().to_string()
    };
    let message = open(&|s3| s3.bucket = "nowhere".to_owned()).await;
    assert!(message.contains("the bucket nowhere") && message.contains("create it"), "{message}");
    let message = open(&|s3| s3.credentials.as_mut().unwrap().secret_access_key = "wrong".to_owned()).await;
    assert!(message.contains("denied") || message.contains("AWS_SECRET_ACCESS_KEY"), "{message}");
    let message = open(&|s3| s3.endpoint = Some("http://127.0.0.1:1".to_owned())).await;
    assert!(message.contains("cannot reach the bucket videos"), "{message}");
    // It can be read, but not written.
    server.fail("PUT", "checks/", Fault::Answer(403, "AccessDenied"), 1);
    let message = open(&|_| {}).await;
    assert!(message.contains("s3:PutObject"), "{message}");
    Stores::open(&server.settings(StorageMode::S3), folder.path(), folder.path()).await.unwrap();
    assert_eq!(server.keys(), [""; 0], "the check leaves nothing behind in {BUCKET}");
}

// A clock that is wrong makes every signature invalid; no retry mends it.
#[tokio::test]
async fn a_wrong_clock_is_told_at_once_and_by_its_name() {
    let server = S3Server::start().await;
    let folder = folder();
    let open = async || {
        Stores::open(&server.settings(StorageMode::S3), folder.path(), folder.path())
            .await
            .unwrap_err()
            .to_string()
    };
    for method in ["HEAD", "PUT"] {
        server.fail(method, "/", Fault::WrongClock, 1);
        let message = open().await;
        assert!(message.contains("the clock of this machine is wrong"), "{method}: {message}");
        server.mend();
    }
    // 403 from a server with the same time is about rights.
    server.fail("HEAD", "/", Fault::Answer(403, ""), 1);
    let message = open().await;
    assert!(message.contains("access is denied"), "{message}");
}

#[tokio::test]
async fn a_token_that_expires_between_two_parts_may_be_renewed() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, bytes) = file(folder.path(), LARGE);
    server.fail("PUT", "partNumber=2", Fault::Answer(400, "ExpiredToken"), 1);
    let error = storage.put_once(&key("x.mp4"), content.clone(), Mode::Replace, &|_| {}).await.unwrap_err();
    assert!(error.is_retryable() && !matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(server.unfinished(), [""; 0], "the parts before it are gone");
    server.fail("PUT", "partNumber=2", Fault::Answer(400, "ExpiredToken"), 1);
    storage.put(&key("x.mp4"), content, Mode::Replace).await.unwrap();
    assert!(std::fs::read(server.object("x.mp4")).unwrap() == bytes);
    assert_eq!(server.unfinished(), [""; 0]);
}

#[tokio::test]
async fn a_bucket_that_goes_in_the_middle_of_an_upload_is_told() {
    let folder = folder();
    let (content, _) = file(folder.path(), LARGE);
    for (method, target) in [("PUT", "partNumber=3"), ("POST", "?uploadId")] {
        let server = S3Server::start().await;
        let storage = storage(&server).await;
        server.fail(method, target, Fault::Answer(404, "NoSuchBucket"), 10);
        let error = storage.put(&key("x.mp4"), content.clone(), Mode::Replace).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { refusal: Refusal::NoSuchBucket, .. }),
            "it says what to do: {error:?}"
        );
        assert!(error.to_string().contains("create it"), "{error}");
        assert_eq!(server.count(method, target), 1, "no retry brings it back");
        assert_eq!(server.unfinished().iter().filter(|name| name.contains("part-")).count(), 0);
    }
}

fn resident_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The file is sparse, and its size a setting (`REEL_SPARSE_MIB=5120` for 5 GiB): memory does not depend on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_file_is_uploaded_in_little_memory() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let mib = std::env::var("REEL_SPARSE_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(512_u64);
    let path = folder.path().join("sparse");
    std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    server.fail("PUT", "partNumber=", Fault::Swallow, usize::MAX);
    server.fail("POST", "uploadId=", Fault::Swallow, 1);
    let before = resident_bytes("VmRSS:");
    let stored = storage.put(&key("sparse.mp4"), Content::File(path), Mode::Replace).await.unwrap();
    let grown = resident_bytes("VmHWM:").saturating_sub(before);
    assert_eq!((stored.bytes, server.count("PUT", "partNumber=")), (mib << 20, (mib / 8) as usize));
    println!("{mib} MiB uploaded in {} MiB of memory, the server included", grown >> 20);
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, bytes) = file(folder.path(), 5 << 20);
    storage.put(&key("x.mp4"), content, Mode::Replace).await.unwrap();
    server.fail("GET", "x.mp4", Fault::CutAnswer(1 << 20), 3);
    let read = storage.get(&key("x.mp4"), 10 << 20).await.unwrap().unwrap();
    assert!(read == bytes);
    assert_eq!(server.count("GET", "x.mp4"), 4);
    server.fail("GET", "x.mp4", Fault::CutAnswer(1 << 20), 4);
    let failed = storage.get(&key("x.mp4"), 10 << 20).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed:?}");
}

#[tokio::test]
async fn a_copy_that_differs_is_refused() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, _) = file(folder.path(), 1000);
    storage.put(&key("x.mp4"), content, Mode::Replace).await.unwrap();
    server.fail("GET", "x.mp4", Fault::CorruptAnswer, 1);
    let copy = folder.path().join("copy");
    let failed = storage.copy_to(&key("x.mp4"), &copy).await.unwrap_err();
    assert!(failed.is_retryable() && !copy.exists(), "{failed:?}");
    assert!(storage.copy_to(&key("x.mp4"), &copy).await.unwrap());
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no half file is left: {names:?}");
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_gets_the_file() {
    let mut server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, bytes) = file(folder.path(), LARGE);
    server.fail("PUT", "partNumber=2", Fault::Delay(Duration::from_secs(30)), 1);
    let uploading = tokio::spawn(async move { storage.put(&key("x.mp4"), content, Mode::Replace).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.start_again().await;
    uploading.await.unwrap().unwrap();
    assert!(std::fs::read(server.object("x.mp4")).unwrap() == bytes);
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_aborted() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    let folder = folder();
    let (content, _) = file(folder.path(), LARGE);
    server.fail("PUT", "partNumber=3", Fault::Delay(Duration::from_secs(30)), 1);
    let name = key("x.mp4");
    let put = storage.put(&name, content, Mode::Replace);
    assert!(tokio::time::timeout(Duration::from_secs(1), put).await.is_err());
    crate::harness::eventually("the parts are gone", async || {
        !server.unfinished().iter().any(|name| name.contains("part-"))
    })
    .await;
    assert_eq!(server.keys(), [""; 0]);
}

// 003: signed URLs with a limited life
#[tokio::test]
async fn a_signed_url_gives_the_object_for_a_while_and_nothing_else() {
    let server = S3Server::start().await;
    let storage = storage(&server).await;
    storage.put(&key("x.mp4"), Content::Bytes(b"video".to_vec()), Mode::Replace).await.unwrap();
    let answer = SignedAnswer { content_type: Some("video/mp4".to_owned()), ..SignedAnswer::default() };
    let url = storage.signed_url(&key("x.mp4"), &answer, Duration::from_secs(2)).await.unwrap().unwrap();
    let ranged = reqwest::Client::new().get(&url).header("range", "bytes=1-2").send().await.unwrap();
    assert_eq!((ranged.status().as_u16(), ranged.text().await.unwrap()), (206, "id".to_owned()));
    assert_eq!(reqwest::get(url.replace("x.mp4", "y.mp4")).await.unwrap().status(), 403);
    assert_eq!(reqwest::get(url.split('?').next().unwrap()).await.unwrap().status(), 403);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 403, "it has expired");
}

// 001-5.4
#[tokio::test]
async fn both_stores_have_the_object_and_either_can_give_it() {
    let server = S3Server::start().await;
    let folder = folder();
    let stores =
        Stores::open(&server.settings(StorageMode::LocalAndS3), folder.path(), folder.path()).await.unwrap();
    let name = key("users/user_1/jobs/1/video.mp4");
    stores.files.put(&name, Content::Bytes(b"video".to_vec()), Mode::Create).await.unwrap();
    let local = folder.path().join(name.as_str());
    assert_eq!(std::fs::read(&local).unwrap(), std::fs::read(server.object(name.as_str())).unwrap());
    std::fs::remove_file(&local).unwrap();
    assert_eq!(stores.files.get(&name, 10).await.unwrap().unwrap(), b"video", "from S3");
    stores.files.put(&name, Content::Bytes(b"video".to_vec()), Mode::Replace).await.unwrap();
    std::fs::remove_file(server.object(name.as_str())).unwrap();
    assert_eq!(stores.files.get(&name, 10).await.unwrap().unwrap(), b"video", "from the disk");
    let answer = SignedAnswer::default();
    let url = stores.files.signed_url(&name, &answer, Duration::from_secs(60)).await.unwrap();
    assert_eq!(url, None, "S3 does not have it");
    stores.files.delete(&name).await.unwrap();
    assert_eq!(stores.files.head(&name).await.unwrap(), None);
}
