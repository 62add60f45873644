//! Whatever is done to the log by hand is found, and named.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redis::Value as Reply;
use reelstream::app::Role;
use reelstream::audit::{Notary, Report, Seal, SealLog, Seals, Verifier, verify_job};
use reelstream::events::{Envelope, EventLog};
use reelstream::ids::{AggregateId, JobId};
use reelstream::signing::{SigningKey, is_signed};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, MASTER_KEY, ReadModels, System, error_of, files_under, short_request};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

/// A sealed partition with a few jobs, and a way to write its entries anew.
struct Scene {
    system: System,
    models: ReadModels,
    partition: u16,
}

type Entry = (String, Vec<(String, Vec<u8>)>);

impl Scene {
    async fn new() -> Self {
        let system = System::start_with(&API_AND_PROJECTOR, |config| config.streams.partitions = 1).await;
        for _ in 0..4 {
            system.generate(&short_request()).await;
        }
        let models = system.read_models().await;
        models.caught_up().await;
        let scene = Self { system, models, partition: 0 };
        scene.seal().await;
        scene
    }

    fn log(&self) -> &EventLog {
        &self.models.log
    }

    fn key() -> SigningKey {
        SigningKey::parse(MASTER_KEY).unwrap()
    }

    fn seals(&self) -> Seals {
        Seals::new(self.models.pool.clone())
    }

    /// As a process has it that has just been started.
    fn notary(&self) -> Notary {
        Notary {
            log: self.log().clone(),
            seals: self.seals(),
            seal_log: self.seal_log(),
            key: Self::key(),
            public_keys: vec![Self::key().public_key()],
        }
    }

    fn seal_log(&self) -> SealLog {
        SealLog::new(&self.system.config.archive.seals_log)
    }

    async fn seal(&self) -> Option<Seal> {
        self.notary().seal_partition(self.partition, Utc::now()).await.unwrap()
    }

    async fn verify(&self) -> Report {
        self.verify_at(Utc::now()).await
    }

    async fn verify_at(&self, now: DateTime<Utc>) -> Report {
        self.verifier().verify_partition(self.partition, now).await.unwrap()
    }

    fn verifier(&self) -> Verifier {
        Verifier {
            log: self.log().clone(),
            trail: self.models.trail.clone(),
            seals: self.seals(),
            seal_log: self.seal_log(),
            public_keys: vec![Self::key().public_key()],
            seal_every: Duration::from_secs(60),
            gaps_known_until: None,
        }
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.models.pool).await.unwrap();
    }

    async fn entries(&self) -> Vec<Entry> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.log().keys().log(self.partition)).arg("-").arg("+");
        let entries: Vec<(String, Vec<Reply>)> =
            range.query_async(&mut self.log().connection()).await.unwrap();
        let text = |reply: &Reply| match reply {
            Reply::BulkString(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        };
        let pairs = |fields: Vec<Reply>| {
            fields
                .chunks(2)
                .map(|pair| (String::from_utf8(text(&pair[0])).unwrap(), text(&pair[1])))
                .collect()
        };
        entries.into_iter().map(|(id, fields)| (id, pairs(fields))).collect()
    }

    /// Replaces the whole stream, as somebody with access to Redis could.
    async fn rewrite(&self, entries: &[Entry]) {
        let mut redis = self.log().connection();
        let log = self.log().keys().log(self.partition);
        let _: u64 = redis::cmd("DEL").arg(&log).query_async(&mut redis).await.unwrap();
        for (id, fields) in entries {
            let mut add = redis::cmd("XADD");
            add.arg(&log).arg(id);
            for (name, value) in fields {
                add.arg(name).arg(value);
            }
            let _: String = add.query_async(&mut redis).await.unwrap();
        }
    }

    async fn events(&self) -> Vec<Envelope> {
        self.log().read(self.partition, 0, 1000).await.unwrap().into_iter().map(|(_, event)| event).collect()
    }
}

fn stored(envelope: &Envelope) -> Vec<(String, Vec<u8>)> {
    let mut values = vec![];
    envelope.each_stored(|value| values.push(value.to_vec()));
    Envelope::STORED.iter().map(|name| (*name).to_owned()).zip(values).collect()
}

/// Two events change places; the places keep their ids.
fn exchange(entries: &mut [Entry], a: usize, b: usize) {
    let id = |entries: &[Entry], at: usize| entries[at].0.clone();
    let (id_a, id_b) = (id(entries, a), id(entries, b));
    entries.swap(a, b);
    (entries[a].0, entries[b].0) = (id_a, id_b);
}

/// The finding that names this event.
fn names(report: &Report, id: AggregateId, version: u64, words: &str) {
    let is_it = |finding: &&reelstream::audit::Finding| {
        finding.aggregate_id == Some(id) && finding.version == Some(version) && finding.what.contains(words)
    };
    assert!(
        report.findings.iter().any(|finding| is_it(&finding)),
        "{id} {version} {words}: {:#?}",
        report.findings
    );
}

/// A finding that says these words.
fn finds(report: &Report, words: &str) {
    assert!(
        report.findings.iter().any(|finding| finding.what.contains(words)),
        "{words}: {:#?}",
        report.findings
    );
}

/// An audit of a system that works finds nothing, whatever is appended while it reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_while_it_is_verified_is_clean() {
    let scene = Scene::new().await;
    let is_done = AtomicBool::new(false);
    let verify = async {
        for _ in 0..12 {
            let report = scene.verify().await;
            assert!(report.is_clean(), "{report:?}");
        }
        is_done.store(true, Ordering::Relaxed);
    };
    tokio::join!(write_jobs(&scene, &is_done), write_jobs(&scene, &is_done), verify);
    scene.system.running.stop().await;
}

/// Requests jobs and cancels them, which is two appends for each.
async fn write_jobs(scene: &Scene, is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        let job_id = scene.system.generate(&short_request()).await;
        let cancel = format!("/api/v1/jobs/{job_id}/cancel");
        assert_eq!(scene.system.post(&cancel, &json!({})).await.status(), 200);
    }
}

#[tokio::test]
async fn editing_deleting_reordering_and_inserting_by_hand_are_found_and_named() {
    let scene = Scene::new().await;
    let (entries, events) = (scene.entries().await, scene.events().await);
    let clean = scene.verify().await;
    assert!(clean.is_clean(), "{:#?}", clean.findings);
    assert_eq!((clean.events, clean.aggregates, clean.seals > 0), (12, 4, true));

    // Edited: other words under the same hash.
    let mut edited = entries.clone();
    let (of, version) = (events[4].aggregate_id, events[4].version);
    let data = edited[4].1.iter_mut().find(|(name, _)| name == "data").unwrap();
    data.1 = String::from_utf8(data.1.clone()).unwrap().replace("normal", "urgent").into_bytes();
    scene.rewrite(&edited).await;
    let report = scene.verify().await;
    names(&report, of, version, "edited");
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);

    // Deleted: one in the middle of a history, and the last of another.
    for (index, words) in [(4, "gone"), (8, "gone")] {
        let mut deleted = entries.clone();
        deleted.remove(index);
        scene.rewrite(&deleted).await;
        let report = scene.verify().await;
        let event = &events[index];
        names(&report, event.aggregate_id, event.version, words);
        assert!(
            report.findings.iter().any(|finding| finding.seq == Some(index as u64 + 1)),
            "{:#?}",
            report.findings
        );
    }

    // Reordered: two events of different histories change places.
    let mut reordered = entries.clone();
    exchange(&mut reordered, 2, 3);
    scene.rewrite(&reordered).await;
    let report = scene.verify().await;
    names(&report, events[2].aggregate_id, events[2].version, "the event is gone");
    names(&report, events[3].aggregate_id, events[3].version, "the event is gone");

    // Reordered within one history.
    let mut reordered = entries.clone();
    exchange(&mut reordered, 0, 1);
    scene.rewrite(&reordered).await;
    names(&scene.verify().await, events[0].aggregate_id, 1, "order was changed");

    // Inserted: an event that fits into the chain, behind the last of a history.
    let mut inserted = entries.clone();
    let mut forged = events[11].clone();
    forged.version += 1;
    forged.prev_hash.clone_from(&events[11].hash);
    forged.event_id = reelstream::ids::EventId::new();
    forged.hash = forged.compute_hash();
    inserted.push(("13-0".to_owned(), stored(&forged)));
    scene.rewrite(&inserted).await;
    names(&scene.verify().await, forged.aggregate_id, forged.version, "inserted");

    scene.rewrite(&entries).await;
    assert!(scene.verify().await.is_clean());
    scene.system.running.stop().await;
}

/// What is in the archive and in Redis must be the same in both; a damaged archive is found, too.
#[tokio::test]
async fn changes_to_what_is_archived_are_found_on_both_sides() {
    let scene = Scene::new().await;
    let (entries, events) = (scene.entries().await, scene.events().await);
    let archive = scene.system.archive();
    reelstream::events::archive::write_segments(scene.log(), &archive, 0, 5, true, &Scene::key())
        .await
        .unwrap();
    assert!(scene.verify().await.is_clean());
    let mut deleted = entries.clone();
    deleted.remove(6);
    scene.rewrite(&deleted).await;
    names(&scene.verify().await, events[6].aggregate_id, events[6].version, "gone from redis");
    let history = scene.log().history(events[6].aggregate_id, 0).await.unwrap();
    assert_eq!(history.len(), 3, "and read from the archive meanwhile");

    let mut edited = entries.clone();
    let mut forged = events[6].clone();
    forged.correlation_id = "another".into();
    edited[6].1 = stored(&forged);
    scene.rewrite(&edited).await;
    names(&scene.verify().await, events[6].aggregate_id, events[6].version, "edited in redis");

    scene.rewrite(&entries).await;
    let root = &scene.system.config.archive.root;
    let name = files_under(root).into_iter().find(|name| {
        let name = name.to_string_lossy();
        name.starts_with("p000/00000000000000000006") && name.ends_with(".zst")
    });
    let segment = root.join(name.unwrap());
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let report = scene.verify().await;
    let what = &report.findings[0].what;
    assert!(what.contains("00000000000000000006-") && what.contains("checksum"), "{:?}", report.findings);
    let keys = [Scene::key().public_key()];
    let error = reelstream::events::archive::verify(&archive, 0, &keys).await.unwrap_err().to_string();
    assert!(error.contains("its checksum is not the one that was sealed"), "{error}");
    // Nothing that cannot be read back is taken out of Redis.
    let trimmed = reelstream::events::archive::trim(
        scene.log(),
        &archive,
        0,
        12,
        chrono::Utc::now(),
        &Default::default(),
    )
    .await;
    assert!(trimmed.is_ok_and(|trimmed| trimmed.events == 0), "open jobs need all of it");
    scene.system.running.stop().await;
}

/// Whoever rewrites a history may also compute all hashes of it anew, and even mend the trail; the seal remains.
#[tokio::test]
async fn a_whole_chain_that_was_rewritten_is_found_too() {
    let scene = Scene::new().await;
    let entries = scene.entries().await;
    let mut events = scene.events().await;
    let victim = events[3].aggregate_id;
    let mut hash = reelstream::events::CHAIN_START.to_owned();
    for event in events.iter_mut().filter(|event| event.aggregate_id == victim) {
        event.actor = reelstream::events::Actor::User("somebody_else".into());
        event.prev_hash = hash;
        event.hash = event.compute_hash();
        hash = event.hash.clone();
    }
    let rewritten: Vec<Entry> =
        entries.iter().zip(&events).map(|((id, _), event)| (id.clone(), stored(event))).collect();
    scene.rewrite(&rewritten).await;
    let report = scene.verify().await;
    names(&report, victim, 1, "replaced");
    let of_job = verify_job(scene.log(), &scene.models.trail, JobId(victim.0)).await.unwrap();
    names(&of_job, victim, 1, "replaced");

    let mend = "update trail.events set hash = $2 where event_id = $1";
    for event in &events {
        sqlx::query(mend).bind(event.event_id.0).bind(&event.hash).execute(&scene.models.pool).await.unwrap();
    }
    let report = scene.verify().await;
    let found: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(found.len() == 1 && found[0].contains("the log was rewritten"), "{found:?}");

    // A seal that fits the new log has to be signed.
    let (mut chain, other) = (
        reelstream::events::chain::Chain::default(),
        SigningKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap(),
    );
    events.iter().for_each(|event| chain.extend(&event.hash));
    let forged = Seal::sign(0, &chain, Utc::now(), None, &other);
    scene.execute("delete from audit_seals").await;
    assert!(scene.seals().add(&forged).await.unwrap());
    let report = scene.verify().await;
    finds(&report, "not signed with a known key");
    finds(&report, "the log was rewritten");
    scene.system.running.stop().await;
}

/// M2: whoever writes to both databases deletes the seals, so that the notary signs the log anew.
#[tokio::test]
async fn m2_seals_that_were_deleted_are_found_and_not_made_anew() {
    let scene = Scene::new().await;
    scene.system.generate(&short_request()).await;
    scene.models.caught_up().await;
    let second = scene.seal().await.expect("a second seal");
    assert!(second.previous.is_some() && scene.verify().await.is_clean());

    scene.execute("create table kept as select * from audit_seals; delete from audit_seals").await;
    let refused = scene.notary().seal_partition(0, Utc::now()).await.unwrap_err().to_string();
    assert!(refused.contains("is in seals.log, and gone from audit_seals"), "{refused}");
    finds(&scene.verify().await, "is in seals.log, but gone from audit_seals");
    assert_eq!(scene.seals().all(0).await.unwrap(), []);

    // A seal that was made anew all the same, without the file, is found beside those of the file.
    let elsewhere = scene.system.config.archive.root.join("elsewhere.log");
    let notary = Notary { seal_log: SealLog::new(&elsewhere), ..scene.notary() };
    notary.seal_partition(0, Utc::now()).await.unwrap().expect("the file is what stops it");
    finds(&scene.verify().await, "is in seals.log, but gone from audit_seals");

    // One in the middle, and the last.
    for (delete, words) in [
        (
            "delete from audit_seals where seq = (select min(seq) from audit_seals)",
            "does not follow the one before it",
        ),
        ("delete from audit_seals where seq = (select max(seq) from audit_seals)", "gone from audit_seals"),
    ] {
        scene.execute("delete from audit_seals; insert into audit_seals select * from kept").await;
        assert!(scene.verify().await.is_clean());
        scene.execute(delete).await;
        finds(&scene.verify().await, words);
    }

    // After a backup of the database was restored, the file gives its seals back.
    let output = scene.system.reel(&["audit", "restore-seals"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scene.verify().await.is_clean());
    assert_eq!(scene.seal().await, None, "and the notary goes on");
    scene.system.running.stop().await;
}

/// M2: a seal without a genuine signature, on which the notary would go on.
#[tokio::test]
async fn m2_a_forged_seal_is_found_and_nothing_is_signed_on_top_of_it() {
    let scene = Scene::new().await;
    let other = SigningKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let mut chain = reelstream::events::chain::Chain::default();
    scene.system.generate(&short_request()).await;
    scene.models.caught_up().await;
    for event in scene.events().await {
        chain.extend(&event.hash);
    }
    let last = scene.seals().last(0).await.unwrap().unwrap();
    let forged = Seal::sign(0, &chain, Utc::now(), Some(&last), &other);
    assert!(scene.seals().add(&forged).await.unwrap());
    scene.system.generate(&short_request()).await;
    scene.models.caught_up().await;
    let refused = scene.notary().seal_partition(0, Utc::now()).await.unwrap_err().to_string();
    assert!(refused.contains("is not signed with a known key"), "{refused}");
    finds(&scene.verify().await, "not signed with a known key");
    // Deleted again, it has left nothing: what it covered is sealed from where the genuine ones end.
    scene.execute("delete from audit_seals where seq = (select max(seq) from audit_seals)").await;
    let genuine = scene.seal().await.unwrap();
    assert_eq!(genuine.previous, Some(last.digest()));
    let report = scene.verify().await;
    assert!(report.is_clean() && report.seals == 2, "{:#?}", report.findings);
    scene.system.running.stop().await;
}

/// M2: seals must go up to about now, and be about as old as what they cover.
#[tokio::test]
async fn m2_a_log_without_seals_and_events_that_were_sealed_late_are_found() {
    let scene = Scene::new().await;
    let later = Utc::now() + TimeDelta::minutes(10);
    assert!(scene.verify_at(later).await.is_clean(), "all is sealed");
    scene.system.generate(&short_request()).await;
    scene.models.caught_up().await;
    assert!(scene.verify().await.is_clean(), "the last events may wait for a moment");
    let report = scene.verify_at(later).await;
    finds(&report, "the events from 13 to 15 have no seal");
    scene.notary().seal_partition(0, later).await.unwrap().unwrap();
    let report = scene.verify_at(later).await;
    finds(&report, "the events from 13 on were recorded from");
    let known = Verifier { gaps_known_until: Some(later), ..scene.verifier() };
    assert!(known.verify_partition(0, later).await.unwrap().is_clean(), "an outage that was explained");

    // Nothing was ever sealed.
    scene.execute("delete from audit_seals").await;
    std::fs::remove_file(&scene.system.config.archive.seals_log).unwrap();
    assert!(scene.verify().await.is_clean(), "the log is a moment old");
    let report = scene.verify_at(later).await;
    assert_eq!(report.seals, 0);
    finds(&report, "the events from 1 to 15 have no seal");
    scene.system.running.stop().await;
}

/// M2: rows of the trail that were deleted instead of mended.
#[tokio::test]
async fn m2_rows_that_are_missing_from_the_trail_are_found() {
    let scene = Scene::new().await;
    let events = scene.events().await;
    scene.execute("delete from trail.events where version = 2").await;
    let report = scene.verify().await;
    for event in events.iter().filter(|event| event.version == 2) {
        names(&report, event.aggregate_id, 2, "its row is gone from the trail");
        let of_job = verify_job(scene.log(), &scene.models.trail, JobId(event.aggregate_id.0)).await.unwrap();
        names(&of_job, event.aggregate_id, 2, "its row is gone from the trail");
    }
    assert_eq!(report.findings.len(), 4, "{:#?}", report.findings);
    scene.system.running.stop().await;
}

/// Seals from before they were chained hold up to where the chain begins.
#[tokio::test]
async fn seals_of_an_older_version_stay_valid_and_the_next_one_is_chained_to_them() {
    let scene = Scene::new().await;
    let mut old = scene.seals().last(0).await.unwrap().unwrap();
    old.previous = None;
    old.signature = Scene::key().sign(&old.statement());
    scene.execute("delete from audit_seals").await;
    std::fs::remove_file(&scene.system.config.archive.seals_log).unwrap();
    assert!(scene.seals().add(&old).await.unwrap());
    assert!(scene.verify_at(Utc::now() + TimeDelta::minutes(10)).await.is_clean());
    scene.system.generate(&short_request()).await;
    scene.models.caught_up().await;
    let next = scene.seal().await.unwrap();
    assert_eq!(next.previous, Some(old.digest()));
    assert_eq!(scene.seal_log().all(0).await.unwrap(), [old, next], "the file has the old one, too");
    assert!(scene.verify().await.is_clean());
    scene.system.running.stop().await;
}

/// L1: sealers with other sizes of segments at the same time leave one whole archive.
#[tokio::test]
async fn l1_sealing_at_the_same_time_leaves_one_whole_archive() {
    let scene = Scene::new().await;
    for round in 0..3 {
        for _ in 0..4 {
            scene.system.generate(&short_request()).await;
        }
        let key = Scene::key();
        let seal = async |events: u64| {
            let archive = scene.system.archive();
            reelstream::events::archive::write_segments(scene.log(), &archive, 0, events, true, &key).await
        };
        let outcomes = tokio::join!(seal(3), seal(5), seal(7), seal(1000));
        for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
            outcome.unwrap();
        }
        let keys = [Scene::key().public_key()];
        let archive = scene.system.archive();
        let sealed = reelstream::events::archive::verify(&archive, 0, &keys).await.unwrap();
        assert_eq!(sealed, 24 + 12 * round);
    }
    scene.system.running.stop().await;
}

/// L2: reading the archive looks at signatures and hashes, not `verify` alone.
#[tokio::test]
async fn l2_an_archive_that_somebody_else_wrote_is_not_read() {
    let scene = Scene::new().await;
    let other = SigningKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let archive = scene.system.archive();
    let theirs = reelstream::events::archive::Archive::new(
        &scene.system.config.archive.root,
        vec![other.public_key()],
    );
    reelstream::events::archive::write_segments(scene.log(), &theirs, 0, 12, true, &other).await.unwrap();
    assert_eq!(theirs.read(0, 0, 100).await.unwrap().len(), 12);
    let error = archive.read(0, 0, 100).await.unwrap_err().to_string();
    assert!(error.contains("it is not signed with a known key"), "{error}");
    let report = scene.verify().await;
    finds(&report, "it is not signed with a known key");
    scene.system.running.stop().await;
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_found() {
    let scene = Scene::new().await;
    let mut entries = scene.entries().await;
    let last = scene.events().await.pop().unwrap();
    entries.pop();
    scene.rewrite(&entries).await;
    let keys = scene.log().keys();
    let mut redis = scene.log().connection();
    let _: () = redis::cmd("SET").arg(keys.head(0)).arg(11).query_async(&mut redis).await.unwrap();
    let _: String =
        redis::cmd("RPOP").arg(keys.history(last.aggregate_id)).query_async(&mut redis).await.unwrap();
    let report = scene.verify().await;
    assert!(
        report.findings[0].what.contains("the log ends at 11, but 12 events were sealed"),
        "{:?}",
        report.findings
    );
    let of_job = verify_job(scene.log(), &scene.models.trail, JobId(last.aggregate_id.0)).await.unwrap();
    names(&of_job, last.aggregate_id, last.version, "the trail has it");
    // The processes see it, too, and stop.
    assert!(scene.system.running.ended().await.is_err());
}

#[tokio::test]
async fn auditors_read_and_verify_through_the_api_and_the_command_line() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;
    let models = system.read_models().await;
    models.caught_up().await;
    let path = |what: &str| format!("/api/v1/audit/jobs/{job_id}/{what}");
    let get = async |role: &str, path: String| {
        system
            .anonymous(Method::GET, &path)
            .bearer_auth(system.token("auditor_1", role))
            .send()
            .await
            .unwrap()
    };
    for what in ["events", "state", "verify"] {
        assert_eq!(error_of(get("user", path(what)).await).await.0, 403, "{what}");
    }
    let recorded: Value = get("auditor", path("events")).await.json().await.unwrap();
    let first = &recorded["events"][0];
    assert!(
        first["data"]["sealed"].is_string() && first["data"]["request"]["topic"] == "[sealed]",
        "{first}"
    );
    let own = system.events(&job_id).await;
    assert_eq!(own[0]["data"]["request"]["topic"], "Ions", "the user reads their own words");

    let at: Value = get("admin", path("state?at_version=3")).await.json().await.unwrap();
    assert_eq!((&at["version"], &at["state"]["job"]["status"]), (&json!(3), &json!("queued")));
    let now: Value = get("auditor", path("state")).await.json().await.unwrap();
    assert_eq!(now["state"]["job"]["status"], "completed");
    let time = own[2]["recorded_at"].as_str().unwrap();
    let at_time: Value = get("auditor", path(&format!("state?at={time}"))).await.json().await.unwrap();
    assert_eq!(at_time["version"], 3);
    let (status, error) = error_of(get("auditor", path("state?at_version=9999")).await).await;
    assert_eq!(status, 422);
    assert!(error["details"][0]["msg"].as_str().unwrap().contains("a version from 1 to"), "{error}");
    let verified: Value = get("auditor", path("verify")).await.json().await.unwrap();
    assert_eq!((&verified["valid"], &verified["findings"]), (&json!(true), &json!([])));

    let mut seen = vec![];
    let mut cursor = String::new();
    loop {
        let page: Value = get("auditor", format!("/api/v1/audit/events?limit=7&actor=user:user_1{cursor}"))
            .await
            .json()
            .await
            .unwrap();
        seen.extend(
            page["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["JobRequested", "JobQueued", "StageScheduled"]);
    let typed: Value =
        get("auditor", "/api/v1/audit/events?type=JobCompleted".into()).await.json().await.unwrap();
    assert_eq!(typed["events"][0]["aggregate_id"], job_id.as_str());

    let reel = |arguments: &[&str]| {
        let output = system.reel(arguments);
        let (said, error) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{arguments:?}: {error}");
        said
    };
    assert_eq!(reel(&["audit", "history", &job_id]).lines().count(), own.len());
    let state: Value = serde_json::from_str(&reel(&["audit", "state", &job_id, "--at", "3"])).unwrap();
    assert_eq!(state, at["state"]);
    let diff = reel(&["audit", "diff", &job_id, "--from", "3", "--to", "now"]);
    assert!(diff.contains("job.status: \"queued\" -> \"completed\""), "{diff}");
    assert!(reel(&["audit", "verify", &job_id]).contains("all is as it was recorded"));
    assert!(reel(&["audit", "verify"]).contains("all is as it was recorded"));
    check_export(&serde_json::from_str(&reel(&["audit", "export", &job_id])).unwrap());
    assert!(reel(&["archive", "seal", "--all"]).contains("1 segments sealed"));
    assert!(reel(&["archive", "verify"]).contains(&format!("all {} archived events", own.len())));
    assert!(reel(&["archive", "status"]).lines().count() > 8);
    system.running.stop().await;
}

/// What somebody who trusts nobody does with an export.
fn check_export(proof: &Value) {
    let fields: Vec<&str> =
        proof["fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let hash_at = fields.iter().position(|name| *name == "hash").unwrap();
    let mut before = reelstream::events::CHAIN_START.to_owned();
    for event in proof["events"].as_array().unwrap() {
        let values: Vec<&str> =
            event.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
        let mut hasher = blake3::Hasher::new();
        for value in values.iter().enumerate().filter(|(at, _)| *at != hash_at).map(|(_, value)| value) {
            hasher.update(&(value.len() as u64).to_le_bytes()).update(value.as_bytes());
        }
        assert_eq!(values[hash_at - 1], before, "the chain");
        assert_eq!(values[hash_at], hasher.finalize().to_hex().as_str(), "the hash");
        before = values[hash_at].to_owned();
    }
    let statement = proof["statement"].as_str().unwrap();
    assert!(statement.contains(&before), "the last hash is signed");
    let key = proof["public_keys"][0].as_str().unwrap();
    assert!(is_signed(key, statement, proof["signature"].as_str().unwrap()));
}
