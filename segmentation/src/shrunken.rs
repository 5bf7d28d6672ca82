//! An image of merged voxels, of which none is brighter than its [`ceiling`](crate::ceiling), in little memory.

use ndarray::{Array3, s};
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::block::{Block, sides, whole};
use crate::ceiling::{Bright, Ceiling};
use crate::error::Result;
use crate::hartmann2020::finite_range;
use crate::regions::Part;
use crate::resample::{shrink, shrink_block};
use crate::tiles::Tile;

/// An image whose voxels are merged: kept where that makes it small, else made anew wherever it is asked for.
pub(crate) struct Shrunken<'a, T> {
    full: &'a Volume<T>,
    factors: [usize; 3],
    kept: Option<Volume<f32>>,
    ceiling: Ceiling,
}

impl<'a, T: Copy + Into<f32> + Sync> Shrunken<'a, T> {
    pub(crate) fn new(full: &'a Volume<T>, factors: [usize; 3]) -> Result<Self> {
        if factors == [1; 3] {
            return Ok(Self { full, factors, kept: None, ceiling: Ceiling::of(full)? });
        }
        let mut kept = shrink(full, factors, Into::into)?;
        let ceiling = Ceiling::of(&kept)?;
        if let Some(voxels) = kept.voxels_mut().as_slice_mut() {
            voxels.par_iter_mut().for_each(|value| *value = value.min(ceiling.most));
        }
        let all = Part::whole(kept.shape());
        ceiling.lower_near_lumps(kept.voxels_mut(), &all);
        Ok(Self { full, factors, kept: Some(kept), ceiling })
    }

    pub(crate) fn factors(&self) -> [usize; 3] {
        self.factors
    }

    /// What of it is far brighter than membranes; the rest is forgotten.
    pub(crate) fn into_bright(self) -> Bright {
        self.ceiling.bright
    }

    /// Its shape, and the size of its voxels.
    pub(crate) fn grid(&self) -> ([usize; 3], VoxelSize) {
        let (shape, voxel_size) = (self.full.shape(), self.full.voxel_size());
        self.kept.as_ref().map_or((shape, voxel_size), |kept| (kept.shape(), kept.voxel_size()))
    }

    /// The least and the largest value.
    pub(crate) fn range(&self) -> Result<(f32, f32)> {
        let (low, high) =
            self.kept.as_ref().map_or_else(|| finite_range(self.full), finite_range)?;
        Ok((low, high.min(self.ceiling.most)))
    }

    /// Calls `work` with what is read of it for a tile.
    pub(crate) fn with<U>(
        &self,
        tile: &Tile,
        work: impl FnOnce(&Volume<f32>) -> Result<U>,
    ) -> Result<U> {
        match &self.kept {
            Some(kept) => tile.with(kept, work),
            None => work(&Volume::new(self.block(&tile.around)?, self.full.voxel_size())?),
        }
    }

    /// Some of its voxels.
    pub(crate) fn block(&self, block: &Block) -> Result<Array3<f32>> {
        if let Some(kept) = &self.kept {
            let [z, y, x] = block.clone();
            return Ok(kept.voxels().slice(s![z, y, x]).to_owned());
        }
        let cut = |value: T| value.into().min(self.ceiling.most);
        let mut voxels = shrink_block(self.full, self.factors, block, cut)?;
        let from = block.clone().map(|range| range.start);
        self.ceiling.lower_near_lumps(voxels.view_mut(), &Part { core: whole(sides(block)), from });
        Ok(voxels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sized_volume;

    #[test]
    fn blocks_are_those_of_the_whole() {
        let full = sized_volume([4, 6, 6], (0..144_u8).collect(), [0.5, 0.25, 0.25]);
        for factors in [[1; 3], [1, 2, 3]] {
            let whole = shrink(&full, factors, f32::from).unwrap();
            let image = Shrunken::new(&full, factors).unwrap();
            assert_eq!(image.grid(), (whole.shape(), whole.voxel_size()));
            assert_eq!(image.range().unwrap(), finite_range(&whole).unwrap());
            let found = image.block(&[1..3, 0..2, 1..2]).unwrap();
            assert_eq!(found.view(), whole.voxels().slice(s![1..3, 0..2, 1..2]));
        }
    }

    #[test]
    fn no_voxel_is_brighter_than_the_ceiling() {
        let mut voxels: Vec<f32> =
            (0..4000).map(|at| [8.0, 0.0][usize::from(at % 9 > 0)]).collect();
        voxels[20..24].fill(1000.0);
        let full = sized_volume([10, 20, 20], voxels, [0.5; 3]);
        for factors in [[1; 3], [1, 1, 2]] {
            let image = Shrunken::new(&full, factors).unwrap();
            let high = image.range().unwrap().1;
            assert!((8.0..=24.0).contains(&high), "three times 8 at most: {high}");
            let block = image.block(&[0..1, 0..20, 0..10]).unwrap();
            assert_eq!(block.iter().copied().fold(0.0, f32::max), high);
        }
    }
}
