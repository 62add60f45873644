//! A segment: consecutive events of one partition, and the manifest that says what is in it.
//!
//! The data is a row of zstd frames (RFC 8878), each with up to [`BLOCK`] events, one JSON array of the stored fields
//! a line, so that one event is found without unpacking the rest. The manifest names each frame's place, the BLAKE3
//! of the data, and the hash chain before and after it; it is chained to the manifest before by that one's digest.

use serde::{Deserialize, Serialize};

use super::super::log::parse_values;
use super::Error;
use crate::events::Envelope;
use crate::events::chain::Chain;

/// Events in one frame.
pub const BLOCK: usize = 256;
const LEVEL: i32 = 6;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    pub partition: u16,
    /// Sequence numbers of the first and the last event.
    pub first: u64,
    pub last: u64,
    /// Bytes of the data, compressed.
    pub bytes: u64,
    /// BLAKE3 of the data, in hex.
    pub blake3: String,
    /// The partition's chain before the first and after the last event.
    pub chain_before: String,
    pub chain_after: String,
    /// When the last event was recorded.
    pub last_recorded_at: chrono::DateTime<chrono::Utc>,
    pub blocks: Vec<Block>,
    /// Digest of the manifest before; empty for the first.
    pub previous: String,
    pub key_id: String,
    /// Ed25519 over [`Manifest::statement`], in hex.
    pub signature: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Sequence number of its first event.
    pub first: u64,
    pub offset: u64,
    pub bytes: u64,
}

impl Manifest {
    /// What is signed: everything but the signature.
    pub fn statement(&self) -> Result<String, serde_json::Error> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        Ok(format!("reelstream segment {}", serde_json::to_string(&unsigned)?))
    }

    /// BLAKE3 of the manifest, signature included, in hex.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        Ok(blake3::hash(serde_json::to_string(self)?.as_bytes()).to_hex().to_string())
    }

    pub fn data_key(&self) -> String {
        format!("{}/{:020}.zst", folder(self.partition), self.first)
    }

    pub fn key(&self) -> String {
        format!("{}/{:020}.json", folder(self.partition), self.first)
    }

    /// The block that holds an event.
    pub fn block_of(&self, seq: u64) -> Option<Block> {
        let after = self.blocks.partition_point(|block| block.first <= seq);
        self.blocks.get(after.checked_sub(1)?).copied()
    }
}

pub fn folder(partition: u16) -> String {
    format!("p{partition:03}")
}

/// Collects events into a segment.
pub struct Writer {
    pub chain: Chain,
    chain_before: String,
    first: u64,
    data: Vec<u8>,
    lines: Vec<u8>,
    blocks: Vec<Block>,
    last_recorded_at: chrono::DateTime<chrono::Utc>,
}

impl Writer {
    /// `chain` is as it is before the first event.
    pub fn new(chain: Chain) -> Self {
        Self {
            chain_before: chain.hash.clone(),
            first: chain.seq + 1,
            chain,
            data: vec![],
            lines: vec![],
            blocks: vec![],
            last_recorded_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    /// How many events it has.
    pub fn count(&self) -> u64 {
        self.chain.seq + 1 - self.first
    }

    /// The next event of the partition.
    pub fn push(&mut self, envelope: &Envelope) -> Result<(), Error> {
        let mut values = Vec::with_capacity(Envelope::STORED.len());
        envelope.each_stored(|value| values.push(String::from_utf8_lossy(value).into_owned()));
        serde_json::to_writer(&mut self.lines, &values)?;
        self.lines.push(b'\n');
        self.chain.extend(&envelope.hash);
        self.last_recorded_at = envelope.recorded_at;
        if self.count().is_multiple_of(BLOCK as u64) {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let frame = zstd::bulk::compress(&self.lines, LEVEL).map_err(Error::Compress)?;
        let first = self.first + (self.blocks.len() * BLOCK) as u64;
        self.blocks.push(Block { first, offset: self.data.len() as u64, bytes: frame.len() as u64 });
        self.data.extend(frame);
        self.lines.clear();
        Ok(())
    }

    /// The data, and its manifest without key and signature.
    pub fn finish(mut self, partition: u16, previous: String) -> Result<(Vec<u8>, Manifest), Error> {
        self.end_block()?;
        let manifest = Manifest {
            format: 1,
            partition,
            first: self.first,
            last: self.chain.seq,
            bytes: self.data.len() as u64,
            blake3: blake3::hash(&self.data).to_hex().to_string(),
            chain_before: self.chain_before,
            chain_after: self.chain.hash,
            last_recorded_at: self.last_recorded_at,
            blocks: self.blocks,
            previous,
            key_id: String::new(),
            signature: String::new(),
        };
        Ok((self.data, manifest))
    }
}

/// The events of one frame. Fails on anything that a writer has not made.
pub fn read_block(frame: &[u8], first: u64, name: &str) -> Result<Vec<(u64, Envelope)>, Error> {
    let damaged = |reason: String| Error::Damaged { object: name.to_owned(), reason };
    let lines = zstd::stream::decode_all(frame).map_err(|error| damaged(error.to_string()))?;
    let mut events = Vec::with_capacity(BLOCK);
    for (seq, line) in (first..).zip(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
        let values: Vec<String> =
            serde_json::from_slice(line).map_err(|error| damaged(format!("event {seq}: {error}")))?;
        let envelope = parse_values(values).map_err(|reason| damaged(format!("event {seq}: {reason}")))?;
        events.push((seq, envelope));
    }
    Ok(events)
}
