//! Transitions between pictures.
//!
//! A transition draws only where its two pictures differ, so its cost is proportional to what moves. A frame depends on
//! the two pictures and its own number only, so the same input always gives the same frames.

use crate::draw::picture::{Picture, Rect};
use reel_scene::{Entrance, Leave};

/// Smallest gap between bands that move one after the other, as a share of the height.
const BAND_GAP: f64 = 0.02;
/// Distance of a rise, as a share of the height.
const RISE: f64 = 0.03;
/// Distance of a slide, as a share of the width.
const SLIDE: f64 = 0.04;
/// Soft edge of a wipe, as a share of the band's width.
const SOFT_EDGE: f64 = 0.18;
/// Delay of each band after the one above, as a share of one band's time. All delays together are at most
/// [`MAX_STAGGER`].
const STAGGER: f64 = 0.25;
const MAX_STAGGER: f64 = 0.6;
/// The fixed-point share at which only the new picture shows.
pub(crate) const FULL_SHARE: u16 = 256;

/// A transition from one picture to another in a number of frames.
pub struct Transition<'a> {
    from: &'a Picture,
    to: &'a Picture,
    bands: Vec<Rect>,
    effect: Effect,
    frames: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Blend,
    /// From left to right.
    WipeIn,
    /// From right to left.
    WipeOut,
    /// The new content comes from a little below.
    Rise,
    /// The new content comes from the right.
    SlideIn,
    /// The old content goes to the left.
    SlideOut,
}

impl<'a> Transition<'a> {
    /// Takes two pictures of the same size. Frame number `frames` equals `to`.
    pub fn new(from: &'a Picture, to: &'a Picture, entrance: Entrance, frames: u32) -> Self {
        let gap = (to.height as f64 * BAND_GAP) as usize;
        let effect = match entrance {
            Entrance::Fade | Entrance::Morph => Effect::Blend,
            Entrance::Wipe => Effect::WipeIn,
            Entrance::Rise => Effect::Rise,
            Entrance::Slide => Effect::SlideIn,
        };
        // A page that slides in moves as a whole.
        let gap = if effect == Effect::SlideIn { to.height } else { gap };
        Self { from, to, bands: from.changes(to, gap), effect, frames }
    }

    /// Builds the transition from the end of a scene to the empty page, which moves as a whole.
    pub fn exit(from: &'a Picture, to: &'a Picture, leave: Leave, frames: u32) -> Self {
        let effect = match leave {
            Leave::Fade => Effect::Blend,
            Leave::Wipe => Effect::WipeOut,
            Leave::Slide => Effect::SlideOut,
        };
        Self { from, to, bands: from.changes(to, to.height), effect, frames }
    }

    /// Returns `true` when both pictures are equal.
    pub fn is_static(&self) -> bool {
        self.bands.is_empty()
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        let late = (STAGGER * (self.bands.len() as f64 - 1.0)).min(MAX_STAGGER);
        let each = late / (self.bands.len() as f64 - 1.0).max(1.0);
        let time = f64::from(number) / f64::from(self.frames.max(1));
        for (index, band) in self.bands.iter().enumerate() {
            let progress = (time * (1.0 + late) - each * index as f64).clamp(0.0, 1.0);
            // Leaving content accelerates.
            let share =
                if self.effect == Effect::SlideOut { progress * progress } else { ease_out(progress) };
            self.draw_band(canvas, *band, if number >= self.frames { 1.0 } else { share });
        }
    }

    fn draw_band(&self, canvas: &mut Picture, band: Rect, share: f64) {
        if share >= 1.0 {
            return canvas.copy(self.to, self.reach(band));
        }
        let (arriving, leaving) = ((self.from, self.to), (self.to, self.from));
        let (ahead, below) = self.distances();
        match self.effect {
            Effect::Blend => blend(canvas, arriving, band, |_| share),
            Effect::WipeIn => blend(canvas, arriving, band, |x| wipe_share(x - band.left, band, share)),
            Effect::WipeOut => blend(canvas, arriving, band, |x| wipe_share(band.right - 1 - x, band, share)),
            Effect::Rise => self.shift(canvas, arriving, band, (0.0, below * (1.0 - share)), share),
            Effect::SlideIn => self.shift(canvas, arriving, band, (ahead * (1.0 - share), 0.0), share),
            Effect::SlideOut => self.shift(canvas, leaving, band, (-ahead * share, 0.0), 1.0 - share),
        }
    }

    /// Returns the distances of slides and rises, in pixels.
    fn distances(&self) -> (f64, f64) {
        (self.to.width as f64 * SLIDE, self.to.height as f64 * RISE)
    }

    /// Returns everything that a band may touch during the transition.
    fn reach(&self, band: Rect) -> Rect {
        let (ahead, below) = self.distances();
        let even = |pixels: f64| (pixels as usize).next_multiple_of(2);
        match self.effect {
            Effect::Blend | Effect::WipeIn | Effect::WipeOut => band,
            Effect::Rise => Rect { bottom: (band.bottom + even(below)).min(self.to.height), ..band },
            Effect::SlideIn => Rect { right: (band.right + even(ahead)).min(self.to.width), ..band },
            Effect::SlideOut => Rect { left: band.left.saturating_sub(even(ahead)), ..band },
        }
    }

    /// Draws the content of `over`, the pixels in which it differs from `under`, at an offset and with a weight.
    fn shift(
        &self,
        canvas: &mut Picture,
        (under, over): (&Picture, &Picture),
        band: Rect,
        (right, down): (f64, f64),
        weight: f64,
    ) {
        let (right, down) = (right as isize & !1, down as isize & !1);
        let weight = (weight * f64::from(FULL_SHARE)) as u16;
        let reach = self.reach(band);
        canvas.copy(under, reach);
        let sources = under.planes().into_iter().zip(over.planes());
        for ((out, width, scale), ((under, ..), (over, ..))) in canvas.planes_mut().into_iter().zip(sources) {
            let (right, down) = (right / scale as isize, down / scale as isize);
            // The columns that stay on the picture, and the column that the first of them moves to.
            let columns = (band.left / scale).max((-right).max(0) as usize)
                ..(band.right / scale).min((reach.right / scale).saturating_add_signed(-right));
            let target_column = columns.start.saturating_add_signed(right);
            for y in band.top / scale..band.bottom / scale {
                let target = y.saturating_add_signed(down);
                if target >= reach.bottom / scale || columns.is_empty() {
                    break;
                }
                let row = y * width + columns.start..y * width + columns.end;
                let source = under[row.clone()].iter().zip(&over[row]);
                let to = &mut out[target * width + target_column..][..columns.len()];
                for (out, (under, over)) in to.iter_mut().zip(source) {
                    if under != over {
                        *out = mix(*out, *over, weight);
                    }
                }
            }
        }
    }
}

/// Returns the share of the new picture in a column, from its distance to the start of the wipe.
fn wipe_share(distance: usize, band: Rect, share: f64) -> f64 {
    let width = (band.right - band.left) as f64;
    ((1.0 + SOFT_EDGE) * share * width - distance as f64) / (SOFT_EDGE * width)
}

/// Blends two pictures; `share` is the weight of the second one in a column, from 0 to 1.
pub(crate) fn blend(
    canvas: &mut Picture,
    (from, to): (&Picture, &Picture),
    band: Rect,
    share: impl Fn(usize) -> f64,
) {
    let share = |x: usize| (share(x).clamp(0.0, 1.0) * f64::from(FULL_SHARE)) as u16;
    let shares: Vec<u16> = (band.left..band.right).map(share).collect();
    let halved: Vec<u16> = shares.iter().step_by(2).copied().collect();
    let sources = from.planes().into_iter().zip(to.planes());
    for ((out, width, scale), ((from, ..), (to, ..))) in canvas.planes_mut().into_iter().zip(sources) {
        let shares = if scale == 1 { &shares } else { &halved };
        for y in band.top / scale..band.bottom / scale {
            let row = y * width + band.left / scale..y * width + band.right / scale;
            mix_row(&mut out[row.clone()], &from[row.clone()], &to[row], shares);
        }
    }
}

/// Eases out: 1 - (1 - t)^3.
pub(crate) fn ease_out(time: f64) -> f64 {
    1.0 - (1.0 - time).powi(3)
}

/// Eases in and out: 3t^2 - 2t^3.
pub(crate) fn ease_in_out(time: f64) -> f64 {
    time * time * (3.0 - 2.0 * time)
}

/// Returns the time at which [`ease_in_out`] reaches a share.
pub(crate) fn inverse_ease_in_out(share: f64) -> f64 {
    0.5 - ((1.0 - 2.0 * share.clamp(0.0, 1.0)).asin() / 3.0).sin()
}

fn mix_row(out: &mut [u8], from: &[u8], to: &[u8], shares: &[u16]) {
    for (((out, from), to), share) in out.iter_mut().zip(from).zip(to).zip(shares) {
        *out = mix(*from, *to, *share);
    }
}

/// Mixes two samples. 256 * 255 + 127 fits 16 bits, so the compiler can vectorise the loop.
pub(crate) fn mix(from: u8, to: u8, share: u16) -> u8 {
    ((u16::from(from) * (FULL_SHARE - share) + u16::from(to) * share + 127) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Entrance; 4] = [Entrance::Fade, Entrance::Rise, Entrance::Wipe, Entrance::Slide];

    /// Two lines of a dark colour on a light page.
    fn pictures() -> (Picture, Picture) {
        let from = Picture::filled([250; 3], 128, 128);
        let dark = Picture::filled([20, 20, 90], 128, 128);
        let mut to = from.clone();
        to.copy(&dark, Rect { left: 10, top: 20, right: 90, bottom: 30 });
        to.copy(&dark, Rect { left: 10, top: 80, right: 60, bottom: 90 });
        (from, to)
    }

    #[test]
    fn every_entrance_ends_at_the_new_picture_and_touches_little_else() {
        let (from, to) = pictures();
        for entrance in ALL {
            let transition = Transition::new(&from, &to, entrance, 12);
            let mut canvas = from.clone();
            let mut last = 0;
            for number in 1..=12 {
                transition.draw(&mut canvas, number);
                assert_eq!(canvas.luma[..128 * 18], from.luma[..128 * 18], "above, {entrance:?}");
                assert_eq!(canvas.luma[128 * 110..], from.luma[128 * 110..], "below, {entrance:?}");
                let new = canvas.luma.iter().zip(&from.luma).filter(|(a, b)| a != b).count();
                assert!(new + 600 >= last, "{entrance:?} goes on: {last} then {new}");
                last = new;
            }
            assert_eq!(canvas, to, "{entrance:?}");
        }
    }

    #[test]
    fn a_frame_depends_on_its_number_alone() {
        let (from, to) = pictures();
        for entrance in ALL {
            let transition = Transition::new(&from, &to, entrance, 10);
            let (mut one, mut other) = (from.clone(), from.clone());
            (1..=7).for_each(|number| transition.draw(&mut one, number));
            transition.draw(&mut other, 7);
            assert_eq!(one, other, "{entrance:?}");
        }
    }

    #[test]
    fn a_scene_leaves_to_the_left_and_ends_empty() {
        let (empty, full) = pictures();
        for leave in [Leave::Fade, Leave::Slide, Leave::Wipe] {
            let transition = Transition::exit(&full, &empty, leave, 8);
            let mut canvas = full.clone();
            transition.draw(&mut canvas, 4);
            let leftmost = |picture: &Picture| {
                let row = &picture.luma[25 * 128..26 * 128];
                row.iter().position(|luma| *luma != picture.luma[0])
            };
            let moved = leftmost(&canvas) < leftmost(&full);
            assert_eq!(moved, leave == Leave::Slide, "{leave:?}");
            (5..=8).for_each(|number| transition.draw(&mut canvas, number));
            assert_eq!(canvas, empty, "{leave:?}");
        }
    }

    #[test]
    fn lines_further_down_come_later() {
        let (from, to) = pictures();
        let transition = Transition::new(&from, &to, Entrance::Wipe, 20);
        let mut canvas = from.clone();
        transition.draw(&mut canvas, 6);
        let dark = |y: usize| canvas.luma[y * 128..][..128].iter().filter(|luma| **luma < 60).count();
        assert!(dark(25) > dark(85), "{} and {}", dark(25), dark(85));
    }

    #[test]
    fn nothing_new_is_still() {
        let (from, _) = pictures();
        assert!(Transition::new(&from, &from, Entrance::Fade, 5).is_static());
    }
}
