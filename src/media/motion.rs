//! How something new comes into the picture.
//!
//! A transition knows two pictures and touches only what differs between them, so its cost follows what
//! moves. Each frame is computed from the two pictures and the frame's number alone: the same input gives
//! the same frames, whoever computes them.

use super::picture::{Picture, Rect};
use crate::scene::Entrance;

/// Rows of one picture that are further apart than this move one after the other, as shares of the height.
const BAND_GAP: f64 = 0.02;
/// How far something rises, as a share of the height.
const RISE: f64 = 0.03;
/// The soft edge of a wipe, as a share of what is wiped in.
const SOFT_EDGE: f64 = 0.18;
/// How much later each band begins than the one above, as a share of one band's time; all of them together are
/// at most as late as [`LATEST`].
const STAGGER: f64 = 0.25;
const LATEST: f64 = 0.6;
/// All of a share: the new picture alone.
const WHOLE: u16 = 256;

/// From one picture to the next, in a number of frames.
pub struct Transition<'a> {
    from: &'a Picture,
    to: &'a Picture,
    bands: Vec<Rect>,
    entrance: Entrance,
    frames: u32,
}

impl<'a> Transition<'a> {
    /// Between two pictures of one size. After `frames` frames `to` is reached; the last of them equals it.
    pub fn new(from: &'a Picture, to: &'a Picture, entrance: Entrance, frames: u32) -> Self {
        let gap = (to.height as f64 * BAND_GAP) as usize;
        Self { from, to, bands: from.changes(to, gap), entrance, frames }
    }

    /// Whether both pictures are the same.
    pub fn is_still(&self) -> bool {
        self.bands.is_empty()
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        let late = (STAGGER * (self.bands.len() as f64 - 1.0)).min(LATEST);
        let each = late / (self.bands.len() as f64 - 1.0).max(1.0);
        let time = f64::from(number) / f64::from(self.frames.max(1));
        for (index, band) in self.bands.iter().enumerate() {
            let begun = (time * (1.0 + late) - each * index as f64).clamp(0.0, 1.0);
            self.draw_band(canvas, *band, if number >= self.frames { 1.0 } else { eased(begun) });
        }
    }

    fn draw_band(&self, canvas: &mut Picture, band: Rect, share: f64) {
        if share >= 1.0 {
            return canvas.copy(self.to, self.reach(band));
        }
        match self.entrance {
            Entrance::Fade | Entrance::Morph => blend(canvas, (self.from, self.to), band, |_| share),
            Entrance::Wipe => {
                let width = (band.right - band.left) as f64;
                let edge = (1.0 + SOFT_EDGE) * share * width;
                blend(canvas, (self.from, self.to), band, |x| {
                    (edge - (x - band.left) as f64) / (SOFT_EDGE * width)
                });
            }
            Entrance::Rise => self.rise(canvas, band, share),
        }
    }

    /// What a band may touch on its way.
    fn reach(&self, band: Rect) -> Rect {
        match self.entrance {
            Entrance::Rise => {
                Rect { bottom: (band.bottom + self.height_of_rise()).min(self.to.height), ..band }
            }
            Entrance::Fade | Entrance::Wipe | Entrance::Morph => band,
        }
    }

    fn height_of_rise(&self) -> usize {
        ((self.to.height as f64 * RISE) as usize) & !1
    }

    /// What is new comes from a little below, and fades in on its way.
    fn rise(&self, canvas: &mut Picture, band: Rect, share: f64) {
        let below = ((self.height_of_rise() as f64 * (1.0 - share)) as usize) & !1;
        let weight = (share * f64::from(WHOLE)) as u16;
        let reach = self.reach(band);
        canvas.copy(self.from, reach);
        let sources = self.from.planes().into_iter().zip(self.to.planes());
        for ((out, width, scale), ((from, ..), (to, ..))) in canvas.planes_mut().into_iter().zip(sources) {
            let columns = band.left / scale..band.right / scale;
            for y in band.top / scale..band.bottom / scale {
                let target = y + below / scale;
                if target >= reach.bottom / scale {
                    break;
                }
                let row = |y: usize| y * width + columns.start..y * width + columns.end;
                let source = from[row(y)].iter().zip(&to[row(y)]);
                for (out, (from, to)) in out[row(target)].iter_mut().zip(source) {
                    if from != to {
                        *out = mix(*out, *to, weight);
                    }
                }
            }
        }
    }
}

/// Mixes both pictures, with the share of the second by column, from 0 to 1.
pub(super) fn blend(
    canvas: &mut Picture,
    (from, to): (&Picture, &Picture),
    band: Rect,
    share: impl Fn(usize) -> f64,
) {
    let share = |x: usize| (share(x).clamp(0.0, 1.0) * f64::from(WHOLE)) as u16;
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

/// Starts at once and ends gently: 1 - (1 - t)^3.
pub(super) fn eased(time: f64) -> f64 {
    1.0 - (1.0 - time).powi(3)
}

fn mix_row(out: &mut [u8], from: &[u8], to: &[u8], shares: &[u16]) {
    for (((out, from), to), share) in out.iter_mut().zip(from).zip(to).zip(shares) {
        *out = mix(*from, *to, *share);
    }
}

/// 256 times 255 and a half fit 16 bits, so that the compiler can do many at a time.
fn mix(from: u8, to: u8, share: u16) -> u8 {
    ((u16::from(from) * (WHOLE - share) + u16::from(to) * share + 127) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Entrance; 3] = [Entrance::Fade, Entrance::Rise, Entrance::Wipe];

    /// Two lines of a dark colour on a light page.
    fn pictures() -> (Picture, Picture) {
        let from = Picture::of([250; 3], 128, 128);
        let dark = Picture::of([20, 20, 90], 128, 128);
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
        assert!(Transition::new(&from, &from, Entrance::Fade, 5).is_still());
    }
}
