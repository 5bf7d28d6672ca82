//! From labels on a shrunken grid to the full grid.

use ndarray::Array3;
use primordia_data::Volume;
use rayon::prelude::*;

use crate::error::Result;
use crate::resample::between;
use crate::sheet::Sheets;
use crate::stencil::{Direction, Stencils};
use crate::watershed::flood;

/// Where borders lie is averaged over discs of this radius, in widths of a sheet.
const DISC_WIDTHS: f64 = 1.7;

/// An image and how it was shrunk.
pub(crate) struct FullGrid<'a, T> {
    pub(crate) image: &'a Volume<T>,
    /// How many voxels (z, y, x) became one.
    pub(crate) factors: [usize; 3],
    /// The least and the largest value of the shrunken image.
    pub(crate) range: (f32, f32),
    /// How wide its sheets are.
    pub(crate) width_um: f64,
}

impl<T: Copy + Into<f32> + Sync> FullGrid<'_, T> {
    /// The labels (0 is background) of the shrunken image on the full grid.
    ///
    /// Where a block and all blocks around it have one label, so have their voxels. Elsewhere borders
    /// lie where the image is brightest, averaged along the `sheets` of the shrunken image: a flood
    /// meets there.
    pub(crate) fn enlarge(&self, small: &Volume<u32>, sheets: &Sheets) -> Result<Volume<u32>> {
        let labels = self.enlarge_cores(&cores(small))?;
        let levels = self.brightness(&labels, sheets)?;
        let mut labels = flood(levels, labels)?;
        if let Some(voxels) = labels.voxels_mut().as_slice_mut() {
            voxels.par_iter_mut().for_each(|label| *label -= 1);
        }
        Ok(labels)
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

    /// How bright the sheets are at voxels without label, in steps for the flood; 0 elsewhere.
    fn brightness(&self, labels: &Volume<u32>, sheets: &Sheets) -> Result<Volume<u16>> {
        let shape = self.image.shape();
        let [_, n_y, n_x] = shape;
        let stencils = Stencils::brightness(DISC_WIDTHS * self.width_um, self.image.voxel_size());
        let (low, high) = self.range;
        let per_unit = f32::from(u16::MAX) / (high - low).max(f32::MIN_POSITIVE);
        // Memory is taken only where levels are written.
        let mut levels = Volume::new(Array3::zeros(shape), self.image.voxel_size())?;
        if let Some(levels) = levels.voxels_mut().as_slice_mut() {
            let rows = levels.par_chunks_mut(n_x).zip(labels.as_slice().par_chunks(n_x));
            let rows = rows.enumerate().filter(|(_, (_, labels))| labels.contains(&0));
            rows.for_each(|(row, (levels, labels))| {
                let at = [row / n_y, row % n_y];
                let stencils = stencils.at_row(self.image.as_slice(), shape, at);
                for x in (0..n_x).filter(|&x| labels[x] == 0) {
                    let direction = self.direction(sheets, [at[0], at[1], x]);
                    levels[x] = ((stencils.read(x, direction) - low) * per_unit) as u16;
                }
            });
        }
        Ok(levels)
    }

    /// The direction across the strongest sheet of the blocks that a voxel lies between.
    fn direction(&self, sheets: &Sheets, voxel: [usize; 3]) -> Direction {
        let shape = sheets.evidence.shape();
        let [z, y, x] = [0, 1, 2].map(|axis| {
            let (low, high, share) = between(voxel[axis], self.factors[axis], shape[axis]);
            if share > 0.0 { [low, high] } else { [low; 2] }
        });
        let mut strongest = (f32::MIN, 0);
        for row in z.into_iter().flat_map(|z| y.map(|y| (z * shape[1] + y) * shape[2])) {
            for block in x.map(|x| row + x) {
                let evidence = sheets.evidence.as_slice()[block];
                if evidence > strongest.0 {
                    strongest = (evidence, block);
                }
            }
        }
        sheets.directions.as_slice()[strongest.1]
    }
}

/// The labels + 1 of voxels whose neighbours have the same, 0 elsewhere; thin labels, without any such
/// voxel, stay whole.
fn cores(labels: &Volume<u32>) -> Volume<u32> {
    let [n_z, n_y, n_x] = labels.shape();
    let voxels = labels.as_slice();
    let around = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let mut cores = labels.map(|_| 0);
    if let Some(cores) = cores.voxels_mut().as_slice_mut() {
        cores.par_chunks_mut(n_x).enumerate().for_each(|(row, cores)| {
            let (z, y) = (row / n_y, row % n_y);
            for (x, core) in cores.iter_mut().enumerate() {
                let label = voxels[row * n_x + x];
                let same = around(z, n_z).all(|z| {
                    around(y, n_y).all(|y| {
                        let row = &voxels[(z * n_y + y) * n_x..][..n_x];
                        row[around(x, n_x)].iter().all(|&near| near == label)
                    })
                });
                *core = if same { label + 1 } else { 0 };
            }
        });
        keep_thin(voxels, cores);
    }
    cores
}

fn keep_thin(labels: &[u32], cores: &mut [u32]) {
    let most = labels.par_iter().copied().max().unwrap_or(0) as usize;
    let mut has_core = vec![false; most + 2];
    cores.iter().for_each(|&core| has_core[core as usize] = true);
    cores.par_iter_mut().zip(labels).for_each(|(core, &label)| {
        if !has_core[label as usize + 1] {
            *core = label + 1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

    /// Two cells with a border where the image is bright; a block is four voxels.
    fn border_found(bright: usize) -> usize {
        let row = |at: usize| if at == bright { 9_u8 } else { 1 };
        let image = sized_volume([1, 1, 48], (0..48).map(row).collect(), [1.0, 1.0, 0.25]);
        let small = sized_volume([1, 1, 12], [[3; 6], [4; 6]].concat(), [1.0; 3]);
        let directions = small.map(|_| Direction::nearest([0.0, 0.0, 1.0]));
        let sheets = Sheets { evidence: small.map(|_| 1.0), directions };
        let grid = FullGrid { image: &image, factors: [1, 1, 4], range: (1.0, 9.0), width_um: 0.3 };
        let labels = grid.enlarge(&small, &sheets).unwrap();
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
    fn thin_cells_stay() {
        let small = sized_volume([1, 1, 5], vec![0, 0, 7, 0, 0], [1.0; 3]);
        assert_eq!(cores(&small).as_slice(), [1, 0, 8, 0, 1]);
    }
}
