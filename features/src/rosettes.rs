//! Rosettes: cells whose narrow ends meet in a point.
//!
//! In a tissue at rest few cells come near any one point. Where cells constrict towards a centre,
//! many do (five or more; Harding et al. 2014, doi:10.1242/dev.101444). So the cells within a small
//! ball are counted at all points between cells. The ball's radius is a third of a typical cell's
//! size, whatever the voxels. At the free surface of a tissue, where the narrow ends are, half of
//! the ball is empty: counts are divided by the square root of the part that is full. Points
//! where this exceeds what packed cells reach, and near which enough cells come, are rosettes.
//!
//! No direction is needed, so rosettes are found before the tissue is turned into its frame, and
//! whichever side their narrow ends are on.

use nalgebra::{Point3, Vector3};
use primordia_data::VoxelSize;
use rayon::prelude::*;

use crate::sweep::{Cells, Stretch};

/// The radius of the ball, in sizes (cube roots of the volume) of the middle cell.
const REACH: f64 = 0.35;
/// Blocks across the radius of the ball.
const BLOCKS: f64 = 3.0;
/// Balls that are emptier than this are at the rim of the tissue.
const LEAST_FULL: f64 = 0.25;
/// More cells than this in a full ball may be a rosette, if it has as many as [`LEAST_CELLS`].
/// Both were chosen on 30 phantoms with three rosettes each and 30 without. In 30 others all 90
/// rosettes are found, and nothing else; in 30 without rosettes, one is.
const CROWDED: f64 = 9.0;
/// Fewer cells that meet are a corner like others.
const LEAST_CELLS: usize = 9;
/// Rosettes are at least so far apart, in sizes of the middle cell.
const APART: f64 = 1.5;
/// Cells that come within this of the centre belong to a rosette, in sizes of the middle cell.
const MEMBERS: f64 = 0.5;

/// Cells that meet in a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Rosette {
    /// Where they meet, in the image.
    pub centre_um: Point3<f64>,
    /// The rows of the cells, ascending.
    pub rows: Vec<usize>,
}

/// The rosettes of a tissue, where most cells meet first. No cell is in two.
pub(crate) fn rosettes_of(cells: &Cells, voxel_size: VoxelSize) -> Vec<Rosette> {
    let volumes_um3: Vec<f64> = (0..cells.n_cells())
        .map(|row| cells.runs(row).iter().map(|run| run.x().len()).sum::<usize>())
        .map(|n_voxels| n_voxels as f64 * voxel_size.volume_um3())
        .collect();
    let all: Vec<usize> = (0..cells.n_cells()).collect();
    let Some(size_um) = middle_size_um(&all, &volumes_um3) else { return Vec::new() };
    let grid = Grid::of(cells, voxel_size, REACH * size_um / BLOCKS);
    let ball = grid.ball(REACH * size_um);
    let mut crowds: Vec<(f64, Point3<f64>)> = (0..grid.blocks.len())
        .into_par_iter()
        .filter(|block| grid.blocks[*block].rows.len() > 1)
        .map_init(
            || Seen::nothing(cells.n_cells()),
            |seen, block| (grid.crowd(block, &ball, seen), grid.point_um(block)),
        )
        .filter(|(crowd, _)| *crowd > CROWDED)
        .collect();
    crowds.sort_by(|a, b| b.0.total_cmp(&a.0));

    let mut centres: Vec<Point3<f64>> = Vec::new();
    for (_, peak) in &crowds {
        if centres.iter().all(|centre| (centre - peak).norm() > APART * size_um) {
            centres.push(middle_of(&crowds, peak, REACH * size_um));
        }
    }
    let mut taken = vec![false; cells.n_cells()];
    let rosette = |centre_um: Point3<f64>| {
        let near = grid.rows_within(&centre_um, MEMBERS * size_um);
        // Where all cells are small, many come near any point.
        let size_um = middle_size_um(&near, &volumes_um3)?.min(size_um);
        let mut rows = grid.rows_within(&centre_um, MEMBERS * size_um);
        if rows.len() < LEAST_CELLS {
            return None;
        }
        rows.retain(|row| !std::mem::replace(&mut taken[*row], true));
        Some(Rosette { centre_um, rows })
    };
    centres.into_iter().filter_map(rosette).collect()
}

/// The cube root of the volume of the middle one of some cells.
fn middle_size_um(rows: &[usize], volumes_um3: &[f64]) -> Option<f64> {
    let mut volumes: Vec<f64> = rows.iter().map(|row| volumes_um3[*row]).collect();
    volumes.sort_by(f64::total_cmp);
    volumes.get(volumes.len() / 2).map(|volume| volume.cbrt())
}

/// The mean of the crowded points about a peak.
fn middle_of(crowds: &[(f64, Point3<f64>)], peak: &Point3<f64>, radius_um: f64) -> Point3<f64> {
    let near = crowds.iter().filter(|(_, point)| (point - peak).norm() <= radius_um);
    let (sum, total) = near.fold((Vector3::zeros(), 0.0), |(sum, total), (crowd, point)| {
        let weight = crowd - CROWDED;
        (sum + weight * point.coords, total + weight)
    });
    Point3::from(sum / total)
}

/// The image in blocks.
struct Grid {
    blocks: Vec<Block>, // [z, y, x], x fastest
    shape: [usize; 3],  // z, y, x
    sides: [usize; 3],  // of a block in voxels, z, y, x
    voxel_um: [f64; 3], // z, y, x
}

/// Which rows have been seen: as many rounds as one likes, without clearing anything.
struct Seen {
    round: u32,
    rounds: Vec<u32>, // when each row was seen last
}

impl Seen {
    fn nothing(n_rows: usize) -> Self {
        Self { round: 0, rounds: vec![0; n_rows] }
    }

    fn forget(&mut self) {
        self.round += 1;
    }

    fn is_new(&mut self, row: u32) -> bool {
        std::mem::replace(&mut self.rounds[row as usize], self.round) != self.round
    }
}

/// Some voxels that are near one another.
#[derive(Clone, Default)]
struct Block {
    /// Which cells they belong to.
    rows: Vec<u32>,
    /// How many belong to any.
    n_voxels: u32,
}

impl Grid {
    fn of(cells: &Cells, voxel_size: VoxelSize, side_um: f64) -> Self {
        let voxel_um = voxel_size.um();
        let sides = voxel_um.map(|side| ((side_um / side).round() as usize).max(1));
        let shape = [0, 1, 2].map(|k| cells.shape()[k].div_ceil(sides[k]));
        let mut blocks = vec![Block::default(); shape.iter().product()];
        let [n_z, n_y, _] = cells.shape();
        let layers = blocks.par_chunks_mut(shape[1] * shape[2]).enumerate();
        layers.for_each(|(layer, blocks)| {
            let planes = layer * sides[0]..((layer + 1) * sides[0]).min(n_z);
            for (z, y) in planes.flat_map(|z| (0..n_y).map(move |y| (z, y))) {
                let line = &mut blocks[y / sides[1] * shape[2]..][..shape[2]];
                add_line(line, cells.line(z, y), sides[2]);
            }
        });
        Self { blocks, shape, sides, voxel_um }
    }

    /// The side of a block in µm along `axis` (0 is z).
    fn side_um(&self, axis: usize) -> f64 {
        self.sides[axis] as f64 * self.voxel_um[axis]
    }

    fn position(&self, block: usize) -> [usize; 3] {
        let [_, n_y, n_x] = self.shape;
        [block / (n_y * n_x), block / n_x % n_y, block % n_x]
    }

    /// The middle of a block in the image.
    fn point_um(&self, block: usize) -> Point3<f64> {
        let at = self.position(block);
        let along = |k: usize| (at[k] as f64 + 0.5) * self.side_um(k) - 0.5 * self.voxel_um[k];
        Point3::new(along(2), along(1), along(0))
    }

    /// Steps to all blocks whose middles are within a radius.
    fn ball(&self, radius_um: f64) -> Vec<[isize; 3]> {
        let reach = [0, 1, 2].map(|k| (radius_um / self.side_um(k)) as isize);
        let steps = |k: usize| -reach[k]..=reach[k];
        let all = steps(0).flat_map(|z| steps(1).map(move |y| [z, y]));
        let all = all.flat_map(|[z, y]| steps(2).map(move |x| [z, y, x]));
        let square = |step: &[isize; 3]| -> f64 {
            (0..3).map(|k| (step[k] as f64 * self.side_um(k)).powi(2)).sum()
        };
        all.filter(|step| square(step) <= radius_um * radius_um).collect()
    }

    /// The blocks of a ball about a block that are in the image.
    fn around<'a>(
        &'a self,
        at: [usize; 3],
        ball: &'a [[isize; 3]],
    ) -> impl Iterator<Item = usize> + 'a {
        ball.iter().filter_map(move |step| {
            let mut index = 0;
            for k in 0..3 {
                let place = at[k].checked_add_signed(step[k]).filter(|at| *at < self.shape[k])?;
                index = index * self.shape[k] + place;
            }
            Some(index)
        })
    }

    /// How many cells would come into a full ball.
    fn crowd(&self, block: usize, ball: &[[isize; 3]], seen: &mut Seen) -> f64 {
        seen.forget();
        let (mut n_rows, mut n_voxels) = (0, 0);
        for block in self.around(self.position(block), ball).map(|at| &self.blocks[at]) {
            n_voxels += block.n_voxels as usize;
            n_rows += block.rows.iter().filter(|row| seen.is_new(**row)).count();
        }
        let full = n_voxels as f64 / (ball.len() * self.sides.iter().product::<usize>()) as f64;
        if full < LEAST_FULL { 0.0 } else { n_rows as f64 / full.sqrt() }
    }

    /// The cells that come within a radius of a point.
    fn rows_within(&self, centre_um: &Point3<f64>, radius_um: f64) -> Vec<usize> {
        let along = [centre_um.z, centre_um.y, centre_um.x];
        let at = [0, 1, 2].map(|k| (along[k] / self.side_um(k)) as usize);
        // The centre lies somewhere in its block.
        let reach_um = radius_um + (0..3).map(|k| self.side_um(k)).sum::<f64>();
        let ball = self.ball(reach_um);
        let near = self
            .around(at, &ball)
            .filter(|block| (self.point_um(*block) - centre_um).norm() <= radius_um);
        let rows = near.flat_map(|block| &self.blocks[block].rows);
        let mut rows: Vec<usize> = rows.map(|row| *row as usize).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// Adds the cells of a line of the image to a line of blocks.
fn add_line(blocks: &mut [Block], line: &[Stretch], side: usize) {
    let mut start = 0;
    for &Stretch { end, row } in line {
        let x = start..end as usize;
        start = x.end;
        if row == Stretch::OUTSIDE {
            continue;
        }
        for (at, block) in (x.start / side..x.end.div_ceil(side)).zip(&mut blocks[x.start / side..])
        {
            block.n_voxels += (x.end.min((at + 1) * side) - x.start.max(at * side)) as u32;
            if !block.rows.contains(&row) {
                block.rows.push(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primordia_data::phantom::{self, Optics, Phantom, PhantomParams};

    fn tissue(seed: u64, constriction: f64) -> Phantom {
        let voxel_size = VoxelSize::from_um([0.8, 0.4, 0.4]).unwrap();
        let optics = Optics::clean(voxel_size);
        let mut params = PhantomParams { optics, ..PhantomParams::default() }.varied(seed);
        params.tissue.constriction = constriction;
        phantom::specimen(&params, seed).unwrap()
    }

    /// As in the living tissue: see the phantom's defaults.
    const CONSTRICTED: f64 = 2.0;
    /// A constricted end is about 2 µm wide; the centre lies mostly within one.
    const CENTRE_UM: f64 = 4.5;
    /// Which cells belong to a rosette is a matter of degree at its rim.
    const MEMBERSHIP: f64 = 0.8;

    #[test]
    fn rosettes_of_a_phantom_are_found_with_their_centres_and_cells() {
        let (mut n_found, mut n_hits, mut n_members, mut n_true) = (0, 0, 0, 0);
        for seed in 60..64 {
            let tissue = tissue(seed, CONSTRICTED);
            let found = rosettes_of(&Cells::of(&tissue.truth), tissue.truth.volume().voxel_size());
            for rosette in &found {
                let centre = tissue.image_to_tissue.point(&rosette.centre_um);
                let apices = tissue.rosettes.points().iter();
                let near = apices.clone().position(|apex| (apex - centre).norm() < CENTRE_UM);
                assert!(near.is_some(), "a rosette at {centre}, not at one of {apices:?}");
                let members: Vec<usize> = (0..tissue.cells.len())
                    .filter(|row| tissue.cells[*row].rosette == near)
                    .collect();
                n_found += 1;
                n_hits += rosette.rows.iter().filter(|row| members.contains(row)).count();
                n_members += rosette.rows.len();
                n_true += members.len();
            }
        }
        assert_eq!(n_found, 12, "three in each");
        let f1 = 2.0 * n_hits as f64 / (n_members + n_true) as f64;
        println!("{n_hits} of {n_true} cells, {n_members} found: F1 {f1:.3}");
        assert!(f1 > MEMBERSHIP, "{f1}");
    }

    #[test]
    fn a_tissue_without_constriction_has_no_rosettes() {
        for seed in 60..64 {
            let tissue = tissue(seed, 0.0);
            let found = rosettes_of(&Cells::of(&tissue.truth), tissue.truth.volume().voxel_size());
            assert_eq!(found, []);
        }
    }

    #[test]
    fn wedges_that_meet_in_a_line_are_a_rosette_about_it() {
        // A disc in 14 wedges: all meet at the middle, nowhere else do more than two.
        let voxel_size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
        let voxels = ndarray::Array3::from_shape_fn((6, 64, 64), |(_, y, x)| {
            let (y, x) = (y as f64 - 31.3, x as f64 - 31.3);
            let wedge = ((y.atan2(x) / std::f64::consts::TAU + 0.5) * 14.0) as u32;
            if y.hypot(x) < 30.0 { wedge.min(13) + 1 } else { 0 }
        });
        let labels = primordia_data::Labels::from_voxels(voxels, voxel_size).unwrap();
        let found = rosettes_of(&Cells::of(&labels), voxel_size);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rows, (0..14).collect::<Vec<_>>());
        let off_um = (found[0].centre_um.xy() - nalgebra::Point2::new(15.65, 15.65)).norm();
        assert!(off_um < 1.0, "{off_um}");
    }
}
