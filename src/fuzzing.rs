//! Entry points of the fuzz targets in `fuzz/`. Each takes any bytes and panics when a property does not hold. Tests
//! replay every seed and every input that once failed.

use crate::api::generate_request;
use crate::events::archive::segment;
use crate::events::job::JobRequested;
use crate::events::{Event, JobEvent, Quality, reread_entry, upcast};
use crate::storage::Key;

/// The body of a request: what is accepted is recorded, and read from the log as it was.
pub fn generate_body(data: &[u8]) {
    if let Ok(request) = generate_request::parse(data, Quality::default()) {
        let requested =
            JobRequested { user_id: "user_1".to_owned(), request: Box::new(request), batch_id: None };
        let event = JobEvent::JobRequested(requested);
        let encoded = upcast::encode(&event).expect("a request can be read back");
        let name = event.type_name();
        let decoded: Result<JobEvent, _> =
            upcast::decode(name, JobEvent::current_schema(name), &encoded.data);
        assert_eq!(decoded.expect("what was recorded can be read"), event);
    }
}

/// A block of the archive: as it lies in the store, and, so that what is inside is reached, compressed here.
pub fn archive_block(data: &[u8]) {
    let read = |frame: &[u8]| {
        // As in the first format, which promises least of what is inside.
        let block = segment::Block { first: 1, offset: 0, bytes: frame.len() as u64, content: None };
        let key = Key::parse("fuzzed").expect("a word is a key");
        if let Ok(events) = segment::read_block(frame, &block, &key) {
            for (_, envelope) in events {
                let _hash = envelope.compute_hash();
            }
        }
    };
    read(data);
    if let Ok(frame) = zstd::bulk::compress(data, 1) {
        read(&frame);
    }
}

/// An entry of a stream, names and values by turns, a line for each: what is read is written and read again without
/// a change, and its event is decoded or refused.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let fields = text.split('\n').map(str::to_owned).collect();
    if let Some((envelope, again)) = reread_entry(fields) {
        assert_eq!(envelope.compute_hash(), again.compute_hash());
        let _shown = serde_json::to_string(&envelope);
        let _refused = upcast::decode::<JobEvent>(&envelope.event_type, envelope.schema, &envelope.data);
    }
}

#[cfg(test)]
#[path = "../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_were_fuzzed_are_parsed() {
        replay::all("generate_body", generate_body);
    }

    #[test]
    fn blocks_that_were_fuzzed_are_read() {
        replay::all("archive_block", archive_block);
    }

    #[test]
    fn envelopes_that_were_fuzzed_are_read() {
        replay::all("envelope", envelope);
    }
}
