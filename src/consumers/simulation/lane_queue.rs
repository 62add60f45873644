//! The queue of one lane of a stage, as `enqueue.lua` and `next_piece.lua` keep it in Redis. A test compares the two.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The place of a piece among all that waits: its requester, the rank of its job (see `job_rank`), and the scene.
pub type Place = (String, String, u32);

/// The turn of a job: its number, the job's age (as the rank has it), the requester, and the rank.
type Turn = (u64, String, String, String);

/// Characters of a rank that are the age.
const AGE_LENGTH: usize = 14;

#[derive(Debug)]
pub struct LaneQueue<T> {
    waiting: BTreeMap<Place, T>,
    turns: BTreeSet<Turn>,
    turn_of: HashMap<(String, String), u64>,
}

impl<T> Default for LaneQueue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), turns: BTreeSet::new(), turn_of: HashMap::new() }
    }
}

impl<T> LaneQueue<T> {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn push(&mut self, place: Place, piece: T) {
        let (requester, rank, _) = &place;
        let job = (requester.clone(), rank.clone());
        if !self.turn_of.contains_key(&job) {
            let served = self.turns.first().map_or(0, |(turn, ..)| *turn);
            let older = (requester.clone(), String::new(), 0)..(requester.clone(), rank.clone(), 0);
            let before = self.waiting.range(older).next_back();
            let turn_before = before
                .and_then(|((requester, rank, _), _)| self.turn_of.get(&(requester.clone(), rank.clone())));
            let turn = served.max(turn_before.map_or(0, |turn| turn + 1));
            let age = rank.get(..AGE_LENGTH).unwrap_or(rank).to_owned();
            self.turns.insert((turn, age, requester.clone(), rank.clone()));
            self.turn_of.insert(job, turn);
        }
        self.waiting.insert(place, piece);
    }

    /// Returns the place of the piece that goes next.
    pub fn peek(&mut self) -> Option<Place> {
        while let Some((_, _, requester, rank)) = self.turns.first() {
            let from = (requester.clone(), rank.clone(), 0);
            let is_of_job = |place: &Place| place.0 == *requester && place.1 == *rank;
            if let Some((place, _)) = self.waiting.range(from..).next().filter(|(place, _)| is_of_job(place))
            {
                return Some(place.clone());
            }
            if let Some((_, _, requester, rank)) = self.turns.pop_first() {
                self.turn_of.remove(&(requester, rank));
            }
        }
        None
    }

    /// Takes a piece out of turn, if it still waits.
    pub fn remove(&mut self, place: &Place) -> Option<T> {
        self.waiting.remove(place)
    }

    pub fn pop(&mut self) -> Option<(Place, T)> {
        let taken = self.peek().and_then(|place| self.waiting.remove_entry(&place));
        if self.waiting.is_empty() {
            self.turns.clear();
            self.turn_of.clear();
        }
        taken
    }
}
