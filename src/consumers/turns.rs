//! Whose work is taken next: of the most urgent lane, without starving the others, and of requesters by turns.

use std::collections::HashMap;

use crate::events::Lane;

/// One in this many pieces prefers a later lane, each of them in turn. So under endless urgent work, every other priority
/// still gets one in three times as many pieces.
const LIFT_EVERY: usize = 8;
const LIFTED: [Lane; 3] = [Lane::Low, Lane::Normal, Lane::High];

/// Requesters whose turns are remembered; past it, all begin again.
const MAX_TURNS: usize = 1024;

/// Returns the order of lanes for piece number `turn`, and the number of pieces to take in that order.
pub fn lane_order(turn: usize) -> ([Lane; 6], usize) {
    let until_lift = LIFT_EVERY - 1 - turn % LIFT_EVERY;
    if until_lift > 0 {
        return (Lane::ALL, until_lift);
    }
    let lifted = LIFTED[turn / LIFT_EVERY % LIFTED.len()];
    let mut order = Lane::ALL;
    order.sort_by_key(|lane| (*lane != lifted, *lane));
    (order, 1)
}

/// The turns of requesters, over all partitions (start-time fair queueing, as in each partition's queue): one for each of
/// their jobs.
#[derive(Default)]
pub struct Turns {
    now: u64,
    /// Of each requester, the youngest job that was served: its turn and its rank.
    served: HashMap<String, (u64, String)>,
}

impl Turns {
    /// The turn of a job; `rank` is its place among those of the requester.
    pub fn of(&self, requester: &str, rank: &str) -> u64 {
        match self.served.get(requester) {
            Some((turn, youngest)) if rank <= youngest.as_str() => *turn,
            Some((turn, _)) => self.now.max(turn + 1),
            None => self.now,
        }
    }

    pub fn serve(&mut self, requester: &str, rank: &str) {
        let turn = self.of(requester, rank);
        self.now = self.now.max(turn);
        if let Some((served, youngest)) = self.served.get_mut(requester) {
            if rank > youngest.as_str() {
                (*served, *youngest) = (turn, rank.to_owned());
            }
            return;
        }
        if self.served.len() >= MAX_TURNS {
            self.served.clear();
        }
        self.served.insert(requester.to_owned(), (turn, rank.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_goes_first_and_every_priority_gets_its_share() {
        let first: Vec<Lane> = (0..24).map(|turn| lane_order(turn).0[0]).collect();
        let count = |wanted| first.iter().filter(|lane| **lane == wanted).count();
        assert_eq!(count(Lane::Urgent), 21);
        for other in LIFTED {
            assert_eq!(count(other), 1, "{other:?}");
        }
        assert_eq!(lane_order(0), (Lane::ALL, 7));
        assert_eq!(lane_order(6).1, 1);
        assert_eq!(
            lane_order(7),
            ([Lane::Low, Lane::Urgent, Lane::FirstScene, Lane::NextScene, Lane::High, Lane::Normal], 1)
        );
    }

    /// The order in which jobs are served, each of which has so many pieces waiting all the time: the requester and the rank.
    fn served(jobs: &[(&'static str, &'static str)], pieces: usize) -> Vec<(&'static str, &'static str)> {
        let mut turns = Turns::default();
        let mut waiting: Vec<(&str, &str, usize)> =
            jobs.iter().map(|(requester, rank)| (*requester, *rank, pieces)).collect();
        let mut order = vec![];
        while let Some(at) = (0..waiting.len()).min_by_key(|at| {
            let (requester, rank, _) = waiting[*at];
            (turns.of(requester, rank), rank)
        }) {
            let (requester, rank, left) = &mut waiting[at];
            turns.serve(requester, rank);
            if order.last() != Some(&(*requester, *rank)) {
                order.push((*requester, *rank));
            }
            *left -= 1;
            waiting.retain(|(.., left)| *left > 0);
        }
        order
    }

    #[test]
    fn requesters_take_turns_a_job_at_a_time() {
        assert_eq!(served(&[("a", "3"), ("b", "1"), ("c", "2")], 4), [("b", "1"), ("c", "2"), ("a", "3")]);
        let of_one_who_has_many = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")];
        assert_eq!(served(&of_one_who_has_many, 4), [("a", "1"), ("b", "4"), ("a", "2"), ("a", "3")]);
    }

    #[test]
    fn a_job_that_pauses_goes_on_in_its_turn_and_who_comes_late_has_no_claim() {
        let mut turns = Turns::default();
        turns.serve("a", "1");
        turns.serve("b", "2");
        turns.serve("b", "3");
        assert_eq!((turns.of("a", "1"), turns.of("b", "3"), turns.of("b", "2")), (0, 1, 1), "served before");
        assert_eq!((turns.of("late", "9"), turns.of("a", "9"), turns.of("b", "9")), (1, 1, 2), "new jobs");
    }

    #[test]
    fn few_turns_are_remembered() {
        let mut turns = Turns::default();
        for number in 0..10_000 {
            turns.serve(&number.to_string(), "1");
        }
        assert!(turns.served.len() <= MAX_TURNS, "{}", turns.served.len());
    }
}
