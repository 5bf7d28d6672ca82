//! Enhances sheets: how much brighter each place is than what lies on both sides of it, averaged
//! along the sheet that it may be part of.
//!
//! The sheet's normal comes from the image at a coarse scale, where noise is averaged away; the
//! brightness from the image at a fine scale, over a disc in the sheet and its two copies on
//! either side. Averaging along the sheet but not across it is what keeps dim membranes sharp.

use std::f32::consts::TAU;
use std::ops::Range;

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::{Block, sides};
use crate::error::Result;
use crate::evidence::Evidence;
use crate::gaussian::{gaussian_planes, gaussian_reach};
use crate::resample::put;
use crate::stencil::{Direction, StencilRow, Stencils};
use crate::tiles::Cut;

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
    let mut evidence = volume.map(|_| 0.0);
    let cut = Cut { reach: SheetFilter::reach(scale, volume.voxel_size()), step: [1; 3] };
    for tile in cut.small_tiles(volume.shape()) {
        let found = tile.with(volume, |part| evidence_in(part, &tile.part().core, scale))?;
        put(&mut evidence, tile.from(), &found);
    }
    Ok(evidence)
}

/// The evidence in some voxels.
fn evidence_in(image: &Volume<f32>, core: &Block, scale: SheetScale) -> Result<Volume<f32>> {
    let [zs, ys, xs] = core;
    let filter = SheetFilter::new(image, scale);
    let planes = filter.planes(zs.clone())?;
    let mut evidence = Array3::zeros(sides(core));
    if let Some(evidence) = evidence.as_slice_mut() {
        evidence.par_chunks_mut(xs.len()).enumerate().for_each(|(at, evidence)| {
            let row = planes.row(zs.start + at / ys.len(), ys.start + at % ys.len());
            xs.clone().zip(evidence).for_each(|(x, value)| *value = row.at(x).0);
        });
    }
    Ok(Volume::new(evidence, image.voxel_size())?)
}

/// What the filter finds in an image.
pub(crate) struct Sheets {
    /// The evidence at each voxel.
    pub(crate) evidence: Volume<Evidence>,
    /// The direction across the sheet that the voxel may be part of.
    pub(crate) directions: Volume<Direction>,
}

/// What the filter finds in some voxels of an image, and how rough the image is there.
pub(crate) struct Found {
    pub(crate) sheets: Sheets,
    /// The squared difference of each voxel from the image at the fine scale.
    pub(crate) roughness: Volume<f32>,
}

/// The filter on one image, to be made ready for some planes at a time.
pub(crate) struct SheetFilter<'a> {
    image: &'a Volume<f32>,
    scale: SheetScale,
    stencils: Stencils,
}

impl<'a> SheetFilter<'a> {
    pub(crate) fn new(image: &'a Volume<f32>, scale: SheetScale) -> Self {
        let stencils = Stencils::contrast(scale, image.voxel_size());
        Self { image, scale, stencils }
    }

    /// How many voxels (z, y, x) away the furthest voxels are that count for a voxel's evidence.
    pub(crate) fn reach(scale: SheetScale, voxel_size: VoxelSize) -> [usize; 3] {
        let fine = gaussian_reach(voxel_size, scale.fine_um);
        let coarse = direction_reach(scale, voxel_size);
        let disc = Stencils::contrast(scale, voxel_size).reach();
        [0, 1, 2].map(|axis| (fine[axis] + disc[axis]).max(coarse[axis]))
    }

    /// The filter on some planes across z.
    pub(crate) fn planes(&self, planes: Range<usize>) -> Result<SheetPlanes<'_>> {
        let [n_z, ..] = self.image.shape();
        let with = |reach: usize| planes.start.saturating_sub(reach)..(planes.end + reach).min(n_z);
        let (fine, coarse) = (with(self.stencils.reach()[0]), with(1));
        let smooth = |sigma_um, planes| gaussian_planes(self.image, [sigma_um; 3], planes);
        Ok(SheetPlanes {
            filter: self,
            planes,
            fine_from: fine.start,
            fine: smooth(self.scale.fine_um, fine)?,
            coarse_from: coarse.start,
            coarse: smooth(self.scale.coarse_um, coarse)?,
        })
    }
}

/// The filter on some planes of an image.
pub(crate) struct SheetPlanes<'a> {
    filter: &'a SheetFilter<'a>,
    planes: Range<usize>,
    fine_from: usize, // the first plane that `fine` holds
    fine: Volume<f32>,
    coarse_from: usize,
    coarse: Volume<f32>,
}

impl SheetPlanes<'_> {
    /// The filter along the row at `z` (one of these planes) and `y`.
    pub(crate) fn row(&self, z: usize, y: usize) -> SheetRow<'_> {
        let fine_z = z - self.fine_from;
        SheetRow {
            at: [z - self.coarse_from, y],
            hessian: Hessian::new(&self.coarse),
            stencils: self.filter.stencils.at_row(
                self.fine.as_slice(),
                self.fine.shape(),
                [fine_z, y],
            ),
        }
    }

    /// The squared difference of each voxel along the row at `z` and `y` from the image at the fine scale.
    pub(crate) fn roughness(&self, z: usize, y: usize) -> impl Iterator<Item = f32> + '_ {
        let [_, n_y, n_x] = self.fine.shape();
        let image = &self.filter.image.as_slice()[(z * n_y + y) * n_x..][..n_x];
        let fine = &self.fine.as_slice()[((z - self.fine_from) * n_y + y) * n_x..][..n_x];
        image.iter().zip(fine).map(|(value, smooth)| (value - smooth).powi(2))
    }

    /// What is found in the rows `ys` and columns `xs` of these planes: evidence and roughness as shares of `unit`, and of its square.
    pub(crate) fn found(&self, [ys, xs]: [Range<usize>; 2], unit: f32) -> Result<Found> {
        let (shape, voxel_size) = ([self.planes.len(), ys.len(), xs.len()], self.fine.voxel_size());
        let mut evidence = Array3::default(shape);
        let mut directions = Array3::default(shape);
        let mut roughness = Array3::default(shape);
        if let (Some(evidence), Some(directions), Some(roughness)) =
            (evidence.as_slice_mut(), directions.as_slice_mut(), roughness.as_slice_mut())
        {
            let per_unit = 1.0 / unit;
            let rows = evidence
                .par_chunks_mut(xs.len())
                .zip(directions.par_chunks_mut(xs.len()))
                .zip(roughness.par_chunks_mut(xs.len()));
            rows.enumerate().for_each(|(at, ((evidence, directions), roughness))| {
                let (z, y) = (self.planes.start + at / ys.len(), ys.start + at % ys.len());
                let row = self.row(z, y);
                for (x, (evidence, direction)) in
                    xs.clone().zip(evidence.iter_mut().zip(directions))
                {
                    let found = row.at(x);
                    (*evidence, *direction) = (Evidence::new(found.0 * per_unit), found.1);
                }
                let squares = self.roughness(z, y).skip(xs.start);
                roughness
                    .iter_mut()
                    .zip(squares)
                    .for_each(|(out, square)| *out = square * per_unit * per_unit);
            });
        }
        let sheets = Sheets {
            evidence: Volume::new(evidence, voxel_size)?,
            directions: Volume::new(directions, voxel_size)?,
        };
        Ok(Found { sheets, roughness: Volume::new(roughness, voxel_size)? })
    }
}

/// How many voxels (z, y, x) away the furthest voxels are that count for a direction.
pub(crate) fn direction_reach(scale: SheetScale, voxel_size: VoxelSize) -> [usize; 3] {
    gaussian_reach(voxel_size, scale.coarse_um).map(|reach| reach + 1)
}

/// The directions across the sheets that the voxels in `core` may be part of.
pub(crate) fn directions(
    image: &Volume<f32>,
    core: &Block,
    scale: SheetScale,
) -> Result<Volume<Direction>> {
    let [zs, ys, xs] = core;
    let around = zs.start.saturating_sub(1)..(zs.end + 1).min(image.shape()[0]);
    let from = around.start;
    let coarse = gaussian_planes(image, [scale.coarse_um; 3], around)?;
    let hessian = Hessian::new(&coarse);
    let mut directions = Array3::default(sides(core));
    if let Some(directions) = directions.as_slice_mut() {
        directions.par_chunks_mut(xs.len()).enumerate().for_each(|(at, row)| {
            let (z, y) = (zs.start + at / ys.len() - from, ys.start + at % ys.len());
            for (x, direction) in xs.clone().zip(row) {
                *direction = Direction::nearest(hessian.at([z, y, x]).extremes().2);
            }
        });
    }
    Ok(Volume::new(directions, image.voxel_size())?)
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
