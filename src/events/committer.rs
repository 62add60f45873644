//! Group commit: appends to one partition that wait while another call is under way travel together in
//! the next. An append on an idle system goes out at once; a busy one pays for a round trip, a script call
//! and a flush to disk once for many appends.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Script};
use tokio::sync::{mpsc, oneshot};

use super::connection::{Connection, is_outcome_unknown};
use super::envelope::Envelope;
use super::keys::Keys;
use super::log::{Append, Error};
use super::work::{Pointer, attempt_field};
use crate::crash;

/// How often a call with an unknown outcome (a lost connection, a timeout) is repeated under its
/// command ids before the callers are told.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of one call, so that no other client of the server waits long for it.
const MOST_APPENDS: usize = 64;
const MOST_BYTES: usize = 512 * 1024;
/// Appends that wait for a partition before callers are held up.
const QUEUE: usize = 1024;

/// How an append ended, in the script's words, and the aggregate's version.
pub type Outcome = (String, u64);

/// An append in the form that the script takes it.
pub struct Prepared {
    keys: Vec<String>,
    arguments: Vec<String>,
    bytes: usize,
}

impl Prepared {
    pub fn new(keys: &Keys, partition: u16, append: &Append<'_>) -> Self {
        let id = append.aggregate_id;
        let mut named = vec![keys.history(id), keys.commands(id), keys.attempts(id)];
        let mark = append.mark.map(super::log::Mark::name).unwrap_or_default();
        let mut arguments = vec![
            append.expected_version.to_string(),
            append.command_id.to_string(),
            id.to_string(),
            mark.to_owned(),
            append.events.len().to_string(),
            append.work.len().to_string(),
        ];
        match append.done {
            Some(done) => {
                named.push(done.stream.clone());
                let token = done.token.to_string();
                arguments.extend([
                    done.group.clone(),
                    done.entry_id.clone(),
                    done.attempt_field.clone(),
                    token,
                ]);
            }
            None => arguments.extend([const { String::new() }; 4]),
        }
        for event in append.events {
            arguments.extend(event.field_values());
        }
        for work in append.work {
            let (stage, priority) = (work.item.stage, work.priority);
            named.push(keys.waiting(partition, stage, priority));
            named.push(keys.turns(partition, stage, priority));
            arguments.extend([
                stage.to_string(),
                priority.name().to_owned(),
                attempt_field(stage, work.item.scene),
                work.token.to_string(),
                work.requester.clone(),
                work.delay_ms.to_string(),
                Pointer { aggregate_id: id, work: work.clone() }.to_text(),
            ]);
        }
        let bytes = arguments.iter().map(String::len).sum();
        Self { keys: named, arguments, bytes }
    }
}

struct Waiting {
    prepared: Prepared,
    reply: oneshot::Sender<Result<Outcome, RedisError>>,
}

/// The only writer of a partition in this process. Its task ends when the last handle is dropped.
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
}

impl Committer {
    pub fn start(connection: Connection, keys: Arc<Keys>, partition: u16) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let script = Script::new(concat!(include_str!("lua/enqueue.lua"), include_str!("lua/append.lua")));
        tokio::spawn(commit_all(Partition { connection, keys, number: partition, script }, waiting));
        Self { queue }
    }

    /// Appends, and comes back when the server has said how it ended.
    pub async fn commit(&self, prepared: Prepared) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Waiting { prepared, reply }).await.map_err(|_| Error::Stopping)?;
        let outcome = answer.await.map_err(|_| Error::Stopping)?;
        outcome.map_err(|source| Error::Redis { attempted: "append events", source })
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
        let mut bytes = first.prepared.bytes;
        let mut batch = vec![first];
        while batch.len() < MOST_APPENDS && bytes < MOST_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.prepared.bytes;
            batch.push(next);
        }
        let result = partition.commit(&batch).await;
        answer(batch, result);
    }
}

fn answer(batch: Vec<Waiting>, result: Result<Vec<Outcome>, RedisError>) {
    match result {
        Ok(outcomes) => {
            for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                // A caller that was dropped has no use for the answer.
                let _dropped = waiting.reply.send(Ok(outcome));
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
    async fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Outcome>, RedisError> {
        let mut tried = 1;
        loop {
            match self.call(batch).await {
                Err(error) if tried < TRIES && is_outcome_unknown(&error) => {
                    tracing::warn!(partition = self.number, appends = batch.len(), %error, "appends have an unknown outcome, repeating them");
                    tokio::time::sleep(FIRST_PAUSE * tried).await;
                    tried += 1;
                }
                settled => return settled,
            }
        }
    }

    async fn call(&mut self, batch: &[Waiting]) -> Result<Vec<Outcome>, RedisError> {
        let keys = &self.keys;
        let mut call = self.script.key(keys.log(self.number));
        call.key(keys.head(self.number)).key(keys.open(self.number));
        call.key(keys.dead_letters(self.number)).key(keys.delayed(self.number));
        call.key(keys.queues_complete(self.number));
        call.arg(keys.doorbell()).arg(self.number).arg(batch.len());
        call.arg(Envelope::FIELDS.len()).arg(&Envelope::FIELDS[..]);
        for waiting in batch {
            call.key(&waiting.prepared.keys).arg(&waiting.prepared.arguments);
        }
        crash::point("append.before");
        let outcomes = call.invoke_async(&mut self.connection).await;
        crash::point("append.after");
        outcomes
    }
}
