//! From labels on a shrunken grid to the full grid.

use ndarray::{Array3, s};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::Block;
use crate::clefts::{cleft_reach, fill_clefts};
use crate::error::Result;
use crate::planes::Planes;
use crate::resample::between;
use crate::sheet::Sheets;
use crate::stencil::{Direction, Stencils};
use crate::strength::Width;
use crate::tiles::{Cut, SMALL, Tile};
use crate::watershed::flood;

/// Where borders lie is averaged over discs of this radius, in widths of a sheet.
const DISC_WIDTHS: f64 = 1.7;
/// Labels that were found this much higher than they are: what was found last is no core to what is found next. The flood
/// knows lower ones only.
const FOUND: u32 = 1 << 31;

/// An image and how it was shrunk.
pub(crate) struct FullGrid<'a, T> {
    pub(crate) image: &'a Volume<T>,
    /// How many voxels (z, y, x) became one.
    pub(crate) factors: [usize; 3],
    /// The least and the largest value of the shrunken image.
    pub(crate) range: (f32, f32),
    /// How it shows its sheets.
    pub(crate) width: Width,
}

/// Where borders are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borders {
    /// In the blocks of voxels that were merged.
    InBlocks,
    /// In planes that are made of those of an image, of which no voxels are merged.
    InPlanes(Planes),
    /// Nowhere else than where they are: no voxels are merged, and noise would lead a flood of brightness astray.
    AsFound,
}

impl Borders {
    /// Those of an image whose voxels are so large.
    pub(crate) fn of(factors: [usize; 3], voxel_size: VoxelSize, width: Width) -> Self {
        match factors {
            [1, 1, 1] if width.is_clear => Self::InPlanes(Planes::of(voxel_size)),
            [1, 1, 1] => Self::AsFound,
            _ => Self::InBlocks,
        }
    }

    /// What is needed to find them of sheets, which are read if any are.
    pub(crate) fn needed(self, sheets: impl FnOnce() -> Result<Sheets>) -> Result<SmallSheets> {
        Ok(match self {
            Self::InBlocks => SmallSheets::InBlocks(sheets()?),
            Self::InPlanes(planes) => SmallSheets::InPlanes(planes, sheets()?.directions),
            Self::AsFound => SmallSheets::AsFound,
        })
    }
}

/// What is needed of the sheets of a shrunken image, by where borders are sought.
pub(crate) enum SmallSheets {
    InBlocks(Sheets),
    InPlanes(Planes, Volume<Direction>),
    AsFound,
}

impl<T: Copy + Into<f32> + Sync> FullGrid<'_, T> {
    /// Where its borders are sought.
    pub(crate) fn borders(&self) -> Borders {
        Borders::of(self.factors, self.image.voxel_size(), self.width)
    }

    /// The labels (0 is background) of the shrunken image on the full grid.
    ///
    /// Where a block and all blocks around it have one label, so have their voxels. Elsewhere borders
    /// lie where the image is brightest, averaged along the `sheets` of the shrunken image: a flood
    /// meets there. Where no voxels are merged they are coarse: borders are sought between their [`Planes`], unless sheets are
    /// too faint. Nor do such voxels show how walls meet the surface of a tissue: clefts are filled.
    ///
    /// `has_core` tells of each label whether it has such blocks anywhere ([`mark_cores`]): labels that have none are
    /// kept whole.
    pub(crate) fn enlarge(
        &self,
        mut small: Volume<u32>,
        sheets: SmallSheets,
        has_core: &[bool],
    ) -> Result<Volume<u32>> {
        match sheets {
            SmallSheets::InBlocks(sheets) => {
                keep_cores(&mut small, has_core);
                self.in_blocks(small, sheets)
            }
            SmallSheets::InPlanes(planes, directions) => {
                keep_cores(&mut small, has_core);
                self.in_planes(small, planes, &directions)
            }
            SmallSheets::AsFound => {
                let cells = small.map(|&label| u8::from(label > 0));
                self.fill_clefts(&mut small, &cells, Planes::AS_TAKEN)?;
                Ok(small)
            }
        }
    }

    /// Labels of voxels from those + 1 of the cores of merged ones.
    fn in_blocks(&self, cores: Volume<u32>, sheets: Sheets) -> Result<Volume<u32>> {
        let labels = self.enlarge_cores(&cores)?;
        drop(cores);
        let levels = self.levels(self.image, &labels, |at| self.direction(&sheets, at))?;
        drop(sheets);
        let mut labels = flood(levels, labels)?;
        if let Some(voxels) = labels.voxels_mut().as_slice_mut() {
            voxels.par_iter_mut().for_each(|label| *label = label.saturating_sub(1));
        }
        Ok(labels)
    }

    /// Labels from those + 1 of their cores, on the same grid.
    fn in_planes(
        &self,
        mut labels: Volume<u32>,
        planes: Planes,
        directions: &Volume<Direction>,
    ) -> Result<Volume<u32>> {
        const AT_LEAST: usize = 2;
        const VOXELS_EACH: usize = 1 << 24;
        let mut cells = labels.map(|_| 0_u8); // a bit for each plane
        let cut = Cut { reach: flood_reach(labels.voxel_size(), self.width.um), step: [1; 3] };
        // A flood on so many levels is for one thread, so there are some side by side, as large as one tile; in a large
        // image more of them count little for memory.
        let most = SMALL / (AT_LEAST * planes.n()) as u64;
        let at_a_time = (labels.n_voxels() / VOXELS_EACH).max(AT_LEAST);
        for tiles in cut.tiles_or_least(labels.shape(), most).chunks(at_a_time) {
            let found =
                tiles.par_iter().map(|tile| self.flooded(tile, &labels, planes, directions));
            for (tile, found) in tiles.iter().zip(found.collect::<Result<Vec<_>>>()?) {
                note_found(&found, planes, tile, &mut labels, &mut cells);
            }
        }
        if let Some(voxels) = labels.voxels_mut().as_slice_mut() {
            voxels.par_iter_mut().for_each(|label| *label = (*label % FOUND).saturating_sub(1));
        }
        self.fill_clefts(&mut labels, &cells, planes)?;
        Ok(labels)
    }

    /// Labels + 1 of a tile in planes, flooded from the cores in `labels`.
    fn flooded(
        &self,
        tile: &Tile,
        labels: &Volume<u32>,
        planes: Planes,
        directions: &Volume<Direction>,
    ) -> Result<Volume<u32>> {
        let core = |&label: &u32| if label < FOUND { label } else { 0 };
        let cores = tile.with(labels, |part| planes.labels(&part.map(core)))?;
        let image = tile.with(self.image, |part| planes.image(part))?;
        let from = tile.around.clone().map(|range| range.start);
        let direction = |[z, y, x]: [usize; 3]| {
            directions.voxels()[[from[0] + z / planes.n(), from[1] + y, from[2] + x]]
        };
        let levels = self.levels(&image, &cores, direction)?;
        drop(image);
        flood(levels, cores)
    }

    /// Fills the clefts of `cells`, whose surfaces are known in `planes`.
    fn fill_clefts(
        &self,
        labels: &mut Volume<u32>,
        cells: &Volume<u8>,
        planes: Planes,
    ) -> Result<()> {
        let steps = self.steps();
        let level = |voxel| steps(self.image.voxels()[voxel].into());
        fill_clefts(labels, cells, planes, self.width.um, level)
    }

    fn enlarge_cores(&self, cores: &Volume<u32>) -> Result<Volume<u32>> {
        let [_, n_y, n_x] = self.image.shape();
        let [_, small_y, small_x] = cores.shape();
        let mut labels = Volume::new(Array3::zeros(self.image.shape()), self.image.voxel_size())?;
        if let Some(labels) = labels.voxels_mut().as_slice_mut() {
            labels.par_chunks_mut(n_x).enumerate().for_each(|(row, labels)| {
                let (z, y) = (row / n_y / self.factors[0], row % n_y / self.factors[1]);
                let cores = &cores.as_slice()[(z * small_y + y) * small_x..][..small_x];
                let blocks = labels.chunks_mut(self.factors[2]).zip(cores);
                blocks.for_each(|(block, &core)| block.fill(core));
            });
        }
        Ok(labels)
    }

    /// How bright the sheets of an image are at voxels without label, in steps for the flood; 0 elsewhere.
    fn levels<U: Copy + Into<f32> + Sync>(
        &self,
        image: &Volume<U>,
        labels: &Volume<u32>,
        direction: impl Fn([usize; 3]) -> Direction + Sync,
    ) -> Result<Volume<u16>> {
        let shape = image.shape();
        let [_, n_y, n_x] = shape;
        let stencils = Stencils::brightness(DISC_WIDTHS * self.width.um, image.voxel_size());
        let steps = self.steps();
        // Memory is taken only where levels are written.
        let mut levels = Volume::new(Array3::zeros(shape), image.voxel_size())?;
        if let Some(levels) = levels.voxels_mut().as_slice_mut() {
            let rows = levels.par_chunks_mut(n_x).zip(labels.as_slice().par_chunks(n_x));
            let rows = rows.enumerate().filter(|(_, (_, labels))| labels.contains(&0));
            rows.for_each(|(row, (levels, labels))| {
                let at = [row / n_y, row % n_y];
                let stencils = stencils.at_row(image.as_slice(), shape, at);
                for x in (0..n_x).filter(|&x| labels[x] == 0) {
                    let direction = direction([at[0], at[1], x]);
                    levels[x] = steps(stencils.read(x, direction));
                }
            });
        }
        Ok(levels)
    }

    /// Makes steps for the flood of brightness.
    fn steps(&self) -> impl Fn(f32) -> u16 {
        let (low, high) = self.range;
        let per_unit = f32::from(u16::MAX) / (high - low).max(f32::MIN_POSITIVE);
        move |value| ((value - low) * per_unit) as u16
    }

    /// The direction across the strongest sheet of the blocks that a voxel lies between.
    fn direction(&self, sheets: &Sheets, voxel: [usize; 3]) -> Direction {
        let shape = sheets.directions.shape();
        let [z, y, x] = [0, 1, 2].map(|axis| {
            let (low, high, share) = between(voxel[axis], self.factors[axis], shape[axis]);
            if share > 0.0 { [low, high] } else { [low; 2] }
        });
        let mut strongest = (f32::MIN, 0);
        for row in z.into_iter().flat_map(|z| y.map(|y| (z * shape[1] + y) * shape[2])) {
            for block in x.map(|x| row + x) {
                let here = sheets.evidence.as_slice()[block].value();
                if here > strongest.0 {
                    strongest = (here, block);
                }
            }
        }
        sheets.directions.as_slice()[strongest.1]
    }
}

/// Notes what was found in the core of a tile, in finer planes: at voxels that had no label the label + [`FOUND`].
fn note_found(
    found: &Volume<u32>,
    planes: Planes,
    tile: &Tile,
    labels: &mut Volume<u32>,
    cells: &mut Volume<u8>,
) {
    let part = tile.part();
    let [z, y, x] = tile.core.clone();
    let mut labels = labels.voxels_mut();
    let (mut labels, mut cells) = (
        labels.slice_mut(s![z.clone(), y.clone(), x.clone()]),
        cells.voxels_mut().slice_move(s![z, y, x]),
    );
    let [core_z, core_y, core_x] = part.core;
    for plane in 0..planes.n() {
        let first = core_z.start * planes.n() + plane;
        let found = found.voxels().slice(s![
            first..core_z.end * planes.n(); planes.n(),
            core_y.clone(),
            core_x.clone()
        ]);
        cells.zip_mut_with(&found, |bits, &label| *bits |= u8::from(label > 1) << plane);
        if plane == planes.middle() {
            labels.zip_mut_with(&found, |label, &found| {
                *label = if *label == 0 { FOUND + found } else { *label };
            });
        }
    }
}

/// How many blocks (z, y, x) of merged voxels, of a size, away the furthest are that in practice count for a label on the full
/// grid: those of the flood, and the clefts.
pub(crate) fn refine_reach(borders: Borders, voxel_size: VoxelSize, width_um: f64) -> [usize; 3] {
    let flood = || flood_reach(voxel_size, width_um);
    let clefts = || cleft_reach(voxel_size, width_um);
    match borders {
        Borders::InBlocks => flood(),
        Borders::InPlanes(_) => [0, 1, 2].map(|axis| flood()[axis] + clefts()[axis]),
        Borders::AsFound => clefts(),
    }
}

/// Bytes for each block of merged voxels while labels are found on the full grid, whose pixels have `pixel` bytes: labels, levels
/// and the voxels that wait, of each voxel or each finer plane; of those also the image, and of voxels the bits.
pub(crate) fn refine_bytes(borders: Borders, factors: [usize; 3], pixel: usize) -> u64 {
    const FLOOD: usize = 4 + 2 + 6;
    let in_planes = |n: usize| pixel + 1 + n * (4 + FLOOD);
    let bytes = match borders {
        Borders::InBlocks => factors.iter().product::<usize>() * (pixel + FLOOD),
        Borders::InPlanes(planes) => in_planes(planes.n()),
        Borders::AsFound => in_planes(1), // while clefts are flooded
    };
    bytes as u64
}

/// How many voxels away the furthest are that in practice count for where a flood meets: the disc, as far as the flood goes
/// through cells too thin for cores.
fn flood_reach(voxel_size: VoxelSize, width_um: f64) -> [usize; 3] {
    const FLOOD_UM: f64 = 4.0;
    let reach_um = DISC_WIDTHS * width_um + FLOOD_UM;
    voxel_size.um().map(|side_um| (reach_um / side_um).ceil() as usize + 2)
}

/// Whether the neighbours of each voxel have its label.
fn cores(labels: &Volume<u32>) -> Volume<bool> {
    let [n_z, n_y, n_x] = labels.shape();
    let voxels = labels.as_slice();
    let around = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let mut cores = labels.map(|_| false);
    if let Some(cores) = cores.voxels_mut().as_slice_mut() {
        cores.par_chunks_mut(n_x).enumerate().for_each(|(row, cores)| {
            let (z, y) = (row / n_y, row % n_y);
            for (x, core) in cores.iter_mut().enumerate() {
                let label = voxels[row * n_x + x];
                *core = around(z, n_z).all(|z| {
                    around(y, n_y).all(|y| {
                        let row = &voxels[(z * n_y + y) * n_x..][..n_x];
                        row[around(x, n_x)].iter().all(|&near| near == label)
                    })
                });
            }
        });
    }
    cores
}

/// Notes in `has_core`, for each label from 0 on, whether one of its voxels in `block` has only neighbours of that label.
pub(crate) fn mark_cores(labels: &Volume<u32>, block: &Block, has_core: &mut [bool]) {
    let [z, y, x] = block.clone();
    let cores = cores(labels);
    let part = s![z, y, x];
    let voxels = labels.voxels();
    for (&label, &core) in voxels.slice(part).iter().zip(cores.voxels().slice(part)) {
        has_core[label as usize] |= core;
    }
}

/// Makes of labels the labels + 1 of their cores, 0 elsewhere; labels without core stay whole.
fn keep_cores(labels: &mut Volume<u32>, has_core: &[bool]) {
    let cores = cores(labels);
    if let Some(labels) = labels.voxels_mut().as_slice_mut() {
        labels.par_iter_mut().zip(cores.as_slice()).for_each(|(label, &core)| {
            *label = if core || !has_core[*label as usize] { *label + 1 } else { 0 };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::whole;
    use crate::evidence::Evidence;
    use crate::testing::sized_volume;

    /// Two cells with a border where the image is bright; a block is four voxels.
    fn border_found(bright: usize) -> usize {
        let row = |at: usize| if at == bright { 9_u8 } else { 1 };
        let image = sized_volume([1, 1, 48], (0..48).map(row).collect(), [1.0, 1.0, 0.25]);
        let small = sized_volume([1, 1, 12], [[3; 6], [4; 6]].concat(), [1.0; 3]);
        let directions = small.map(|_| Direction::nearest([0.0, 0.0, 1.0]));
        let sheets = Sheets { evidence: small.map(|_| Evidence::new(1.0)), directions };
        let grid = FullGrid {
            image: &image,
            factors: [1, 1, 4],
            range: (1.0, 9.0),
            width: Width { um: 0.3, is_clear: true },
        };
        let sheets = SmallSheets::InBlocks(sheets);
        let labels = grid.enlarge(small, sheets, &[false, false, false, true, true]).unwrap();
        assert!(labels.as_slice().iter().all(|&label| label == 3 || label == 4));
        labels.as_slice().iter().filter(|label| **label == 3).count()
    }

    #[test]
    fn borders_lie_where_the_image_is_brightest() {
        for bright in [21, 23, 25, 27] {
            let border = border_found(bright);
            assert!((bright..=bright + 1).contains(&border), "{bright}: {border}");
        }
    }

    #[test]
    fn noise_moves_no_borders_of_faint_sheets() {
        let noise = (0..10 * 12 * 14_u64).map(|n| (n * n * 2_654_435_761 % 1009 % 256) as u8);
        let image = sized_volume([10, 12, 14], noise.collect(), [1.0, 0.5, 0.5]);
        let mut small = image.map(|_| 1);
        small.voxels_mut().slice_mut(s![.., .., 8..]).fill(2);
        let width = Width { um: 0.6, is_clear: false };
        let grid = FullGrid { image: &image, factors: [1; 3], range: (0.0, 255.0), width };
        let sheets = Sheets {
            evidence: small.map(|_| Evidence::new(1.0)),
            directions: small.map(|_| Direction::nearest([0.0, 0.0, 1.0])),
        };
        let sheets = grid.borders().needed(|| Ok(sheets)).unwrap();
        assert_eq!(grid.enlarge(small.clone(), sheets, &[false, true, true]).unwrap(), small);
    }

    #[test]
    fn thin_cells_stay() {
        let mut small = sized_volume([1, 1, 5], vec![0, 0, 2, 0, 0], [1.0; 3]);
        let mut has_core = [false; 3];
        mark_cores(&small, &whole(small.shape()), &mut has_core);
        assert_eq!(has_core, [true, false, false]);
        keep_cores(&mut small, &has_core);
        assert_eq!(small.as_slice(), [1, 0, 3, 0, 1]);
    }
}
