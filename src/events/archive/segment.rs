//! A segment: consecutive events of one partition, and their manifest.
//!
//! The data is a sequence of zstd frames (RFC 8878), each with up to [`BLOCK`] events, one JSON array of the stored fields per
//! line. So one event can be read without decompressing the rest. The manifest has each frame's offset, decompressed size and
//! BLAKE3, the BLAKE3 of the data, and the hash chain before and after it; it is chained to the previous manifest by that
//! one's digest. The first format had no digests of frames, and named its data by the first event alone.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::super::log::parse_values;
use super::Error;
use crate::events::Envelope;
use crate::events::chain::Chain;
use crate::storage::{self, Key, Prefix};

/// Events in one frame.
pub const BLOCK: usize = 256;
const LEVEL: i32 = 6;
/// Largest decompressed frame of the first format, which does not state a size.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// Digits of the data's digest in its name.
const DIGEST_DIGITS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 2; segments of format 1 are still read.
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
    /// Time of the last event.
    pub last_recorded_at: chrono::DateTime<chrono::Utc>,
    pub blocks: Vec<Block>,
    /// Digest of the manifest before; empty for the first.
    pub previous: String,
    pub key_id: String,
    /// Ed25519 over [`Manifest::statement`], in hex.
    pub signature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Sequence number of its first event.
    pub first: u64,
    pub offset: u64,
    pub bytes: u64,
    /// `None` in the first format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Unpacked>,
}

/// A frame's lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    pub bytes: u64,
    /// In hex.
    pub blake3: String,
}

impl Manifest {
    /// Returns the signed text: everything but the signature.
    pub fn statement(&self) -> Result<String, serde_json::Error> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        Ok(format!("reelstream segment {}", serde_json::to_string(&unsigned)?))
    }

    /// BLAKE3 of the manifest, signature included, in hex.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        Ok(blake3::hash(serde_json::to_string(self)?.as_bytes()).to_hex().to_string())
    }

    /// Returns the name of the data, which depends on its content: two processes may write the same events at once, and the
    /// single manifest decides whose data counts.
    pub fn data_key(&self) -> Result<Key, storage::Error> {
        let name = match self.format {
            1 => format!("{:020}.zst", self.first),
            _ => {
                let digest: String = self.blake3.chars().take(DIGEST_DIGITS).collect();
                format!("{:020}-{digest}.zst", self.first)
            }
        };
        folder(self.partition)?.key(&name)
    }

    pub fn key(&self) -> Result<Key, storage::Error> {
        folder(self.partition)?.key(&format!("{:020}.json", self.first))
    }

    /// Returns the block that holds an event.
    pub fn block_of(&self, seq: u64) -> Option<Block> {
        let after = self.blocks.partition_point(|block| block.first <= seq);
        self.blocks.get(after.checked_sub(1)?).cloned()
    }
}

pub fn folder(partition: u16) -> Result<Prefix, storage::Error> {
    Prefix::parse(format!("p{partition:03}"))
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
    /// `chain` is the partition's chain before the first event.
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

    /// Returns the number of events.
    pub fn count(&self) -> u64 {
        self.chain.seq + 1 - self.first
    }

    /// Adds the next event of the partition.
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
        let content = Unpacked {
            bytes: self.lines.len() as u64,
            blake3: blake3::hash(&self.lines).to_hex().to_string(),
        };
        self.blocks.push(Block {
            first,
            offset: self.data.len() as u64,
            bytes: frame.len() as u64,
            content: Some(content),
        });
        self.data.extend(frame);
        self.lines.clear();
        Ok(())
    }

    /// Returns the data, and its manifest without key and signature.
    pub fn finish(mut self, partition: u16, previous: String) -> Result<(Vec<u8>, Manifest), Error> {
        self.end_block()?;
        let manifest = Manifest {
            format: 2,
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

/// Reads the events of one frame. Fails unless its bytes match the block, and each event's hash its content.
pub fn read_block(frame: &[u8], block: &Block, name: &Key) -> Result<Vec<(u64, Envelope)>, Error> {
    let damaged = |reason: String| Error::Damaged { object: name.to_string(), reason };
    let lines = unpack(frame, block).map_err(damaged)?;
    let mut events = Vec::with_capacity(BLOCK);
    for (seq, line) in (block.first..).zip(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()))
    {
        let values: Vec<String> =
            serde_json::from_slice(line).map_err(|error| damaged(format!("event {seq}: {error}")))?;
        let envelope = parse_values(values).map_err(|reason| damaged(format!("event {seq}: {reason}")))?;
        if envelope.compute_hash() != envelope.hash {
            return Err(damaged(format!("event {seq}: an event's hash is not that of its content")));
        }
        events.push((seq, envelope));
    }
    Ok(events)
}

/// Decompresses at most the size that the block states, whatever the frame states.
fn unpack(frame: &[u8], block: &Block) -> Result<Vec<u8>, String> {
    let promised = block.content.as_ref();
    let max_bytes = promised.map_or(MAX_UNPACKED_BYTES, |content| content.bytes);
    let decoder = zstd::stream::Decoder::new(frame).map_err(|error| error.to_string())?;
    let mut lines = vec![];
    decoder.take(max_bytes.saturating_add(1)).read_to_end(&mut lines).map_err(|error| error.to_string())?;
    if lines.len() as u64 > max_bytes {
        return Err(format!("a frame holds more than the {max_bytes} bytes that were archived"));
    }
    if promised.is_some_and(|content| blake3::hash(&lines).to_hex().as_str() != content.blake3) {
        return Err("a frame's events are not those that were archived".to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(content: Option<Unpacked>) -> Block {
        Block { first: 1, offset: 0, bytes: 0, content }
    }

    #[test]
    fn l2_a_frame_that_unpacks_to_more_than_it_promises_is_an_error() {
        let bomb = zstd::bulk::compress(&vec![b'\n'; 64 << 20], LEVEL).unwrap();
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        let content = Unpacked { bytes: 1000, blake3: String::new() };
        let error = unpack(&bomb, &block(Some(content))).unwrap_err();
        assert!(error.contains("more than the 1000 bytes"), "{error}");
    }

    #[test]
    fn l2_a_frame_with_other_bytes_than_it_promises_is_an_error() {
        let frame = zstd::bulk::compress(b"[]\n", LEVEL).unwrap();
        let content = |blake3: String| Some(Unpacked { bytes: 3, blake3 });
        let digest = blake3::hash(b"[]\n").to_hex().to_string();
        assert_eq!(unpack(&frame, &block(content(digest))).unwrap(), b"[]\n");
        assert!(unpack(&frame, &block(content("00".into()))).unwrap_err().contains("not those"));
        assert_eq!(unpack(&frame, &block(None)).unwrap(), b"[]\n");
    }

    /// Signatures cover the text of a manifest, so one of the first format must be written as it was.
    #[test]
    fn a_manifest_of_the_first_format_keeps_its_text_and_its_names() {
        let text = r#"{"format":1,"partition":3,"first":1,"last":2,"bytes":9,"blake3":"ab","chain_before":"c","chain_after":"d","last_recorded_at":"2026-11-21T10:00:00Z","blocks":[{"first":1,"offset":0,"bytes":9}],"previous":"","key_id":"e","signature":"f"}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&manifest).unwrap(), text);
        assert_eq!(manifest.data_key().unwrap().as_str(), "p003/00000000000000000001.zst");
        let newer = Manifest { format: 2, blake3: "0123456789abcdef0123".into(), ..manifest };
        assert_eq!(newer.data_key().unwrap().as_str(), "p003/00000000000000000001-0123456789abcdef.zst");
        assert_eq!(newer.key().unwrap().as_str(), "p003/00000000000000000001.json");
    }
}
