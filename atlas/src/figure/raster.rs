//! Pixels, and the PNG that carries them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use super::colour::Rgb;

/// A picture: red, green and blue from the upper left corner, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Raster {
    /// The picture whose pixel at column `x` and row `y` is `colour(x, y)`.
    pub fn from_fn(
        width: usize,
        height: usize,
        mut colour: impl FnMut(usize, usize) -> [u8; 3],
    ) -> Self {
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            pixels.extend((0..width).map(|x| colour(x, y)));
        }
        Self { width, height, pixels }
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour at column `x` and row `y`; `None` outside.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x < self.width { self.pixels.get(y * self.width + x).copied() } else { None }
    }

    /// The picture as the bytes of a PNG file: a byte per pixel where 256 colours suffice. A
    /// picture without pixels, which PNG does not know, becomes a white one.
    #[expect(clippy::missing_panics_doc, reason = "memory takes all that is written to it")]
    pub fn to_png(&self) -> Vec<u8> {
        if self.pixels.is_empty() {
            return Self::from_fn(1, 1, |_, _| [255; 3]).to_png();
        }
        self.encoded().expect("a PNG of the right length can be written to memory")
    }

    fn encoded(&self) -> Result<Vec<u8>, EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::High);
        let data = if let Some((palette, indices)) = self.indexed() {
            encoder.set_color(ColorType::Indexed);
            encoder.set_filter(Filter::NoFilter); // neighbouring indices mean nothing to each other
            encoder.set_palette(palette);
            indices
        } else {
            encoder.set_color(ColorType::Rgb);
            self.pixels.concat()
        };
        encoder.write_header()?.write_image_data(&data)?;
        Ok(bytes)
    }

    /// The PNG as a `data:` URI, to stand in an SVG or a page.
    pub fn to_data_uri(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(self.to_png()))
    }

    /// The colours in ascending order and each pixel's number among them, if there are at most 256.
    fn indexed(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut numbers = BTreeMap::new();
        for &pixel in &self.pixels {
            numbers.insert(pixel, 0_u8);
            if numbers.len() > 256 {
                return None;
            }
        }
        for (at, number) in numbers.values_mut().enumerate() {
            *number = at as u8;
        }
        let palette = numbers.keys().flatten().copied().collect();
        Some((palette, self.pixels.iter().map(|pixel| numbers[pixel]).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raster: &Raster) -> (u32, u32, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(raster.to_png()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    #[test]
    fn a_png_holds_the_pixels() {
        let few = Raster::from_fn(5, 3, |x, y| [x as u8, y as u8, 7]);
        assert_eq!(decoded(&few), (5, 3, few.pixels.concat()));
        let many = Raster::from_fn(40, 40, |x, y| [x as u8, y as u8, 7]);
        assert_eq!(decoded(&many), (40, 40, many.pixels.concat()));
    }

    #[test]
    fn a_few_colours_take_a_byte_per_pixel() {
        let noise = |x: usize, y: usize| [((x * 7919 + y * 104_729) % 251) as u8; 3];
        let raster = Raster::from_fn(200, 100, noise);
        assert!(raster.to_png().len() < 200 * 100 + 2000);
    }

    #[test]
    fn nothing_is_a_white_pixel() {
        let nothing = Raster::from_fn(0, 9, |_, _| [0; 3]);
        assert_eq!(decoded(&nothing), (1, 1, vec![255; 3]));
        assert_eq!(nothing.pixel(0, 0), None);
    }
}
