//! `reel import` from a Redis with the layout of the Python backend.

mod hostile;
mod jobs;
mod runs;
mod source;
