#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reelstream::fuzzing::archive_block(data));
