//! Group commit: appends to one partition that arrive during a call are sent together in the next call. An idle system sends an
//! append at once. A busy one shares the costs of a round trip, a script call and a flush to disk among many appends.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, Script, ServerErrorKind};
use tokio::sync::{mpsc, oneshot};

use super::Priority;
use super::connection::{Connection, is_outcome_unknown};
use super::keys::Keys;
use super::layout::{Layout, MAX_AHEAD_MS};
use super::log::{Append, Error, Mark};
use super::work::Pointer;
use crate::crash;

/// Attempts at a call with an unknown outcome (a lost connection, a timeout), under the same command ids, before the callers
/// get the error.
const MAX_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of one call, so that it does not block other clients of the server for long.
const MAX_APPENDS: usize = 64;
const MAX_BYTES: usize = 512 * 1024;
/// Appends that can wait for a partition; further callers wait for a free place.
const MAX_WAITING: usize = 1024;

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    Appended,
    /// The command had been applied before.
    Duplicate,
    /// The aggregate is not at the expected version.
    Conflict,
    /// Another attempt has taken over the work.
    Stale,
    /// The id of a new aggregate is of a later time than the server's.
    Ahead,
}

impl CommitOutcome {
    const ALL: [Self; 5] = [Self::Appended, Self::Duplicate, Self::Conflict, Self::Stale, Self::Ahead];

    /// The script's word.
    pub fn word(self) -> &'static str {
        match self {
            CommitOutcome::Appended => "appended",
            CommitOutcome::Duplicate => "duplicate",
            CommitOutcome::Conflict => "conflict",
            CommitOutcome::Stale => "stale",
            CommitOutcome::Ahead => "ahead",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

/// The script's word for the outcome of an append, and the aggregate's version.
type Answer = (String, u64);

/// An append as arguments of the script.
pub struct Prepared {
    /// Of the layout by which its partition was found.
    generation: u64,
    keys: Vec<String>,
    arguments: Packed,
}

/// Many short texts in one buffer.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packed {
    fn push(&mut self, text: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(text.as_ref());
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

impl Prepared {
    pub fn new(keys: &Keys, layout: &Layout, partition: u16, append: &Append<'_>) -> Self {
        let id = append.aggregate_id;
        let mut named = vec![keys.history(id), keys.commands(id)];
        let mut arguments = Packed::default();
        arguments.push(append.expected_version.to_string());
        arguments.push(append.command_id.to_string());
        arguments.push(id.to_string());
        arguments.push(append.mark.map(Mark::name).unwrap_or_default());
        // The append that opens a job schedules its first work, which names the requester.
        let opened = append.work.first().filter(|_| append.mark == Some(Mark::Open));
        arguments.push(opened.map_or("", |work| work.requester.as_str()));
        arguments.push(if opened.is_some_and(|work| work.priority == Priority::Urgent) { "1" } else { "0" });
        arguments.push(append.events.len().to_string());
        arguments.push(append.work.len().to_string());
        match append.done {
            Some(done) => {
                named.push(done.stream.clone());
                arguments.push(&done.group);
                arguments.push(&done.entry_id);
            }
            None => (0..2).for_each(|_| arguments.push("")),
        }
        for event in append.events {
            event.each_stored(|value| arguments.push(value));
        }
        for work in append.work {
            let (stage, lane) = (work.item.stage, work.lane());
            named.push(keys.waiting(partition, stage, lane));
            named.push(keys.turns(partition, stage, lane));
            arguments.push(stage.name());
            arguments.push(lane.name());
            arguments.push(&work.requester);
            arguments.push(work.order(id));
            arguments.push(work.delay_ms.to_string());
            arguments.push(work.hastened_at());
            arguments.push(Pointer::text(id, work));
        }
        Self { generation: layout.generation, keys: named, arguments }
    }

    fn bytes(&self) -> usize {
        self.arguments.bytes.len()
    }
}

struct Waiting {
    prepared: Prepared,
    reply: oneshot::Sender<Result<Answer, RedisError>>,
}

/// The only writer of a partition in this process. Its task ends when the last handle is dropped.
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
}

impl Committer {
    pub fn start(connection: Connection, keys: Arc<Keys>, partition: u16) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let script = Script::new(concat!(
            include_str!("lua/enqueue.lua"),
            include_str!("lua/open.lua"),
            include_str!("lua/append.lua")
        ));
        tokio::spawn(commit_all(Partition { connection, keys, number: partition, script }, waiting));
        Self { queue }
    }

    /// Appends, and waits for the outcome.
    pub async fn commit(&self, prepared: Prepared) -> Result<(CommitOutcome, u64), Error> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Waiting { prepared, reply }).await.map_err(|_| Error::Stopping)?;
        let (word, version) = answer.await.map_err(|_| Error::Stopping)?.map_err(not_appended)?;
        match CommitOutcome::parse(&word) {
            Some(ending) => Ok((ending, version)),
            None => Err(Error::Protocol { answer: word }),
        }
    }
}

fn not_appended(source: RedisError) -> Error {
    match source.code() {
        Some("LAYOUT") => {
            let fence = source.detail().and_then(|fence| fence.trim().parse().ok());
            fence.map_or_else(
                || Error::Redis { attempted: "append events", source },
                |fence| Error::OldLayout { fence },
            )
        }
        Some("AHEAD") => Error::AheadOfHead { reason: source.detail().unwrap_or_default().to_owned() },
        _ => Error::Redis { attempted: "append events", source },
    }
}

struct Partition {
    connection: Connection,
    keys: Arc<Keys>,
    number: u16,
    script: Script,
}

async fn commit_all(mut partition: Partition, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.prepared.bytes();
        let mut batch = vec![first];
        while batch.len() < MAX_APPENDS && bytes < MAX_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.prepared.bytes();
            batch.push(next);
        }
        let result = partition.commit(&batch).await;
        answer(batch, result);
    }
}

fn answer(batch: Vec<Waiting>, result: Result<Vec<Answer>, RedisError>) {
    match result {
        Ok(answers) => {
            // If the script returns too few answers, the others get an empty word, which is an error.
            let answers = answers.into_iter().chain(std::iter::repeat_with(Answer::default));
            for (waiting, answer) in batch.into_iter().zip(answers) {
                // The caller may have been dropped.
                let _dropped = waiting.reply.send(Ok(answer));
            }
        }
        Err(error) => {
            for waiting in batch {
                let _dropped = waiting.reply.send(Err(error.clone()));
            }
        }
    }
}

impl Partition {
    async fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Answer>, RedisError> {
        let mut tried = 1;
        loop {
            match self.call(batch).await {
                Err(error) if tried < MAX_ATTEMPTS && is_outcome_unknown(&error) => {
                    tracing::warn!(partition = self.number, appends = batch.len(), %error, "appends have an unknown outcome, repeating them");
                    tokio::time::sleep(FIRST_PAUSE * tried).await;
                    tried += 1;
                }
                settled => return settled,
            }
        }
    }

    async fn call(&mut self, batch: &[Waiting]) -> Result<Vec<Answer>, RedisError> {
        crash::point("append.before");
        let call = self.encode(batch);
        let mut outcomes = call.query_async(&mut self.connection).await;
        if let Err(error) = &outcomes
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        {
            self.script.load_async(&mut self.connection).await?;
            outcomes = call.query_async(&mut self.connection).await;
        }
        crash::point("append.after");
        outcomes
    }

    /// Encodes a batch directly into the command, since a call has thousands of short arguments.
    fn encode(&self, batch: &[Waiting]) -> Cmd {
        let keys = &self.keys;
        let of_partition = [
            keys.log(self.number),
            keys.head(self.number),
            keys.open(self.number),
            keys.dead_letters(self.number),
            keys.delayed(self.number),
            keys.queues_complete(self.number),
            keys.open_by_user(self.number),
            keys.deadlines(self.number),
            keys.layout_fence(self.number),
        ];
        // The batch is refused as a whole, and its appends come back one by one.
        let generation = batch.iter().map(|waiting| waiting.prepared.generation).min().unwrap_or_default();
        let of_appends: usize = batch.iter().map(|waiting| waiting.prepared.keys.len()).sum();
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.script.get_hash()).arg(of_partition.len() + of_appends).arg(&of_partition);
        for waiting in batch {
            call.arg(&waiting.prepared.keys);
        }
        call.arg(keys.doorbell()).arg(self.number).arg(generation).arg(MAX_AHEAD_MS).arg(batch.len());
        for argument in batch.iter().flat_map(|waiting| waiting.prepared.arguments.iter()) {
            call.arg(argument);
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Envelope;

    #[test]
    fn a_word_that_the_script_does_not_have_is_no_ending() {
        assert_eq!(CommitOutcome::parse("stale"), Some(CommitOutcome::Stale));
        for word in ["", "STALE", "refused"] {
            assert_eq!(CommitOutcome::parse(word), None, "{word}");
        }
    }

    #[tokio::test]
    async fn an_append_without_an_answer_is_told_so() {
        let (reply, answer) = oneshot::channel();
        let prepared = Prepared { generation: 0, keys: vec![], arguments: Packed::default() };
        super::answer(vec![Waiting { prepared, reply }], Ok(vec![]));
        assert_eq!(answer.await.unwrap().unwrap(), (String::new(), 0));
    }

    #[test]
    fn the_script_names_the_fields_in_their_order() {
        let script = include_str!("lua/append.lua");
        let call = script.split("'XADD', log").nth(1).unwrap().split("first_event = ").next().unwrap();
        let named: Vec<&str> = call.split('\'').skip(1).step_by(2).filter(|text| *text != "-0").collect();
        assert_eq!(named, Envelope::STORED);
        assert!(script.contains(&format!("local width = {}", Envelope::STORED.len())));
    }
}
