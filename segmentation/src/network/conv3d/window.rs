//! Some rows of the planes around a plane, with zeros beside them: loops over them know no borders.

use std::ops::Range;

use super::Sides;

/// Rows of some planes of an image. A row begins `stride` values after the one above it, and what lies between two
/// rows is 0: what is left of a row is what is right of the row above it. So all rows of a channel are one long row,
/// and a neighbour in any direction is a fixed number of values away.
pub(super) struct Window {
    sides: Sides,
    /// Planes that are held at a time.
    planes: usize,
    /// Rows that are held above and below those asked for, and zeros before the first value of a row.
    around: usize,
    pub(super) stride: usize,
    /// Rows that are held of a channel, without those around.
    rows: usize,
    pub(super) channel: usize,
    pub(super) values: Vec<f32>,
}

/// Values beyond the last row that may be read, whatever they are.
const BEYOND: usize = 128;

impl Window {
    /// All that a kernel of side `side` reads of an image for some rows: of a channel of a plane up to `most_values`.
    pub(super) fn around(sides: Sides, side: usize, most_values: usize) -> Self {
        let (reach, stride) = (side / 2, sides.x + side / 2);
        let rows = (most_values / stride).saturating_sub(2 * reach);
        Self::new(sides, side, reach, stride, rows)
    }

    /// The same rows as `other` holds, of one plane of another image, with nothing around: values lie at the
    /// beginning of what `other` has around them.
    pub(super) fn beside(other: &Self, sides: Sides) -> Self {
        Self::new(sides, 1, 0, other.stride, other.rows)
    }

    fn new(sides: Sides, planes: usize, around: usize, stride: usize, rows: usize) -> Self {
        // Blocks of rows are of nearly the same size.
        let n_blocks = sides.y.div_ceil(rows.clamp(1, sides.y));
        let rows = sides.y.div_ceil(n_blocks);
        let channel = (rows + 2 * around) * stride;
        let channel = if around == 0 { channel.next_multiple_of(BEYOND) } else { channel };
        let values = vec![0.0; planes * sides.channels * channel + 2 * around + BEYOND];
        Self { sides, planes, around, stride, rows, channel, values }
    }

    /// All rows, in blocks that fit.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, rows) = (self.sides.y, self.rows);
        (0..n).step_by(rows).map(move |y| y..(y + rows).min(n))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.values.fill(0.0);
    }

    /// Where plane `z` begins.
    pub(super) fn plane(&self, z: usize) -> usize {
        z % self.planes * self.sides.channels * self.channel
    }

    /// Takes rows of plane `z` of sample `sample` in, in place of a plane that lies too far below to be needed.
    pub(super) fn take(&mut self, image: &[f32], sample: usize, z: usize, rows: &Range<usize>) {
        let Sides { y: n_y, x: n_x, channels, .. } = self.sides;
        let first = self.plane(z);
        let image = &image[(sample * self.sides.z + z) * self.sides.plane()..];
        let from = rows.start.saturating_sub(self.around)..(rows.end + self.around).min(n_y);
        for channel in 0..channels {
            let image = &image[(channel * n_y + from.start) * n_x..][..from.len() * n_x];
            let skipped = from.start + self.around - rows.start;
            let first = first + channel * self.channel + skipped * self.stride + self.around;
            let out = self.values[first..].chunks_mut(self.stride);
            image.chunks_exact(n_x).zip(out).for_each(|(row, out)| out[..n_x].copy_from_slice(row));
        }
    }
}
