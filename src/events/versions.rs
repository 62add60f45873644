//! Versions of aggregates for many who ask at the same time: while one answer is on its way, the next questions gather, and go out
//! together. A poll costs a part of a round trip then.
//!
//! Invariant: a version is read after it was asked for, so whoever has just written finds their own write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use redis::{RedisError, RedisResult};
use tokio::sync::oneshot;

use super::Keys;
use super::connection::{Connection, RESPONSE_TIMEOUT, timed_out};
use crate::ids::AggregateId;

/// Questions that go out together, at most.
const MAX_TOGETHER: usize = 512;

/// Cheap to clone; clones ask together.
#[derive(Clone)]
pub(super) struct Versions(Arc<Inner>);

struct Inner {
    connection: Connection,
    keys: Arc<Keys>,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    questions: Vec<Question>,
    /// Whether a task is there that asks them.
    is_asked: bool,
}

struct Question {
    id: AggregateId,
    answer: oneshot::Sender<RedisResult<u64>>,
}

impl Versions {
    pub fn new(connection: Connection, keys: Arc<Keys>) -> Self {
        Self(Arc::new(Inner { connection, keys, gathered: Mutex::default() }))
    }

    /// Returns an aggregate's version; 0 for an unknown one.
    pub async fn of(&self, id: AggregateId) -> RedisResult<u64> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut gathered = self.0.gathered();
            gathered.questions.push(Question { id, answer });
            !std::mem::replace(&mut gathered.is_asked, true)
        };
        if begins {
            let inner = self.0.clone();
            tokio::spawn(async move { inner.ask_all().await });
        }
        // Behind questions that are not answered, this one has not been asked yet, and waits no longer than they.
        match tokio::time::timeout(RESPONSE_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(timed_out()),
        }
    }
}

/// Lets the next question begin anew when a task ends in the middle: nobody waits for ever because one has panicked.
struct Unfinished<'a>(&'a Inner);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        *self.0.gathered() = Gathered::default();
    }
}

impl Inner {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what has gathered, until nothing has.
    async fn ask_all(&self) {
        let unfinished = Unfinished(self);
        loop {
            let questions: Vec<Question> = {
                let mut gathered = self.gathered();
                let count = gathered.questions.len().min(MAX_TOGETHER);
                gathered.is_asked = count > 0;
                gathered.questions.drain(..count).collect()
            };
            if questions.is_empty() {
                std::mem::forget(unfinished);
                return;
            }
            if !self.connection.is_cluster() {
                self.ask(questions).await;
                continue;
            }
            // A node of a cluster answers for its own partitions.
            let mut by_partition: BTreeMap<u16, Vec<Question>> = BTreeMap::new();
            for question in questions {
                by_partition.entry(self.keys.partition_of(question.id)).or_default().push(question);
            }
            join_all(by_partition.into_values().map(|questions| self.ask(questions))).await;
        }
    }

    /// Asks in one round trip.
    async fn ask(&self, questions: Vec<Question>) {
        let mut pipe = redis::pipe();
        for question in &questions {
            pipe.llen(self.keys.history(question.id));
        }
        let answers = match pipe.query_async::<Vec<u64>>(&mut self.connection.clone()).await {
            Ok(versions) => versions.into_iter().map(Ok).collect(),
            Err(error) => vec![Err::<u64, RedisError>(error); questions.len()],
        };
        for (question, answer) in questions.into_iter().zip(answers) {
            let _asker_has_left = question.answer.send(answer);
        }
    }
}
