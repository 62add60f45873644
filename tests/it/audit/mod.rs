//! What auditors and users rely on: tampering is found, and erasure is complete.

mod erasure;
mod tampering;
