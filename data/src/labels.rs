//! The cells of a volume, each voxel with the number of its cell.

use ndarray::Array3;
use rayon::prelude::*;

use crate::error::Result;
use crate::volume::{Volume, VoxelSize};

/// A label image: 0 is background, every other number one cell. Numbers need not follow one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    volume: Volume<u32>,
    cells: Vec<u32>, // ascending, without 0
}

impl Labels {
    /// The cells of a label image.
    pub fn new(volume: Volume<u32>) -> Self {
        let cells = cells_of(volume.as_slice());
        Self { volume, cells }
    }

    /// The cells of `voxels` (`[z, y, x]`), each of `voxel_size`.
    ///
    /// # Errors
    /// [`crate::DataError::EmptyVolume`] if an axis has no voxel.
    pub fn from_voxels(voxels: Array3<u32>, voxel_size: VoxelSize) -> Result<Self> {
        Ok(Self::new(Volume::new(voxels, voxel_size)?))
    }

    /// The label image.
    pub fn volume(&self) -> &Volume<u32> {
        &self.volume
    }

    /// The label image, handed over.
    pub fn into_volume(self) -> Volume<u32> {
        self.volume
    }

    /// The label of every cell, ascending.
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// Where each label stands in [`Labels::cells`].
    pub fn rows(&self) -> LabelRows {
        LabelRows::new(&self.cells)
    }

    /// The same cells numbered 1..=n in their order.
    pub fn renumbered(&self) -> Self {
        let rows = self.rows();
        let volume = self.volume.map(|&label| rows.row(label).map_or(0, |row| row as u32 + 1));
        Self { volume, cells: (1..=self.cells.len() as u32).collect() }
    }
}

/// From a label to its row among the cells of a label image.
#[derive(Clone, Debug)]
pub struct LabelRows {
    dense: Vec<u32>,
    sparse: Vec<u32>,
}

impl LabelRows {
    /// Labels up to this many times the number of cells are looked up in a table, others searched.
    const DENSE: usize = 64;

    fn new(cells: &[u32]) -> Self {
        let largest = cells.last().map_or(0, |&label| label as usize);
        if largest > Self::DENSE * (cells.len() + 1024) {
            return Self { dense: Vec::new(), sparse: cells.to_vec() };
        }
        let mut dense = vec![u32::MAX; largest + 1];
        for (row, &label) in cells.iter().enumerate() {
            dense[label as usize] = row as u32;
        }
        Self { dense, sparse: Vec::new() }
    }

    /// The row of `label`; `None` for background and unknown labels.
    #[inline]
    pub fn row(&self, label: u32) -> Option<usize> {
        if self.dense.is_empty() {
            return self.sparse.binary_search(&label).ok();
        }
        match self.dense.get(label as usize) {
            None | Some(&u32::MAX) => None,
            Some(&row) => Some(row as usize),
        }
    }
}

/// The distinct non-zero values, ascending.
fn cells_of(voxels: &[u32]) -> Vec<u32> {
    const CHUNK: usize = 1 << 20;
    let mut cells = voxels
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut seen = std::collections::HashSet::new();
            let mut previous = 0;
            for &label in chunk {
                if label != previous {
                    seen.insert(label);
                    previous = label;
                }
            }
            seen
        })
        .reduce(Default::default, |a, b| {
            let (mut large, small) = if a.len() < b.len() { (b, a) } else { (a, b) };
            large.extend(small);
            large
        })
        .into_iter()
        .filter(|&label| label != 0)
        .collect::<Vec<_>>();
    cells.sort_unstable();
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[u32]) -> Labels {
        let voxels = Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap();
        Labels::from_voxels(voxels, VoxelSize::from_um([1.0; 3]).unwrap()).unwrap()
    }

    #[test]
    fn cells_keep_their_numbers() {
        let labels = labels(&[0, 7, 7, 3, 4_000_000_000, 0]);
        assert_eq!(labels.cells(), [3, 7, 4_000_000_000]);
        assert_eq!(labels.rows().row(4_000_000_000), Some(2));
        assert_eq!(labels.rows().row(0), None);
        assert_eq!(labels.rows().row(5), None);
    }

    #[test]
    fn renumbering_keeps_the_cells_and_closes_the_gaps() {
        assert_eq!(labels(&[0, 7, 3]).renumbered().volume().as_slice(), [0, 2, 1]);
    }
}
