//! Silence around spoken lines. The planner estimates durations with it, and the studio times steps by it.

/// Silence before the first line of a scene, while it fades in.
pub const LEAD_IN_MS: u64 = 400;

/// Silence after lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// Pause after each line of a scene but its last.
    pub between_ms: u64,
    /// Pause after the last line of a scene.
    pub last_ms: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { between_ms: 350, last_ms: 700 }
    }
}

impl Pauses {
    /// Multiplies both pauses by a factor.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = |ms: u64| (ms as f64 * factor) as u64;
        Self { between_ms: scaled(self.between_ms), last_ms: scaled(self.last_ms) }
    }
}
