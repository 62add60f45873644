//! How a log gets more partitions while it is in use.
//!
//! The layout says which partition an aggregate lives in; see [`Layout`]. It is one key in Redis, and every process has a copy.
//! A process with an old copy would put new aggregates where others do not look for them. So the change goes like this:
//!
//! 1. All processes are restarted with a higher number in streams.toml. They serve the new partitions, which stay empty.
//! 2. [`EventLog::grow`] fences every partition with the next generation. From here on `append.lua` refuses whoever knows an
//!    older one; nothing that they wrote is later than this.
//! 3. It replaces the key: a compare-and-set. New ids use the new partitions from a time on that no id has reached, however
//!    the clocks differ: ids that are ahead of the server by more than [`MAX_AHEAD_MS`] are refused.
//! 4. Whoever is refused reads the key again and repeats the append.
//!
//! A growth that is interrupted between 2 and 3 holds appends up for [`ABANDONED_AFTER`]; then the first that is refused writes
//! the layout as it was, under the new generation.

use std::time::{Duration, Instant};

use chrono::Utc;
use redis::{Cmd, FromRedisValue, Script};

use super::connection::Connection;
use super::keys::Keys;
use super::layout::{Layout, MAX_AHEAD_MS};
use super::log::{Error, EventLog};

/// Age of the last note of a process after which it counts as stopped.
pub(super) const SERVING_S: i64 = 15;
/// From the fence to the first aggregate in a new partition. Readers learn of the layout within that time, and it covers
/// servers of a cluster whose clocks differ.
const NOTICE: Duration = Duration::from_millis(2 * MAX_AHEAD_MS);
const ABANDONED_AFTER: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

const RAISE: &str = "
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end";
const REPLACE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";
const NOW_MS: &str = "
local now = redis.call('TIME')
return {KEYS[1], string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))}";

async fn ask<T: FromRedisValue>(
    connection: &mut Connection,
    attempted: &'static str,
    command: &Cmd,
) -> Result<T, Error> {
    command.query_async(connection).await.map_err(|source| Error::Redis { attempted, source })
}

/// Begins a new log, or reads the layout of one that has begun, for the keys of this process.
pub(super) async fn begin(connection: &mut Connection, keys: &Keys) -> Result<(), Error> {
    let mut first = redis::cmd("SET");
    first.arg(keys.layout_key()).arg(keys.served()).arg("NX");
    let is_new = ask::<Option<String>>(connection, "begin a log", &first).await?.is_some();
    if is_new && has_any(connection, keys, Keys::layout_fence).await? {
        let mut forget = redis::cmd("DEL");
        ask::<()>(connection, "begin a log", forget.arg(keys.layout_key())).await?;
        let reason =
            "it is gone, and the log has grown. The newest file of `layout/` in the archive has its content";
        return Err(Error::Layout { key: keys.layout_key(), reason: reason.to_owned() });
    }
    let layout = read(connection, keys).await?;
    let may_change = layout.generation == 0 && layout.begun_with != keys.served();
    let begun = Keys::new(keys.prefix(), layout.begun_with);
    if may_change && !has_any(connection, &begun, Keys::head).await? {
        let changed = Layout::of(keys.served());
        replace(connection, keys, &layout, &changed).await?;
        return adopt(keys, read(connection, keys).await?);
    }
    adopt(keys, layout)
}

/// Returns `true` when a partition has such a key.
async fn has_any(
    connection: &mut Connection,
    keys: &Keys,
    key: fn(&Keys, u16) -> String,
) -> Result<bool, Error> {
    for partition in keys.partitions() {
        let mut command = redis::cmd("EXISTS");
        command.arg(key(keys, partition));
        if ask(connection, "look for the keys of a partition", &command).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn read(connection: &mut Connection, keys: &Keys) -> Result<Layout, Error> {
    let mut command = redis::cmd("GET");
    let text: String = ask(connection, "read the layout of the log", command.arg(keys.layout_key())).await?;
    Layout::parse(&text).map_err(|reason| Error::Layout { key: keys.layout_key(), reason })
}

async fn replace(
    connection: &mut Connection,
    keys: &Keys,
    expected: &Layout,
    new: &Layout,
) -> Result<bool, Error> {
    let script = Script::new(REPLACE);
    let mut call = script.key(keys.layout_key());
    let replaced = call.arg(expected.text()).arg(new.text()).invoke_async(connection).await;
    replaced.map_err(|source| Error::Redis { attempted: "write the layout of the log", source })
}

/// Uses a layout from now on, unless it has partitions that this process does not serve.
fn adopt(keys: &Keys, layout: Layout) -> Result<(), Error> {
    let (used, configured) = (layout.partitions(), keys.served());
    if used > configured {
        return Err(Error::Partitions { prefix: keys.prefix().to_owned(), configured, used });
    }
    keys.set_layout(layout);
    Ok(())
}

/// Waits for a layout of at least this generation.
pub(super) async fn catch_up(log: &EventLog, fence: u64) -> Result<(), Error> {
    let (mut connection, keys, began) = (log.connection(), log.keys(), Instant::now());
    loop {
        let layout = read(&mut connection, keys).await?;
        if layout.generation >= fence {
            return adopt(keys, layout);
        }
        if began.elapsed() > ABANDONED_AFTER {
            tracing::warn!(generation = fence, "the growth of the log was interrupted; it stays as it was");
            replace(&mut connection, keys, &layout, &layout.unchanged(fence)).await?;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Notes for [`EventLog::grow`] that this process runs, and how many partitions it serves.
pub(super) async fn note_served(log: &EventLog, process: &str) -> Result<(), Error> {
    let mut command = redis::cmd("HSET");
    let note = format!("{} {}", Utc::now().timestamp_millis(), log.keys().served());
    command.arg(log.keys().serving()).arg(process).arg(note);
    ask(&mut log.connection(), "note what is served", &command).await
}

/// Removes the note of a process that stops.
pub(super) async fn forget_served(log: &EventLog, process: &str) -> Result<(), Error> {
    let mut command = redis::cmd("HDEL");
    command.arg(log.keys().serving()).arg(process);
    ask(&mut log.connection(), "forget what was served", &command).await
}

impl EventLog {
    /// Reads the layout again.
    pub async fn refresh_layout(&self) -> Result<(), Error> {
        let layout = read(&mut self.connection(), self.keys()).await?;
        match layout.generation > self.keys().layout().generation {
            true => adopt(self.keys(), layout),
            false => Ok(()),
        }
    }

    /// Lets new aggregates spread over all partitions that this process serves, a while from now. All other processes must
    /// serve them, too. Returns the new layout.
    pub async fn grow(&self) -> Result<Layout, Error> {
        self.grow_within(NOTICE).await
    }

    /// The same after another while. Where it is shorter than what clocks differ by, aggregates may be lost: for tests.
    pub async fn grow_within(&self, notice: Duration) -> Result<Layout, Error> {
        let (mut connection, keys) = (self.connection(), self.keys());
        self.refresh_layout().await?;
        let (before, partitions) = (keys.layout(), keys.served());
        if partitions <= before.partitions() {
            return Err(Error::NotMore { used: before.partitions() });
        }
        check_all_serve(&mut connection, keys).await?;
        let raise = Script::new(RAISE);
        for partition in keys.partitions() {
            let mut call = raise.key(keys.layout_fence(partition));
            let raised: Result<(), _> = call.arg(before.generation + 1).invoke_async(&mut connection).await;
            raised.map_err(|source| Error::Redis { attempted: "fence a partition", source })?;
        }
        crate::crash::point("growth.fenced");
        let now: Result<(String, u64), _> =
            Script::new(NOW_MS).key(keys.layout_key()).invoke_async(&mut connection).await;
        let (_, now) = now.map_err(|source| Error::Redis { attempted: "tell the time", source })?;
        let grown = before.grown_to(partitions, now + notice.as_millis() as u64);
        if !replace(&mut connection, keys, &before, &grown).await? {
            return Err(Error::LayoutChanged);
        }
        adopt(keys, grown.clone())?;
        Ok(grown)
    }

    /// Takes a layout over from a copy of the log, before its events are put back. A log with events must have it already.
    pub async fn take_over_layout(&self, copied: &Layout) -> Result<(), Error> {
        let (mut connection, keys) = (self.connection(), self.keys());
        self.refresh_layout().await?;
        let own = keys.layout();
        if copied.generation < own.generation || *copied == *own {
            return Ok(());
        }
        if has_any(&mut connection, keys, Keys::head).await? {
            let reason = format!(
                "it is {}, and that of the copy is {}; the log has events",
                own.text(),
                copied.text()
            );
            return Err(Error::Layout { key: keys.layout_key(), reason });
        }
        if !replace(&mut connection, keys, &own, copied).await? {
            return Err(Error::LayoutChanged);
        }
        adopt(keys, copied.clone())
    }
}

/// Refuses while a process runs that serves fewer partitions than this one.
async fn check_all_serve(connection: &mut Connection, keys: &Keys) -> Result<(), Error> {
    let partitions = keys.served();
    for (process, served) in serving(connection, keys).await? {
        if let Some(served) = served.filter(|served| *served < partitions) {
            return Err(Error::NotServed { process, served, partitions });
        }
    }
    Ok(())
}

/// Returns the processes that are noted, with the partitions that they serve; `None` for those that have stopped.
async fn serving(connection: &mut Connection, keys: &Keys) -> Result<Vec<(String, Option<u16>)>, Error> {
    let mut command = redis::cmd("HGETALL");
    command.arg(keys.serving());
    let notes: Vec<(String, String)> = ask(connection, "list the running processes", &command).await?;
    let now = Utc::now().timestamp_millis();
    let served = |note: String| {
        let (at, served) = note.split_once(' ')?;
        let is_running = now - at.parse::<i64>().ok()? < SERVING_S * 1000;
        served.parse().ok().filter(|_| is_running)
    };
    Ok(notes.into_iter().map(|(process, note)| (process, served(note))).collect())
}

/// Removes the notes of processes that have stopped without a word.
pub(super) async fn forget_stopped(log: &EventLog) -> Result<(), Error> {
    let mut connection = log.connection();
    for (process, served) in serving(&mut connection, log.keys()).await? {
        if served.is_none() {
            forget_served(log, &process).await?;
        }
    }
    Ok(())
}
