//! The layout of the log: which partition an aggregate lives in.
//!
//! The partition of an aggregate never changes. When the number of partitions grows, it grows for aggregates that begin later:
//! an id of theirs (UUIDv7) says when it was made. All others stay where the numbers before have put them.
//!
//! Ids without a time (UUIDv5, of users and what belongs to them) stay in the partitions that the log was begun with.

use serde::{Deserialize, Serialize};

use crate::ids::AggregateId;

/// Milliseconds since 1970 that a new id may be ahead of the server's clock: the clocks of two machines differ.
pub(super) const MAX_AHEAD_MS: u64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Counts the changes; 0 before the first. What knows an older generation must not append.
    pub generation: u64,
    pub begun_with: u16,
    /// In the order of time.
    pub grown: Vec<Growth>,
}

/// From when on new aggregates spread over how many partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// In ms since 1970.
    pub from_ms: u64,
    pub partitions: u16,
}

impl Layout {
    pub fn of(partitions: u16) -> Self {
        Self { generation: 0, begun_with: partitions, grown: vec![] }
    }

    /// Returns the number of partitions that hold events, or will when the last growth begins.
    pub fn partitions(&self) -> u16 {
        self.grown.last().map_or(self.begun_with, |growth| growth.partitions)
    }

    pub fn partition_of(&self, id: AggregateId) -> u16 {
        let partitions = match self.grown.is_empty() {
            true => self.begun_with,
            false => self.partitions_at(made_at_ms(id)),
        };
        // The low bits are random in UUIDv7, and a digest in UUIDv5.
        (id.0.as_u128() % u128::from(partitions)) as u16
    }

    fn partitions_at(&self, ms: u64) -> u16 {
        let growth = self.grown.iter().rev().find(|growth| growth.from_ms <= ms);
        growth.map_or(self.begun_with, |growth| growth.partitions)
    }

    pub(super) fn grown_to(&self, partitions: u16, from_ms: u64) -> Self {
        let mut grown = self.grown.clone();
        grown.push(Growth { from_ms, partitions });
        Self { generation: self.generation + 1, grown, ..self.clone() }
    }

    /// The same, as the next generation.
    pub(super) fn unchanged(&self, generation: u64) -> Self {
        Self { generation, ..self.clone() }
    }

    /// Returns the recorded text. Versions that cannot grow read and write a number alone.
    pub fn text(&self) -> String {
        match self.generation {
            0 => self.begun_with.to_string(),
            _ => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let layout = match text.parse() {
            Ok(partitions) => Self::of(partitions),
            Err(_no_number) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        let numbers =
            std::iter::once(layout.begun_with).chain(layout.grown.iter().map(|growth| growth.partitions));
        match numbers.is_sorted_by(|before, after| before < after) && layout.begun_with > 0 {
            true if layout.grown.is_sorted_by(|before, after| before.from_ms < after.from_ms) => Ok(layout),
            _ => Err("its numbers of partitions do not grow".to_owned()),
        }
    }
}

/// Returns when an id was made, in ms since 1970; 0 for an id that does not say.
pub(super) fn made_at_ms(id: AggregateId) -> u64 {
    match id.0.get_version_num() {
        7 => (id.0.as_u128() >> 80) as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::TypedId;
    use crate::ids::{JobId, UserId};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(ms: u64, random: u64) -> AggregateId {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&random.to_be_bytes());
        AggregateId(uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid())
    }

    #[test]
    fn a_log_that_has_not_grown_is_a_number_as_it_was_before_logs_could_grow() {
        let layout = Layout::of(8);
        assert_eq!(layout.text(), "8");
        assert_eq!(Layout::parse("8").unwrap(), layout);
        let uuid = JobId::new().aggregate();
        assert_eq!(u128::from(layout.partition_of(uuid)), uuid.0.as_u128() % 8);
    }

    #[test]
    fn only_aggregates_that_begin_later_use_the_new_partitions() {
        let layout = Layout::of(2).grown_to(5, 1000).grown_to(64, 2000);
        assert_eq!((layout.generation, layout.partitions()), (2, 64));
        let of = |ms| (0..500).map(|random| layout.partition_of(id(ms, random))).max().unwrap();
        assert_eq!((of(0), of(999), of(1000), of(1999), of(2000)), (1, 1, 4, 4, 63));
        assert!(
            layout.partition_of(UserId::of_name("user_1").aggregate()) < 2,
            "it does not say when it was made"
        );
        assert!(layout.partition_of(AggregateId(Uuid::new_v4())) < 2);
        assert_eq!(Layout::parse(&layout.text()).unwrap(), layout);
    }

    #[test]
    fn a_layout_that_does_not_grow_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "70000",
            "{}",
            "8 16",
            r#"{"generation":1,"begun_with":8,"grown":[{"from_ms":1,"partitions":8}]}"#,
            r#"{"generation":1,"begun_with":8,"grown":[{"from_ms":5,"partitions":9},{"from_ms":4,"partitions":10}]}"#,
            r#"{"generation":1,"begun_with":8,"grown":[],"shrunk":true}"#,
        ] {
            assert!(Layout::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_growth_moves_no_aggregate_that_was_made_before(
            ms in 0u64..4000, random: u64, first in 1u16..20, more in 1u16..20, from in 1u64..4000,
        ) {
            let (before, after) = (Layout::of(first), Layout::of(first).grown_to(first + more, from));
            let id = id(ms, random);
            prop_assert!(after.partition_of(id) < after.partitions());
            prop_assert!(ms >= from || before.partition_of(id) == after.partition_of(id));
        }
    }
}
