//! The cells of an image as another image would show them: turned, shifted, in other voxels.
//!
//! Each cell is taken for the smooth body whose voxels it is: a level of its blurred mask, which
//! encloses as much. A voxel of the new image belongs to the body that fills most of it, or to the
//! background.

use std::f64::consts::TAU;
use std::ops::Range;

use nalgebra::{Isometry3, Point3, Quaternion, UnitQuaternion, Vector3};
use ndarray::Array3;
use primordia_data::{ImageFrame, Labels, Rigid, Volume, VoxelSize};
use rand::Rng;
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::mesh::enclosing_level;
use crate::smooth::Field;
use crate::sweep::extents;

/// How cells lie in the new image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pose {
    turn: UnitQuaternion<f64>,
    /// Where in a voxel, from 0 to 1 along x, y, z, the cells' box begins.
    part: Vector3<f64>,
    /// The sides of voxels over those of the image that was.
    side: f64,
}

impl Pose {
    /// Along the same axes, in voxels of the same size, which begin anywhere.
    pub(crate) fn shifted(rng: &mut impl Rng) -> Self {
        let part: [f64; 3] = rng.random();
        Self { turn: UnitQuaternion::identity(), part: part.into(), side: 1.0 }
    }

    /// Shifted, and turned in any way, all alike probable (Shoemake 1992,
    /// doi:10.1016/B978-0-08-050755-2.50036-1).
    pub(crate) fn turned(rng: &mut impl Rng) -> Self {
        let [share, first, second]: [f64; 3] = rng.random();
        let [(a, b), (c, d)] = [TAU * first, TAU * second].map(f64::sin_cos);
        let (outer, inner) = ((1.0 - share).sqrt(), share.sqrt());
        let turn = Quaternion::new(inner * d, outer * a, outer * b, inner * c);
        Self { turn: UnitQuaternion::from_quaternion(turn), ..Self::shifted(rng) }
    }

    /// Shifted, in voxels that are up to √2 smaller or larger.
    pub(crate) fn resampled(rng: &mut impl Rng) -> Self {
        let side = rng.random_range(-0.5..0.5_f64).exp2();
        Self { side, ..Self::shifted(rng) }
    }
}

/// The new image, just large enough for all cells and a voxel of background around them, and the
/// way from it back to the image of `labels`. Bodies that fill no voxel by half are not in it.
pub(crate) fn imaged_again(
    labels: &Labels,
    pose: &Pose,
) -> (Labels, Rigid<ImageFrame, ImageFrame>) {
    let turn = Isometry3::from_parts(Vector3::zeros().into(), pose.turn);
    let bodies = bodies(labels, &turn);
    let Some((low, high)) = bounds(&bodies) else {
        return (labels.clone(), Rigid::identity());
    };
    let [dz, dy, dx] = labels.volume().voxel_size().um().map(|side| side * pose.side);
    let side_um = Vector3::new(dx, dy, dz);
    let first_um = low - (pose.part + Vector3::repeat(1.0)).component_mul(&side_um);
    let n = (high - first_um).component_div(&side_um).map(|n| n.ceil() as usize + 2);
    let back = turn.inverse() * Isometry3::translation(first_um.x, first_um.y, first_um.z);
    let grid = Grid { shape: [n.z, n.y, n.x], first_um, side_um, back };
    (grid.filled(&bodies).map_or_else(|| labels.clone(), Labels::new), Rigid::new(back))
}

/// A cell as a smooth body, and where it lies when turned.
struct Body {
    label: u32,
    field: Field,
    /// What raises the body's own level to one half.
    raise: f32,
    low_um: Point3<f64>,
    high_um: Point3<f64>,
}

fn bodies(labels: &Labels, turn: &Isometry3<f64>) -> Vec<Body> {
    /// Of the longest side of a voxel: enough to fill the steps between voxels.
    const BLUR: f64 = 1.0;
    let longest_um = labels.volume().voxel_size().um().into_iter().fold(0.0, f64::max);
    let extents = extents(labels);
    let body = |(&label, extent)| {
        let mask = CellMask::cut(labels, label, extent, [0; 3]);
        let field = Field::smoothed(&mask, BLUR * longest_um);
        let raise = 0.5 - enclosing_level(&mask, &field);
        let corners = field.corners_um().map(|corner| turn * corner);
        let low_um = corners.iter().fold(corners[0], |low, corner| low.inf(corner));
        let high_um = corners.iter().fold(corners[0], |high, corner| high.sup(corner));
        Body { label, field, raise, low_um, high_um }
    };
    labels.cells().par_iter().zip(&extents).map(body).collect()
}

/// The box around all bodies when turned; none without bodies.
fn bounds(bodies: &[Body]) -> Option<(Point3<f64>, Point3<f64>)> {
    let boxes = bodies.iter().map(|body| (body.low_um, body.high_um));
    boxes.reduce(|(low, high), (l, h)| (low.inf(&l), high.sup(&h)))
}

/// The voxels of the new image.
struct Grid {
    shape: [usize; 3], // z, y, x
    /// The middle of the first voxel, among the turned bodies; x, y, z.
    first_um: Point3<f64>,
    side_um: Vector3<f64>, // x, y, z
    /// To the image of the bodies as they were.
    back: Isometry3<f64>,
}

impl Grid {
    fn filled(&self, bodies: &[Body]) -> Option<Volume<u32>> {
        let [n_z, n_y, n_x] = self.shape;
        let mut voxels = vec![0; n_z * n_y * n_x];
        voxels.par_chunks_mut(n_y * n_x).enumerate().for_each(|(z, plane)| {
            let mut shares = vec![Shares::default(); plane.len()];
            for body in bodies.iter().filter(|body| self.voxels(body, 2).contains(&z)) {
                self.add(body, z, &mut shares);
            }
            for (voxel, shares) in plane.iter_mut().zip(&shares) {
                *voxel = shares.winner();
            }
        });
        let voxels = Array3::from_shape_vec((n_z, n_y, n_x), voxels).ok()?;
        let [dx, dy, dz] = self.side_um.into();
        Volume::new(voxels, VoxelSize::from_um([dz, dy, dx]).ok()?).ok()
    }

    /// The voxels that a body may fill along an axis (0 is x).
    fn voxels(&self, body: &Body, axis: usize) -> Range<usize> {
        let at = |um: f64| (um - self.first_um[axis]) / self.side_um[axis];
        // The grid begins before all bodies and ends after them.
        at(body.low_um[axis]) as usize..at(body.high_um[axis]) as usize + 1
    }

    /// Adds what a body fills of plane z.
    fn add(&self, body: &Body, z: usize, shares: &mut [Shares]) {
        let n_x = self.shape[2];
        let step_um = self.back * Vector3::new(self.side_um.x, 0.0, 0.0);
        for y in self.voxels(body, 1) {
            let line_um = Point3::new(0.0, y as f64 * self.side_um.y, z as f64 * self.side_um.z);
            let line_um = self.back * line_um;
            for x in self.voxels(body, 0) {
                let share = body.field.at(line_um + step_um * x as f64);
                if share > 0.0 {
                    shares[y * n_x + x].add(body.label, share + body.raise);
                }
            }
        }
    }
}

/// What fills a voxel.
#[derive(Clone, Copy, Default)]
struct Shares {
    all: f32,
    largest: f32,
    of: u32,
}

impl Shares {
    fn add(&mut self, label: u32, share: f32) {
        self.all += share;
        if share > self.largest {
            (self.largest, self.of) = (share, label);
        }
    }

    /// The label that fills most; 0 if that is the background.
    fn winner(&self) -> u32 {
        if self.largest > 1.0 - self.all { self.of } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const SIDE_UM: [f64; 3] = [0.6, 0.25, 0.25];

    /// A ball and, touching it, a block that lies askew, so that no face falls between two planes.
    fn ball_and_block() -> Labels {
        let askew = UnitQuaternion::from_euler_angles(0.4, 0.5, 0.3);
        let voxels = Array3::from_shape_fn((24, 50, 80), |(z, y, x)| {
            let [z, y, x] = [(z, 0), (y, 1), (x, 2)].map(|(at, k)| at as f64 * SIDE_UM[k]);
            let place = Point3::new(x, y, z);
            let is_ball = (place - Point3::new(6.0, 6.0, 7.0)).norm() < 4.5;
            let in_block = askew * (place - Point3::new(13.0, 6.0, 7.0));
            let is_block = (0..3).all(|k| in_block[k].abs() < [3.5, 3.2, 2.5][k]);
            if is_ball { 1 } else { 2 * u32::from(is_block) }
        });
        Labels::from_voxels(voxels, VoxelSize::from_um(SIDE_UM).unwrap()).unwrap()
    }

    fn poses() -> impl Iterator<Item = Pose> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let all =
            move |_| [Pose::shifted(&mut rng), Pose::turned(&mut rng), Pose::resampled(&mut rng)];
        (0..3).flat_map(all)
    }

    #[test]
    fn cells_keep_their_volumes_and_the_way_back_leads_to_their_centroids() {
        let labels = ball_and_block();
        for pose in poses() {
            let (again, back) = imaged_again(&labels, &pose);
            assert_eq!(again.cells(), labels.cells());
            let [size, new_size] = [&labels, &again].map(|labels| labels.volume().voxel_size());
            for (before, after) in extents(&labels).iter().zip(&extents(&again)) {
                let volume_um3 = after.volume_um3(new_size);
                assert_relative_eq!(before.volume_um3(size), volume_um3, max_relative = 0.03);
                let off_um = back.point(&after.centroid_um(new_size)) - before.centroid_um(size);
                assert!(off_um.norm() < 0.1, "{off_um}");
                assert!(
                    (0..3).all(|k| after.first[k] > 0 && after.end[k] < again.volume().shape()[k])
                );
            }
        }
    }

    #[test]
    fn touching_cells_keep_touching() {
        for pose in poses() {
            let (again, _) = imaged_again(&ball_and_block(), &pose);
            let [_, n_y, n_x] = again.volume().shape();
            let voxels = again.volume().as_slice();
            let meet = |stride: usize| {
                voxels
                    .iter()
                    .zip(&voxels[stride..])
                    .filter(|(a, b)| **a + **b == 3 && **a * **b > 0)
            };
            assert!([1, n_x, n_y * n_x].into_iter().flat_map(meet).count() > 5);
        }
    }

    #[test]
    fn random_turns_leave_no_direction_out() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let turned = (0..20_000).map(|_| Pose::turned(&mut rng).turn * Vector3::x());
        let (mut sum, mut squares) = (Vector3::zeros(), Vector3::zeros());
        turned.for_each(|x| (sum, squares) = (sum + x, squares + x.component_mul(&x)));
        assert!((sum / 20_000.0).amax() < 0.02);
        assert!((squares / 20_000.0 - Vector3::repeat(1.0 / 3.0)).amax() < 0.02);
    }
}
