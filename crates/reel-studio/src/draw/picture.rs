//! Pictures in the encoder's format: planar YUV 4:2:0, BT.709, limited range.

use crate::layout::RgbaPage;

/// A picture with even width and height; chroma planes have half of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// From 16 (black) to 235 (white).
    pub luma: Vec<u8>,
    /// From 16 to 240, centred on 128, like `red`.
    pub blue: Vec<u8>,
    pub red: Vec<u8>,
}

/// BT.709 weights (ITU-R BT.709-6, section 3) for the limited range's 219 and 224 steps, scaled by 2^16.
const SHIFT: i32 = 16;
const HALF: i32 = 1 << (SHIFT - 1);
const LUMA: [i32; 3] = weights(0.2126, 0.7152, 0.0722, 219.0);
const BLUE: [i32; 3] = weights(-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5, 224.0);
const RED: [i32; 3] = weights(0.5, -0.7152 / 1.5748, -0.0722 / 1.5748, 224.0);

const fn weights(r: f64, g: f64, b: f64, steps: f64) -> [i32; 3] {
    [scaled(r * steps / 255.0), scaled(g * steps / 255.0), scaled(b * steps / 255.0)]
}

const fn scaled(value: f64) -> i32 {
    let value = value * (1 << SHIFT) as f64;
    if value < 0.0 { (value - 0.5) as i32 } else { (value + 0.5) as i32 }
}

fn weigh(weights: [i32; 3], rgb: [i32; 3]) -> i32 {
    weights[0] * rgb[0] + weights[1] * rgb[1] + weights[2] * rgb[2]
}

impl Picture {
    /// Builds a picture of a single colour.
    pub fn filled([r, g, b]: [u8; 3], width: usize, height: usize) -> Self {
        Self::from_rgba(&RgbaPage { width, height, rgba: [r, g, b, 255].repeat(width * height) })
    }

    /// Converts an opaque page. An odd last row or column is dropped.
    pub fn from_rgba(page: &RgbaPage) -> Self {
        let (width, height) = (page.width & !1, page.height & !1);
        let mut luma = vec![0; width * height];
        let mut blue = vec![0; width * height / 4];
        let mut red = vec![0; width * height / 4];
        let stride = page.width * 4;
        for pair in 0..height / 2 {
            let rows = [&page.rgba[2 * pair * stride..], &page.rgba[(2 * pair + 1) * stride..]];
            let (top, bottom) = luma[2 * pair * width..][..2 * width].split_at_mut(width);
            let chroma = pair * width / 2;
            for column in 0..width / 2 {
                let mut sum = [0; 3];
                for (row, out) in rows.iter().zip([&mut *top, &mut *bottom]) {
                    for x in [2 * column, 2 * column + 1] {
                        let pixel = [0, 1, 2].map(|channel| i32::from(row[4 * x + channel]));
                        out[x] = (16 + ((weigh(LUMA, pixel) + HALF) >> SHIFT)) as u8;
                        sum = [sum[0] + pixel[0], sum[1] + pixel[1], sum[2] + pixel[2]];
                    }
                }
                // Chroma of the mean of four pixels: the sum has two more bits, and so has the shift.
                blue[chroma + column] = (128 + ((weigh(BLUE, sum) + 4 * HALF) >> (SHIFT + 2))) as u8;
                red[chroma + column] = (128 + ((weigh(RED, sum) + 4 * HALF) >> (SHIFT + 2))) as u8;
            }
        }
        Self { width, height, luma, blue, red }
    }

    /// Returns the luma plane and the two chroma planes, each with its width and its subsampling factor.
    pub fn planes(&self) -> [(&[u8], usize, usize); 3] {
        [(&self.luma, self.width, 1), (&self.blue, self.width / 2, 2), (&self.red, self.width / 2, 2)]
    }

    pub fn planes_mut(&mut self) -> [(&mut [u8], usize, usize); 3] {
        let half = self.width / 2;
        [(&mut self.luma, self.width, 1), (&mut self.blue, half, 2), (&mut self.red, half, 2)]
    }

    /// Returns the bands of rows in which two pictures of the same size differ, from top to bottom, each as wide as its
    /// changes. Bands less than `gap` rows apart are merged.
    pub fn changes(&self, other: &Picture, gap: usize) -> Vec<Rect> {
        let mut bands: Vec<Rect> = vec![];
        for y in (0..self.height).step_by(2) {
            let Some((left, right)) = self.changed_columns(other, y) else { continue };
            match bands.last_mut() {
                Some(last) if y < last.bottom + gap => {
                    *last = Rect {
                        left: last.left.min(left),
                        right: last.right.max(right),
                        bottom: y + 2,
                        top: last.top,
                    };
                }
                _ => bands.push(Rect { left, top: y, right, bottom: y + 2 }),
            }
        }
        bands
    }

    /// Returns the columns in which a pair of rows differs.
    fn changed_columns(&self, other: &Picture, y: usize) -> Option<(usize, usize)> {
        let mut changed: Option<(usize, usize)> = None;
        for ((plane, width, scale), (others, ..)) in self.planes().into_iter().zip(other.planes()) {
            for row in y / scale..(y + 2) / scale {
                let (mine, theirs) = (&plane[row * width..][..width], &others[row * width..][..width]);
                if mine == theirs {
                    continue;
                }
                let differs = |(a, b): (&u8, &u8)| a != b;
                let left = mine.iter().zip(theirs).position(differs).unwrap_or(0) * scale;
                let right = (mine.iter().zip(theirs).rposition(differs).unwrap_or(width - 1) + 1) * scale;
                let (least, most) = changed.unwrap_or((left, right));
                changed = Some((least.min(left), most.max(right)));
            }
        }
        changed.map(|(left, right)| (left & !1, right.next_multiple_of(2)))
    }

    /// Fills a part with copies of one pair of rows of another picture.
    pub fn fill(&mut self, other: &Picture, row: usize, part: Rect) {
        for top in (part.top..part.bottom).step_by(2) {
            for ((to, width, scale), (from, ..)) in self.planes_mut().into_iter().zip(other.planes()) {
                let columns = |row: usize| row * width + part.left / scale..row * width + part.right / scale;
                for nth in 0..2 / scale {
                    to[columns(top / scale + nth)].copy_from_slice(&from[columns(row / scale + nth)]);
                }
            }
        }
    }

    /// Copies a part of another picture of the same size.
    pub fn copy(&mut self, other: &Picture, part: Rect) {
        for ((to, width, scale), (from, ..)) in self.planes_mut().into_iter().zip(other.planes()) {
            for y in part.top / scale..part.bottom / scale {
                let columns = y * width + part.left / scale..y * width + part.right / scale;
                to[columns.clone()].copy_from_slice(&from[columns]);
            }
        }
    }
}

/// A part of a picture, in even luma pixels; `right` and `bottom` are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Rect {
    /// Returns the smallest rectangle that holds both.
    pub fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rgb: [u8; 3]) -> Picture {
        Picture::filled(rgb, 4, 4)
    }

    /// Reference values of BT.709 limited range.
    #[test]
    fn known_colours_have_their_known_values() {
        let cases = [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([128, 128, 128], [126, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ];
        for (rgb, expected) in cases {
            let picture = plain(rgb);
            assert_eq!([picture.luma[0], picture.blue[0], picture.red[0]], expected, "{rgb:?}");
            assert!(picture.luma.iter().all(|luma| *luma == expected[0]));
        }
    }

    #[test]
    fn changes_are_found_where_they_are() {
        let before = Picture::filled([255; 3], 64, 64);
        let mut after = before.clone();
        assert_eq!(before.changes(&after, 8), []);
        after.luma[10 * 64 + 20] = 16;
        after.luma[13 * 64 + 31] = 16;
        after.red[25 * 32 + 3] = 16;
        let bands = [
            Rect { left: 20, top: 10, right: 32, bottom: 14 },
            Rect { left: 6, top: 50, right: 8, bottom: 52 },
        ];
        assert_eq!(before.changes(&after, 8), bands);
        let mut canvas = before.clone();
        canvas.copy(&after, bands[0]);
        assert_eq!(canvas.changes(&after, 8), bands[1..]);
    }
}
