//! Silence around spoken lines. The planner estimates with these numbers, and the studio lays lines out by them.

/// Before the first line: the scene fades in.
pub const LEAD_IN_MS: u64 = 400;

/// How long it is still after lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// After each line but a scene's last.
    pub between_ms: u64,
    /// After the last line, before the next scene.
    pub last_ms: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { between_ms: 350, last_ms: 700 }
    }
}

impl Pauses {
    pub fn scaled(self, by: f64) -> Self {
        let scaled = |ms: u64| (ms as f64 * by) as u64;
        Self { between_ms: scaled(self.between_ms), last_ms: scaled(self.last_ms) }
    }
}
