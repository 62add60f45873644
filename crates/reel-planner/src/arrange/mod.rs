//! Decides what goes on which page.
//!
//! `passages` divides a section into what stays together, with `listing` and `tables` for code and tables; `ranking` says
//! which passages matter most, `budget` keeps what a video has room for, and `pages` divides the rest over pages.
//! `capacity` estimates heights, `pace` durations.

pub(crate) mod budget;
pub(crate) mod capacity;
pub(crate) mod listing;
pub(crate) mod pace;
pub(crate) mod pages;
pub(crate) mod passages;
pub(crate) mod ranking;
pub(crate) mod tables;
