//! Morphs a formula into the next: common terms move to their new positions, and new terms fade in.

use crate::draw::motion::{blend, ease_in_out, ease_out};
use crate::draw::picture::{Picture, Rect};

/// Fraction of the time after which new terms begin to fade in: common terms are moving by then.
const FADE_IN_START: f64 = 0.4;

/// A run of glyphs on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Appearance: font, size and glyphs.
    pub look: String,
    /// Bounds with a small margin.
    pub bounds: Rect,
}

/// The movement of one term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Bounds at the end.
    pub to: Rect,
    /// Offset of the beginning from the end, in even pixels.
    pub right: isize,
    pub down: isize,
}

/// Matches terms of `old` with equal terms of `new` in the same order, by their longest common subsequence.
pub fn match_terms(old: &[Term], new: &[Term]) -> Vec<Move> {
    let is_same = |from: usize, to: usize| old[from].look == new[to].look;
    // most[from][to]: matches among the terms from `from` and `to` on.
    let mut most = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for from in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            most[from][to] = match is_same(from, to) {
                true => most[from + 1][to + 1] + 1,
                false => most[from + 1][to].max(most[from][to + 1]),
            };
        }
    }
    let (mut from, mut to, mut moves) = (0, 0, vec![]);
    while from < old.len() && to < new.len() {
        if is_same(from, to) {
            moves.push(Move::between(old[from].bounds, new[to].bounds));
            (from, to) = (from + 1, to + 1);
        } else if most[from + 1][to] >= most[from][to + 1] {
            from += 1;
        } else {
            to += 1;
        }
    }
    moves
}

impl Move {
    fn between(from: Rect, to: Rect) -> Self {
        let apart = |from: usize, to: usize| from as isize - to as isize;
        Self { to, right: apart(from.left, to.left), down: apart(from.top, to.top) }
    }

    /// Returns the offset that remains at a fraction of the way.
    fn remaining_offset(&self, fraction: f64) -> (isize, isize) {
        let rest = |way: isize| ((way as f64 * (1.0 - fraction)) as isize) & !1;
        (rest(self.right), rest(self.down))
    }
}

/// A transition between two pictures in which terms move.
pub struct Morph<'a> {
    from: &'a Picture,
    to: &'a Picture,
    /// The new picture without the moving terms.
    new: Picture,
    moves: &'a [Move],
    frames: u32,
    /// Everything that may change during the transition.
    reach: Rect,
    bands: Vec<Rect>,
}

impl<'a> Morph<'a> {
    /// Takes two pictures of the same size. Frame number `frames` equals `to`.
    pub fn new(from: &'a Picture, to: &'a Picture, moves: &'a [Move], frames: u32) -> Self {
        let mut new = to.clone();
        moves.iter().for_each(|term| new.copy(from, term.to));
        let bands = from.changes(&new, 2);
        let moving_bounds = moves.iter().map(|term| term.to.union(term.start_bounds(to)));
        let all_bounds = from.changes(to, 2).into_iter().chain(moving_bounds);
        let reach = all_bounds.reduce(Rect::union).unwrap_or(Rect { left: 0, top: 0, right: 0, bottom: 0 });
        Self { from, to, new, moves, frames, reach, bands }
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        if number >= self.frames {
            return canvas.copy(self.to, self.reach);
        }
        let time = f64::from(number) / f64::from(self.frames);
        canvas.copy(self.from, self.reach);
        let share = ease_out(((time - FADE_IN_START) / (1.0 - FADE_IN_START)).max(0.0));
        for band in &self.bands {
            blend(canvas, (self.from, &self.new), *band, |_| share);
        }
        let gone = ease_in_out(time);
        for term in self.moves {
            self.draw_term(canvas, term.to, term.remaining_offset(gone));
        }
    }

    /// Draws a term at an offset. A term's pixels are those that differ from the page without it.
    fn draw_term(&self, canvas: &mut Picture, bounds: Rect, (right, down): (isize, isize)) {
        let (wide, high) = (self.to.width as isize, self.to.height as isize);
        let sources = self.from.planes().into_iter().zip(self.to.planes());
        for ((out, width, scale), ((from, ..), (to, ..))) in canvas.planes_mut().into_iter().zip(sources) {
            let step = scale as isize;
            for y in bounds.top / scale..bounds.bottom / scale {
                let target = y as isize + down / step;
                if !(0..high / step).contains(&target) {
                    continue;
                }
                for x in bounds.left / scale..bounds.right / scale {
                    let column = x as isize + right / step;
                    let at = y * width + x;
                    if from[at] != to[at] && (0..wide / step).contains(&column) {
                        out[target as usize * width + column as usize] = to[at];
                    }
                }
            }
        }
    }
}

impl Move {
    /// Returns the bounds at the beginning, clipped to the picture.
    fn start_bounds(&self, picture: &Picture) -> Rect {
        let moved = |at: usize, by: isize, most: usize| at.saturating_add_signed(by).min(most);
        Rect {
            left: moved(self.to.left, self.right, picture.width),
            top: moved(self.to.top, self.down, picture.height),
            right: moved(self.to.right, self.right, picture.width),
            bottom: moved(self.to.bottom, self.down, picture.height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(look: &str, left: usize, top: usize) -> Term {
        Term { look: look.into(), bounds: Rect { left, top, right: left + 10, bottom: top + 10 } }
    }

    #[test]
    fn common_terms_move_in_their_order() {
        let old =
            ["a", "+", "b", "=", "c"].iter().zip((20..).step_by(20)).map(|(look, at)| term(look, at, 20));
        let new =
            ["a", "=", "c", "-", "b"].iter().zip((40..).step_by(20)).map(|(look, at)| term(look, at, 80));
        let (old, new): (Vec<_>, Vec<_>) = (old.collect(), new.collect());
        let moves = match_terms(&old, &new);
        let ends: Vec<usize> = moves.iter().map(|term| term.to.left).collect();
        assert_eq!(ends, [40, 60, 80], "a, = and c; b is before = in one and behind it in the other");
        assert_eq!((moves[0].right, moves[0].down), (-20, -60));
        assert_eq!(super::match_terms(&old, &[]), []);
    }

    #[test]
    fn a_term_begins_at_its_old_place_and_ends_at_its_new_one() {
        let blank = Picture::filled([250; 3], 128, 128);
        let ink = Picture::filled([20, 20, 90], 128, 128);
        let (mut from, mut to) = (blank.clone(), blank.clone());
        let (old, new) = (term("x", 20, 20), term("x", 80, 90));
        from.copy(&ink, old.bounds);
        to.copy(&ink, old.bounds);
        to.copy(&ink, new.bounds);
        let moves = match_terms(std::slice::from_ref(&old), std::slice::from_ref(&new));
        let morph = Morph::new(&from, &to, &moves, 20);
        let mut canvas = from.clone();
        let dark = |canvas: &Picture, x: usize, y: usize| canvas.luma[y * 128 + x] < 60;
        morph.draw(&mut canvas, 10);
        assert!(dark(&canvas, 24, 24), "the old formula stays");
        assert!(dark(&canvas, 54, 60) && !dark(&canvas, 84, 94), "half-way");
        let mut other = from.clone();
        morph.draw(&mut other, 3);
        morph.draw(&mut other, 10);
        assert_eq!(canvas, other, "a frame depends on its number alone");
        (11..=20).for_each(|number| morph.draw(&mut canvas, number));
        assert_eq!(canvas, to);
    }
}
