//! What regions of an over-segmentation are by themselves: how large, where, how spread, and how much of them lies on the
//! border of the image.

use nalgebra::{Matrix3, RealField, Vector3, Vector6};
use ndarray::{Axis, s};
use primordia_data::{Volume, VoxelSize};

use crate::ceiling::Bright;
use crate::evidence::Evidence;
use crate::regions::Part;

/// One region, or several together. There are many: single precision is enough for what is not added up for long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) volume_um3: f64,
    /// The area on the border of the image.
    pub(crate) border_um2: f32,
    /// The evidence for sheets, integrated over the volume, in µm³.
    pub(crate) evidence_um3: f32,
    /// The volume that is far brighter than membranes.
    pub(crate) bright_um3: f32,
    /// The centre of mass (z, y, x).
    pub(crate) centre_um: Vector3<f32>,
    /// The covariance of the position (zz, yy, xx, zy, zx, yx) within the volume.
    pub(crate) spread_um2: Vector6<f32>,
}

impl Piece {
    /// Both together.
    #[must_use]
    pub(crate) fn with(&self, other: &Self) -> Self {
        let volume_um3 = self.volume_um3 + other.volume_um3;
        let share = (other.volume_um3 / volume_um3.max(f64::MIN_POSITIVE)) as f32;
        let apart = other.centre_um - self.centre_um;
        Self {
            volume_um3,
            border_um2: self.border_um2 + other.border_um2,
            evidence_um3: self.evidence_um3 + other.evidence_um3,
            bright_um3: self.bright_um3 + other.bright_um3,
            centre_um: self.centre_um + apart * share,
            spread_um2: self.spread_um2 * (1.0 - share)
                + other.spread_um2 * share
                + products(apart) * (share * (1.0 - share)),
        }
    }

    /// What its second moments tell of its form, whatever its size and direction.
    pub(crate) fn form(&self) -> Form {
        let spread = symmetric(self.spread_um2.map(f64::from));
        let determinant = spread.determinant().max(f64::MIN_POSITIVE);
        // An ellipsoid of semi-axes a, b and c has a spread of a²/5, b²/5 and c²/5 along them.
        let ellipsoid_um3 = 4.0 / 3.0 * std::f64::consts::PI * (125.0 * determinant).sqrt();
        Form {
            solidity: self.volume_um3 / ellipsoid_um3,
            elongation: (spread.trace() / 3.0).powi(3) / determinant,
        }
    }
}

/// The products zz, yy, xx, zy, zx and yx of the parts of a vector.
fn products<T: RealField + Copy>(at: Vector3<T>) -> Vector6<T> {
    let [z, y, x] = at.into();
    Vector6::new(z * z, y * y, x * x, z * y, z * x, y * x)
}

/// The matrix of such products.
fn symmetric(products: Vector6<f64>) -> Matrix3<f64> {
    let [zz, yy, xx, zy, zx, yx] = products.into();
    Matrix3::new(zz, zy, zx, zy, yy, yx, zx, yx, xx)
}

/// The form of a piece, by its second moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    /// Its volume as a share of that of the ellipsoid with the same spread: 1 of an ellipsoid, less where it is hollow,
    /// bent or falls into parts.
    pub(crate) solidity: f64,
    /// The arithmetic mean of its squared axes over the geometric one, cubed: 1 of a ball.
    pub(crate) elongation: f64,
}

/// The regions `1..=n` while their voxels are counted: whole numbers, so that no order of parts matters.
pub(crate) struct Counts {
    all: Vec<Count>,
    voxel_size: VoxelSize,
}

#[derive(Clone, Copy, Default)]
struct Count {
    voxels: u64,
    /// Of the voxels' places z, y and x.
    sums: [u64; 3],
    /// Of their products zz, yy, xx, zy, zx and yx.
    products: [u64; 6],
    /// Of their evidence, in steps.
    evidence: u64,
    /// Bright voxels.
    bright: u64,
    /// Faces of voxels on the border of the image, across z, y and x.
    border: [u64; 3],
}

impl Counts {
    pub(crate) fn new(n_regions: usize, voxel_size: VoxelSize) -> Self {
        Self { all: vec![Count::default(); n_regions], voxel_size }
    }

    /// Adds the voxels asked for of a part of an image of some shape.
    pub(crate) fn add(
        &mut self,
        labels: &Volume<u32>,
        evidence: &Volume<Evidence>,
        part: &Part,
        shape: [usize; 3],
    ) {
        let core = part.core.clone();
        let [z, y, x] = core.clone();
        let from = part.in_whole(core.clone().map(|range| range.start));
        let evidence = evidence.voxels().slice(s![z.clone(), y.clone(), x.clone()]);
        let voxels = labels.voxels().slice(s![z, y, x]);
        let planes = voxels.outer_iter().zip(evidence.outer_iter());
        for (z, (plane, evidence)) in (from[0] as u64..).zip(planes) {
            let rows = plane.outer_iter().zip(evidence.outer_iter());
            for (y, (row, evidence)) in (from[1] as u64..).zip(rows) {
                let mut evidence = evidence.into_iter();
                let mut x = from[2] as u64;
                for run in row.to_slice().unwrap_or_default().chunk_by(|a, b| a == b) {
                    let n = run.len() as u64;
                    let steps = evidence.by_ref().take(run.len()).map(|&e| u64::from(u32::from(e)));
                    let steps = steps.sum::<u64>();
                    if run[0] > 0 {
                        let count = &mut self.all[run[0] as usize - 1];
                        count.evidence += steps;
                        count.add_run([z, y, x], n);
                    }
                    x += n;
                }
            }
        }
        for axis in 0..3 {
            for at in [0, shape[axis] - 1] {
                if !(from[axis]..from[axis] + core[axis].len()).contains(&at) {
                    continue;
                }
                let border = voxels.index_axis(Axis(axis), at - from[axis]);
                for &label in border.iter().filter(|label| **label > 0) {
                    self.all[label as usize - 1].border[axis] += 1;
                }
            }
        }
    }

    /// Adds which of the voxels asked for are bright.
    pub(crate) fn add_bright(&mut self, labels: &Volume<u32>, part: &Part, bright: &Bright) {
        for [z, y, x] in bright.within(part) {
            for &label in labels.voxels().slice(s![z, y, x]).iter().filter(|label| **label > 0) {
                self.all[label as usize - 1].bright += 1;
            }
        }
    }

    /// The regions `1..=n` as `0..n`.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        self.all.iter().map(|count| count.piece(self.voxel_size)).collect()
    }
}

impl Count {
    /// Adds `n` voxels that follow one another along x.
    fn add_run(&mut self, [z, y, x]: [u64; 3], n: u64) {
        let xs = n * x + n * (n - 1) / 2;
        // Σ (x + i)² of i below n.
        let xxs = n * x * x + x * n * (n - 1) + (n - 1) * n * (2 * n - 1) / 6;
        let add = |sums: &mut [u64], more: &[u64]| {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        self.voxels += n;
        add(&mut self.sums, &[n * z, n * y, xs]);
        add(&mut self.products, &[n * z * z, n * y * y, xxs, n * z * y, z * xs, y * xs]);
    }

    fn piece(&self, voxel_size: VoxelSize) -> Piece {
        let n = (self.voxels as f64).max(f64::MIN_POSITIVE);
        let um = Vector3::from(voxel_size.um());
        let voxel_um3 = voxel_size.volume_um3();
        let areas_um2 = [0, 1, 2].map(|axis| voxel_size.face_area_um2(axis));
        let border = self.border.iter().zip(areas_um2);
        let middle = Vector3::from(self.sums.map(|sum| sum as f64)) / n;
        let places = Vector6::from(self.products.map(|sum| sum as f64)) / n - products(middle);
        // A voxel is a box: it has a spread of its own.
        let own = Vector6::new(1.0, 1.0, 1.0, 0.0, 0.0, 0.0) / 12.0;
        Piece {
            volume_um3: self.voxels as f64 * voxel_um3,
            border_um2: border.map(|(&n, um2)| n as f64 * um2).sum::<f64>() as f32,
            bright_um3: (self.bright as f64 * voxel_um3) as f32,
            evidence_um3: (self.evidence as f64 / Evidence::STEPS * voxel_um3) as f32,
            centre_um: middle.component_mul(&um).map(|um| um as f32),
            spread_um2: (places + own).component_mul(&products(um)).map(|um2| um2 as f32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;
    use primordia_data::phantom::{cuboid, ellipsoid};
    use proptest::prelude::*;

    /// Single precision.
    const SINGLE: f64 = 1e-5;

    fn piece(labels: &Volume<u32>) -> Piece {
        let mut counts = Counts::new(1, labels.voxel_size());
        counts.add(
            labels,
            &labels.map(|_| Evidence::default()),
            &Part::whole(labels.shape()),
            labels.shape(),
        );
        counts.pieces()[0]
    }

    #[test]
    fn an_ellipsoid_is_solid_and_as_elongated_as_its_axes_say() {
        let semi_axes_um = [3.0, 4.0, 6.0];
        let size = VoxelSize::from_um([0.4, 0.2, 0.2]).unwrap();
        let labels = ellipsoid(semi_axes_um, size).unwrap().into_volume();
        let form = piece(&labels).form();
        assert!((form.solidity - 1.0).abs() < 0.01, "{form:?}");
        let wanted = ((9.0 + 16.0 + 36.0) / 3.0_f64).powi(3) / (9.0 * 16.0 * 36.0);
        assert!((form.elongation / wanted - 1.0).abs() < 0.01, "{form:?}, wanted {wanted}");
    }
    #[test]
    fn a_box_of_any_voxels_has_the_spread_of_a_box() {
        for um in [[0.5; 3], [2.0, 1.0, 0.5]] {
            let labels = cuboid([8.0, 4.0, 2.0], VoxelSize::from_um(um).unwrap()).unwrap();
            let found = piece(labels.volume());
            assert!((found.volume_um3 - 64.0).abs() < 1e-9, "{found:?}");
            // A side s has a spread of s²/12.
            let wanted = (84.0_f64 / 36.0).powi(3) / (64.0 * 16.0 * 4.0 / 1728.0);
            assert!((found.form().elongation / wanted - 1.0).abs() < SINGLE, "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_of_an_image_count_as_the_whole(
            (shape, labels, cut) in (1..5_usize, 1..5_usize, 1..7_usize).prop_flat_map(|(z, y, x)| {
                (Just([z, y, x]), prop::collection::vec(0..3_u32, z * y * x), 0..=z)
            })
        ) {
            let labels = sized_volume(shape, labels, [1.0, 0.5, 0.25]);
            let evidence = labels.map(|&label| Evidence::new(label as f32));
            let counted = |cuts: &[[usize; 2]]| {
                let mut counts = Counts::new(2, labels.voxel_size());
                for &[from, to] in cuts {
                    let core = [from..to, 0..shape[1], 0..shape[2]];
                    counts.add(&labels, &evidence, &Part { core, from: [0; 3] }, shape);
                }
                counts.pieces()
            };
            let whole = counted(&[[0, shape[0]]]);
            prop_assert_eq!(&counted(&[[cut, shape[0]], [0, cut]]), &whole);
            for (label, piece) in (1..).zip(whole) {
                let places: Vec<_> = labels.voxels().indexed_iter()
                    .filter(|(_, found)| **found == label)
                    .map(|((z, y, x), _)| Vector3::new(z as f64, 0.5 * y as f64, 0.25 * x as f64))
                    .collect();
                prop_assert!((piece.volume_um3 - 0.125 * places.len() as f64).abs() < 1e-9);
                let evidence_um3 = f64::from(label) * piece.volume_um3;
                prop_assert!((f64::from(piece.evidence_um3) - evidence_um3).abs() < SINGLE);
                let n = (places.len() as f64).max(1.0);
                let centre = places.iter().sum::<Vector3<f64>>() / n;
                prop_assert!((piece.centre_um.map(f64::from) - centre).norm() < SINGLE);
                if !places.is_empty() {
                    let own = Matrix3::from_diagonal(&Vector3::new(1.0, 0.25, 0.0625)) / 12.0;
                    let of = |at: &Vector3<f64>| (at - centre) * (at - centre).transpose() + own;
                    let spread = places.iter().map(of).sum::<Matrix3<f64>>() / n;
                    let found = symmetric(piece.spread_um2.map(f64::from));
                    prop_assert!((found - spread).norm() < SINGLE);
                }
            }
        }
    }
}
