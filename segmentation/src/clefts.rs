//! Clefts of the outside into a tissue that blur alone makes.
//!
//! Where a wall between two cells meets the surface of the tissue, a blurred image is brightest below the surface, so that a
//! flood leaves a groove along every wall. A closing by a ball fills it: what no ball of outside reaches belongs to the tissue
//! (Serra 1982, Image Analysis and Mathematical Morphology).

use ndarray::{Array3, Axis, Slice, s};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::ball::within_ball;
use crate::block::Block;
use crate::error::Result;
use crate::planes::Planes;
use crate::tiles::{Cut, SMALL};
use crate::watershed::watershed_within;

/// The radius of the ball, in widths of a sheet: grooves are some widths wide.
const BALL_WIDTHS: f64 = 6.0;
/// How far from a cell grooves are filled, in widths of a sheet: blur moves nothing further, and wider gaps between cells stay.
const DEPTH_WIDTHS: f64 = 1.5;

/// How many voxels (z, y, x) away the furthest voxels are that decide whether a voxel is in a cleft.
pub(crate) fn cleft_reach(voxel_size: VoxelSize, width_um: f64) -> [usize; 3] {
    voxel_size.um().map(|side_um| (2.0 * BALL_WIDTHS * width_um / side_um).ceil() as usize + 1)
}

/// Gives voxels of the outside (0) that lie in clefts to the cells beside them, in an image that shows its sheets so wide: a
/// flood of the clefts alone meets where they are brightest, as `level` tells.
/// Surfaces are known in finer `planes`: bit i of a voxel in `cells` tells whether its i-th plane is in a cell.
pub(crate) fn fill_clefts(
    labels: &mut Volume<u32>,
    cells: &Volume<u8>,
    planes: Planes,
    width_um: f64,
    level: impl Fn([usize; 3]) -> u16,
) -> Result<()> {
    let voxel_size = labels.voxel_size();
    let near = Near::new(voxel_size, DEPTH_WIDTHS * width_um);
    let cut = Cut { reach: cleft_reach(voxel_size, width_um), step: [1; 3] };
    let mut filled = Vec::new();
    for tile in cut.tiles_or_least(labels.shape(), SMALL / planes.n() as u64) {
        let core = tile.part().core;
        let part = |cells: &Volume<u8>| unreached(cells, planes, &core, BALL_WIDTHS * width_um);
        if let Some(unreached) = tile.with(cells, part)? {
            let clefts = near.cells(labels.voxels(), &tile.core, &unreached);
            filled.extend(flooded(labels, &tile.core, clefts, &level)?);
        }
    }
    for (voxel, cell) in filled {
        labels.voxels_mut()[voxel] = cell;
    }
    Ok(())
}

/// Voxels of clefts in a block with the cells that flood them; with the given one, the nearest, where no cell touches a cleft.
fn flooded(
    labels: &Volume<u32>,
    block: &Block,
    clefts: Vec<([usize; 3], u32)>,
    level: &impl Fn([usize; 3]) -> u16,
) -> Result<Vec<([usize; 3], u32)>> {
    if clefts.is_empty() {
        return Ok(clefts);
    }
    let shape = labels.shape();
    let [z, y, x] = [0, 1, 2]
        .map(|axis| block[axis].start.saturating_sub(1)..(block[axis].end + 1).min(shape[axis]));
    let from = [z.start, y.start, x.start];
    let seeds = labels.voxels().slice(s![z, y, x]).to_owned();
    let seeds = Volume::new(seeds, labels.voxel_size())?;
    let (mut levels, mut mask) = (seeds.map(|_| 0), seeds.map(|&label| label > 0));
    let within = |voxel: [usize; 3]| [0, 1, 2].map(|axis| voxel[axis] - from[axis]);
    for &(voxel, _) in &clefts {
        levels.voxels_mut()[within(voxel)] = level(voxel);
        mask.voxels_mut()[within(voxel)] = true;
    }
    let found = watershed_within(&levels, seeds, &mask)?;
    let cell = |(voxel, nearest)| match found.voxels()[within(voxel)] {
        0 => (voxel, nearest),
        cell => (voxel, cell),
    };
    Ok(clefts.into_iter().map(cell).collect())
}

/// Which voxels of the core no ball of outside reaches in the middle, those of cells among them; `None` if there is nothing to fill.
fn unreached(
    cells: &Volume<u8>,
    planes: Planes,
    core: &Block,
    ball_um: f64,
) -> Result<Option<Array3<bool>>> {
    let part = |block: &Block| {
        let [z, y, x] = block.clone();
        s![z, y, x]
    };
    let is_cell = |bits: u8, plane: usize| bits >> plane & 1 > 0;
    let in_middle = |&bits: &u8| is_cell(bits, planes.middle());
    let no_outside = cells.voxels().slice(part(core)).iter().all(in_middle);
    if no_outside || cells.as_slice().iter().all(|&bits| bits == 0) {
        return Ok(None);
    }
    // Beyond the image lies outside.
    let voxel_size = planes.voxel_size(cells.voxel_size())?;
    let [n_z, n_y, n_x] = cells.shape();
    let margin = voxel_size.um().map(|side_um| (ball_um / side_um).ceil() as usize + 1);
    let moved = |axis: usize, from: usize, to: usize| from + margin[axis]..to + margin[axis];
    let shape = [n_z * planes.n(), n_y, n_x];
    let mut in_cell =
        Array3::from_elem([0, 1, 2].map(|axis| shape[axis] + 2 * margin[axis]), false);
    let within = [0, 1, 2].map(|axis| moved(axis, 0, shape[axis]));
    let mut finer = in_cell.slice_mut(part(&within));
    for (z, mut plane) in finer.outer_iter_mut().enumerate() {
        let bits = cells.voxels().index_axis(Axis(0), z / planes.n());
        plane.zip_mut_with(&bits, |in_cell, &bits| *in_cell = is_cell(bits, z % planes.n()));
    }
    let near_cell = within_ball(&Volume::new(in_cell, voxel_size)?, ball_um);
    let reached = within_ball(&near_cell.map(|&is_near| !is_near), ball_um);
    drop(near_cell);
    let [z, y, x] = core.clone();
    let core = [z.start * planes.n()..z.end * planes.n(), y, x];
    let core = [0, 1, 2].map(|axis| moved(axis, core[axis].start, core[axis].end));
    let mut middles = reached.voxels().slice(part(&core));
    middles
        .slice_axis_inplace(Axis(0), Slice::from(planes.middle()..).step_by(planes.n() as isize));
    Ok(Some(middles.mapv(|is_reached| !is_reached)))
}

/// The places around a voxel, the nearest first.
struct Near(Vec<[isize; 3]>);

impl Near {
    /// Those at most so far away, but at least the neighbours along each axis.
    fn new(voxel_size: VoxelSize, most_um: f64) -> Self {
        let um = voxel_size.um();
        let most_um = um.into_iter().fold(most_um, f64::max);
        let [z, y, x] = um.map(|side_um| (most_um / side_um) as isize);
        let away_um2 = |step: &[isize; 3]| -> f64 {
            step.iter().zip(um).map(|(&step, um)| (step as f64 * um).powi(2)).sum()
        };
        let mut steps: Vec<[isize; 3]> = (-z..=z)
            .flat_map(|z| (-y..=y).flat_map(move |y| (-x..=x).map(move |x| [z, y, x])))
            .filter(|step| away_um2(step) <= most_um * most_um)
            .collect();
        steps.sort_by(|a, b| away_um2(a).total_cmp(&away_um2(b)));
        Self(steps)
    }

    /// The cell nearest to a voxel, if there is one so near.
    fn cell(&self, labels: &Array3<u32>, voxel: [usize; 3]) -> Option<u32> {
        self.0.iter().find_map(|step| {
            let place = [0, 1, 2].map(|axis| voxel[axis].wrapping_add_signed(step[axis]));
            labels.get(place).copied().filter(|&label| label > 0)
        })
    }

    /// The voxels of a block that are outside although no ball reaches them, and the cell nearest to each.
    fn cells(
        &self,
        labels: &Array3<u32>,
        block: &Block,
        unreached: &Array3<bool>,
    ) -> Vec<([usize; 3], u32)> {
        let planes = unreached.outer_iter().into_par_iter().zip(block[0].clone());
        let found = planes.flat_map_iter(|(plane, z)| {
            let unreached = plane.into_indexed_iter().filter(|(_, unreached)| **unreached);
            unreached.filter_map(move |((y, x), _)| {
                let voxel = [z, block[1].start + y, block[2].start + x];
                if labels[voxel] > 0 { None } else { Some((voxel, self.cell(labels, voxel)?)) }
            })
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sized_volume;

    const SIZE_UM: [f64; 3] = [1.0, 0.5, 0.5];
    const WIDTH_UM: f64 = 0.3;

    /// Of labels whose surfaces are known no better than they tell.
    fn fill(labels: &mut Volume<u32>, width_um: f64) {
        let cells = labels.map(|&label| u8::from(label > 0));
        fill_clefts(labels, &cells, Planes::AS_TAKEN, width_um, |_| 0).unwrap();
    }

    /// By definition: a place of outside whose ball holds no cell keeps all voxels of its ball outside, places beyond the
    /// image among them.
    fn by_definition(labels: &Volume<u32>) -> Vec<u32> {
        const MARGIN: isize = 6;
        let ball_um2 = (BALL_WIDTHS * WIDTH_UM).powi(2);
        let depth_um2 = (DEPTH_WIDTHS * WIDTH_UM).max(1.0).powi(2);
        let away_um2 = |a: [isize; 3], b: [isize; 3]| -> f64 {
            (0..3).map(|axis| ((a[axis] - b[axis]) as f64 * SIZE_UM[axis]).powi(2)).sum()
        };
        let shape = labels.shape().map(|n| n as isize);
        let places = |margin: isize| {
            let [z, y, x] = shape.map(|n| -margin..n + margin);
            z.flat_map(move |z| {
                let x = x.clone();
                y.clone().flat_map(move |y| x.clone().map(move |x| [z, y, x]))
            })
        };
        let label = |at: [isize; 3]| labels.voxels()[at.map(|at| at as usize)];
        let cells: Vec<[isize; 3]> = places(0).filter(|&at| label(at) > 0).collect();
        let balls: Vec<[isize; 3]> = places(MARGIN)
            .filter(|&at| cells.iter().all(|&cell| away_um2(at, cell) > ball_um2))
            .collect();
        let closed = |at: [isize; 3]| {
            if label(at) > 0 || balls.iter().any(|&ball| away_um2(at, ball) <= ball_um2) {
                return label(at);
            }
            let near = cells.iter().map(|&cell| (away_um2(at, cell), label(cell)));
            let nearest =
                near.filter(|near| near.0 <= depth_um2).min_by(|a, b| a.0.total_cmp(&b.0));
            nearest.map_or(0, |(_, label)| label)
        };
        places(0).map(closed).collect()
    }

    proptest! {
        #[test]
        fn what_no_ball_of_outside_reaches_belongs_to_the_nearest_cell(
            cells in prop::collection::vec(prop::bool::weighted(0.1), 5 * 9 * 9),
        ) {
            // One cell, so that it does not matter which of two equally near ones is taken.
            let labels = cells.iter().map(|&cell| 7 * u32::from(cell)).collect();
            let mut labels = sized_volume([5, 9, 9], labels, SIZE_UM);
            let wanted = by_definition(&labels);
            fill(&mut labels, WIDTH_UM);
            prop_assert_eq!(labels.as_slice(), wanted);
        }
    }

    #[test]
    fn a_groove_is_filled_by_the_cells_beside_it_and_flat_surfaces_and_wide_gaps_stay() {
        // Two cells under a surface, and a groove between them; a third one stands apart.
        let image = |groove: [u32; 2]| {
            let surface = |x: usize| if x < 5 { 1 } else { 2 };
            let row = |y: usize| {
                (0..20).map(move |x| match (y, x) {
                    (0..8, 4) => groove[0],
                    (0..8, 5) => groove[1],
                    (0..8, 0..10) => surface(x),
                    (_, 16..) => 3,
                    _ => 0,
                })
            };
            let plane: Vec<u32> = (0..16).flat_map(row).collect();
            sized_volume([1, 16, 20], plane, [0.5; 3])
        };
        let mut labels = image([0; 2]);
        fill(&mut labels, 0.4);
        assert_eq!(labels.as_slice(), image([1, 2]).as_slice());
    }

    #[test]
    fn what_is_only_cell_or_only_outside_stays() {
        for label in [0, 3] {
            let mut labels = sized_volume([2, 3, 4], vec![label; 24], SIZE_UM);
            fill(&mut labels, WIDTH_UM);
            assert!(labels.as_slice().iter().all(|&found| found == label));
        }
    }
}
