//! Enhances sheets: how much brighter each place is than what lies on both sides of it, averaged
//! along the sheet that it may be part of.
//!
//! The sheet's normal comes from the image at a coarse scale, where noise is averaged away; the
//! brightness from the image at a fine scale, over a disc in the sheet and its two copies on
//! either side. Averaging along the sheet but not across it is what keeps dim membranes sharp.

use std::f32::consts::TAU;

use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::gaussian::gaussian;
use crate::stencil::{Direction, StencilRow, Stencils};

/// The sizes of a sheet filter, in µm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SheetScale {
    /// Standard deviation of the smoothing at which brightness is read.
    pub fine_um: f64,
    /// Standard deviation of the smoothing at which normals are found.
    pub coarse_um: f64,
    /// How far to either side of the sheet its surroundings are read.
    pub flank_um: f64,
    /// The radius of the disc along the sheet.
    pub disc_um: f64,
}

impl SheetScale {
    /// The sizes that fit sheets that an image shows with a standard deviation of about `width_um`.
    pub fn for_width(width_um: f64) -> Self {
        Self {
            fine_um: width_um,
            coarse_um: 2.2 * width_um,
            flank_um: 2.2 * width_um,
            disc_um: 4.5 * width_um,
        }
    }
}

/// How much each voxel of `volume` stands out of its surroundings as part of a bright sheet, in the
/// image's units; 0 where it does not.
///
/// With the unit normal `n` from the eigenvector of the Hessian's least eigenvalue at the coarse
/// scale, and `m(p)` the Gaussian-weighted mean of the fine scale over a disc about `p` in the plane across `n`,
/// the value is `m(x) − ½ (m(x + flank·n) + m(x − flank·n))`, less the square of the share that the
/// least curved direction has of the most curved one's second derivative: blobs are curved in all directions.
///
/// # Errors
/// [`crate::SegmentError::Parameter`] if a size is beyond 1000 voxels or not positive.
pub fn sheet_evidence(volume: &Volume<f32>, scale: SheetScale) -> Result<Volume<f32>> {
    Ok(SheetFilter::new(volume, scale)?.everywhere().evidence)
}

/// What the filter finds in an image.
pub(crate) struct Sheets {
    /// The evidence at each voxel.
    pub(crate) evidence: Volume<f32>,
    /// The direction across the sheet that the voxel may be part of.
    pub(crate) directions: Volume<Direction>,
}

/// The filter on one image, to be read where wanted.
pub(crate) struct SheetFilter {
    fine: Volume<f32>,
    coarse: Volume<f32>,
    stencils: Stencils,
}

impl SheetFilter {
    pub(crate) fn new(volume: &Volume<f32>, scale: SheetScale) -> Result<Self> {
        let fine = gaussian(volume, [scale.fine_um; 3])?;
        let coarse = gaussian(volume, [scale.coarse_um; 3])?;
        Ok(Self { fine, coarse, stencils: Stencils::contrast(scale, volume.voxel_size()) })
    }

    /// The filter along the row at `z` and `y`.
    pub(crate) fn row(&self, z: usize, y: usize) -> SheetRow<'_> {
        SheetRow {
            at: [z, y],
            hessian: Hessian::new(&self.coarse),
            stencils: self.stencils.at_row(self.fine.as_slice(), self.fine.shape(), [z, y]),
        }
    }

    /// The evidence at every voxel, and the directions across the sheets.
    pub(crate) fn everywhere(&self) -> Sheets {
        let [_, n_y, n_x] = self.fine.shape();
        let mut evidence = self.fine.map(|_| 0.0);
        let mut directions = self.fine.map(|_| Direction::default());
        if let (Some(evidence), Some(directions)) =
            (evidence.voxels_mut().as_slice_mut(), directions.voxels_mut().as_slice_mut())
        {
            let rows = evidence.par_chunks_mut(n_x).zip(directions.par_chunks_mut(n_x));
            rows.enumerate().for_each(|(at, (evidence, directions))| {
                let row = self.row(at / n_y, at % n_y);
                for (x, (evidence, direction)) in evidence.iter_mut().zip(directions).enumerate() {
                    (*evidence, *direction) = row.at(x);
                }
            });
        }
        Sheets { evidence, directions }
    }

    /// The image at the fine scale.
    pub(crate) fn fine(&self) -> &Volume<f32> {
        &self.fine
    }
}

/// The filter along one row of an image.
pub(crate) struct SheetRow<'a> {
    at: [usize; 2], // z, y
    hessian: Hessian<'a>,
    stencils: StencilRow<'a, f32>,
}

impl SheetRow<'_> {
    /// The evidence at a voxel, and the direction across its sheet.
    #[inline]
    pub(crate) fn at(&self, x: usize) -> (f32, Direction) {
        let (least, largest, normal) = self.hessian.at([self.at[0], self.at[1], x]).extremes();
        let direction = Direction::nearest(normal);
        if least >= 0.0 {
            return (0.0, direction);
        }
        let blob = (largest / least).clamp(0.0, 1.0);
        let evidence = self.stencils.read(x, direction);
        ((evidence * (1.0 - blob * blob)).max(0.0), direction)
    }
}

/// Second derivatives by central differences, per µm².
struct Hessian<'a> {
    voxels: &'a [f32],
    shape: [usize; 3],
    per_um: [f32; 3],
}

/// A symmetric 3 × 3 matrix: zz, yy, xx, zy, zx, yx.
#[derive(Clone, Copy, Debug)]
struct Symmetric([f32; 6]);

impl<'a> Hessian<'a> {
    fn new(volume: &'a Volume<f32>) -> Self {
        let per_um = volume.voxel_size().um().map(|side| 1.0 / side as f32);
        Self { voxels: volume.as_slice(), shape: volume.shape(), per_um }
    }

    /// The matrix at a voxel; beyond the borders the image goes on as at the border.
    fn at(&self, [z, y, x]: [usize; 3]) -> Symmetric {
        let [n_z, n_y, n_x] = self.shape;
        let [pz, py, px] = self.per_um;
        let (z0, z1) = (z.saturating_sub(1), (z + 1).min(n_z - 1));
        let (y0, y1) = (y.saturating_sub(1), (y + 1).min(n_y - 1));
        let (x0, x1) = (x.saturating_sub(1), (x + 1).min(n_x - 1));
        let g = |z: usize, y: usize, x: usize| self.voxels[(z * n_y + y) * n_x + x];
        let twice = 2.0 * g(z, y, x);
        Symmetric([
            (g(z1, y, x) + g(z0, y, x) - twice) * pz * pz,
            (g(z, y1, x) + g(z, y0, x) - twice) * py * py,
            (g(z, y, x1) + g(z, y, x0) - twice) * px * px,
            (g(z1, y1, x) - g(z1, y0, x) - g(z0, y1, x) + g(z0, y0, x)) * (0.25 * pz * py),
            (g(z1, y, x1) - g(z1, y, x0) - g(z0, y, x1) + g(z0, y, x0)) * (0.25 * pz * px),
            (g(z, y1, x1) - g(z, y1, x0) - g(z, y0, x1) + g(z, y0, x0)) * (0.25 * py * px),
        ])
    }
}

impl Symmetric {
    /// The least and the largest eigenvalue, and the least one's unit eigenvector
    /// (Smith 1961, doi:10.1145/355578.366316).
    fn extremes(self) -> (f32, f32, [f32; 3]) {
        let Self([zz, yy, xx, zy, zx, yx]) = self;
        let mean = (zz + yy + xx) / 3.0;
        let (a, b, c) = (zz - mean, yy - mean, xx - mean);
        let off = zy * zy + zx * zx + yx * yx;
        let spread = ((a * a + b * b + c * c + 2.0 * off) / 6.0).sqrt();
        if spread <= f32::MIN_POSITIVE {
            return (mean, mean, [1.0, 0.0, 0.0]);
        }
        let determinant = a * (b * c - yx * yx) - zy * (zy * c - yx * zx) + zx * (zy * yx - b * zx);
        let angle = (determinant / (2.0 * spread.powi(3))).clamp(-1.0, 1.0).acos() / 3.0;
        let largest = mean + 2.0 * spread * angle.cos();
        let least = mean + 2.0 * spread * (angle + TAU / 3.0).cos();
        let rows = [[zz - least, zy, zx], [zy, yy - least, yx], [zx, yx, xx - least]];
        let normal = [(0, 1), (0, 2), (1, 2)]
            .map(|(i, j)| cross(rows[i], rows[j]))
            .into_iter()
            .max_by(|a, b| dot(*a, *a).total_cmp(&dot(*b, *b)))
            .map_or([1.0, 0.0, 0.0], unit);
        (least, largest, normal)
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: [f32; 3]) -> [f32; 3] {
    let length = dot(a, a).sqrt();
    if length > 0.0 { a.map(|value| value / length) } else { [1.0, 0.0, 0.0] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_threads, sized_volume};
    use nalgebra::{Matrix3, SymmetricEigen};
    use proptest::prelude::*;

    fn plane(tilt: [f64; 3], um: [f64; 3]) -> Volume<f32> {
        let shape = [20, 40, 40];
        let centre = [0, 1, 2].map(|axis| 0.5 * shape[axis] as f64 * um[axis]);
        let mut image = sized_volume(shape, vec![0.0; 32_000], um);
        for ((z, y, x), value) in image.voxels_mut().indexed_iter_mut() {
            let at = [
                z as f64 * um[0] - centre[0],
                y as f64 * um[1] - centre[1],
                x as f64 * um[2] - centre[2],
            ];
            let distance: f64 = (0..3).map(|axis| at[axis] * tilt[axis]).sum();
            *value = (10.0 * (-0.5 * (distance / 0.3).powi(2)).exp()) as f32;
        }
        image
    }

    proptest! {
        #[test]
        fn eigenvectors_are_those_of_the_matrix(entries in prop::array::uniform6(-1.0..1.0_f32)) {
            let [zz, yy, xx, zy, zx, yx] = entries;
            let (least, largest, normal) = Symmetric(entries).extremes();
            let eigen = SymmetricEigen::new(Matrix3::new(zz, zy, zx, zy, yy, yx, zx, yx, xx).cast::<f64>());
            prop_assert!((f64::from(least) - eigen.eigenvalues.min()).abs() < 1e-4);
            prop_assert!((f64::from(largest) - eigen.eigenvalues.max()).abs() < 1e-4);
            let image = [zz * normal[0] + zy * normal[1] + zx * normal[2], zy * normal[0] + yy * normal[1] + yx * normal[2], zx * normal[0] + yx * normal[1] + xx * normal[2]];
            for axis in 0..3 {
                prop_assert!((image[axis] - least * normal[axis]).abs() < 1e-2, "{image:?} {least} {normal:?}");
            }
        }
    }

    /// A sheet reads as bright however it lies and whatever the voxels' shape.
    #[test]
    fn sheets_count_in_every_direction() {
        let half = 0.5_f64.sqrt();
        let centre = |tilt, um| {
            let image = plane(tilt, um);
            let evidence = sheet_evidence(&image, SheetScale::for_width(0.25)).unwrap();
            evidence.voxels()[[10, 20, 20]]
        };
        let straight = centre([0.0, 0.0, 1.0], [0.2, 0.2, 0.2]);
        // A Gaussian sheet of height 10 and width 0.3 µm after smoothing by 0.25, less what it has 0.55 µm away.
        let variance = 0.3_f32.powi(2) + 0.25_f32.powi(2);
        let wanted =
            10.0 * 0.3 / variance.sqrt() * (1.0 - (-0.5 * 0.55_f32.powi(2) / variance).exp());
        assert!((straight / wanted - 1.0).abs() < 0.05, "{straight} {wanted}");
        for (tilt, um) in [
            ([1.0, 0.0, 0.0], [0.2; 3]),
            ([0.0, half, half], [0.2; 3]),
            ([half, half, 0.0], [0.25, 0.2, 0.2]),
            ([0.0, 0.0, 1.0], [0.4, 0.2, 0.1]),
        ] {
            let tilted = centre(tilt, um);
            assert!((tilted / straight - 1.0).abs() < 0.15, "{tilted} {straight}");
        }
    }

    /// A ball of the sheet's thickness counts for little.
    #[test]
    fn blobs_do_not_count() {
        let mut ball = plane([0.0, 0.0, 1.0], [0.2; 3]);
        for ((z, y, x), value) in ball.voxels_mut().indexed_iter_mut() {
            let squared = [z as f64 - 10.0, y as f64 - 20.0, x as f64 - 20.0]
                .map(|d| d * d)
                .iter()
                .sum::<f64>();
            *value = (10.0 * (-0.5 * squared * 0.04 / 0.09).exp()) as f32;
        }
        let evidence = sheet_evidence(&ball, SheetScale::for_width(0.25)).unwrap();
        assert!(evidence.voxels()[[10, 20, 20]] < 0.3);
    }

    #[test]
    fn threads_do_not_matter() {
        let image = plane([0.6, 0.0, 0.8], [0.3, 0.2, 0.2]);
        let filter = || sheet_evidence(&image, SheetScale::for_width(0.25)).unwrap();
        assert_eq!(on_threads(1, filter), on_threads(4, filter));
    }
}
