//! Pictures as the encoder takes them: YUV 4:2:0, planar, BT.709, limited range.

use super::typeset::RgbaPage;

/// Width and height are even; chroma planes are half as wide and half as high.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// 16 (black) to 235 (white).
    pub luma: Vec<u8>,
    /// 16 to 240 around 128.
    pub blue: Vec<u8>,
    pub red: Vec<u8>,
}

/// BT.709 weights (ITU-R BT.709-6, section 3) scaled by 2^16, with the limited range's 219 and 224
/// steps worked in.
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
                // Chroma of the four pixels' mean: two more bits in the sum, two more in the shift.
                blue[chroma + column] = (128 + ((weigh(BLUE, sum) + 4 * HALF) >> (SHIFT + 2))) as u8;
                red[chroma + column] = (128 + ((weigh(RED, sum) + 4 * HALF) >> (SHIFT + 2))) as u8;
            }
        }
        Self { width, height, luma, blue, red }
    }

    /// `from` and `to` mixed: all of `from` at 0, all of `to` at 256.
    pub fn blend(from: &Picture, to: &Picture, share: u32) -> Picture {
        let plane = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| mix(*a, *b, share)).collect();
        Picture {
            width: from.width,
            height: from.height,
            luma: plane(&from.luma, &to.luma),
            blue: plane(&from.blue, &to.blue),
            red: plane(&from.red, &to.red),
        }
    }
}

fn mix(from: u8, to: u8, share: u32) -> u8 {
    ((u32::from(from) * (256 - share) + u32::from(to) * share + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rgb: [u8; 3]) -> Picture {
        let rgba = [rgb[0], rgb[1], rgb[2], 255].repeat(16);
        Picture::from_rgba(&RgbaPage { width: 4, height: 4, rgba })
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
    fn a_blend_ends_exactly_at_its_ends() {
        let (black, white) = (plain([0; 3]), plain([255; 3]));
        assert_eq!(Picture::blend(&black, &white, 0), black);
        assert_eq!(Picture::blend(&black, &white, 256), white);
        assert_eq!(Picture::blend(&black, &white, 128).luma[0], 126);
    }
}
