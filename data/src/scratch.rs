//! Volumes that wait on disk because they do not fit in memory.
//!
//! Their files have no name: they are gone when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use ndarray::Array3;

use crate::error::{DataError, Result};
use crate::positioned::{read_exact_at, write_all_at};
use crate::replace::folder_of;
use crate::volume::{Volume, VoxelSize};

/// A place for volumes that wait on disk.
#[derive(Clone, Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// In the folder of `path`: where a file is about to be written, there is room.
    pub fn beside(path: &Path) -> Self {
        Self { folder: folder_of(path) }
    }

    /// A volume of zeros.
    ///
    /// # Errors
    /// [`DataError::EmptyVolume`] if an axis has no voxel, [`DataError::Scratch`] if no file can be made.
    pub fn volume<T: Pod>(
        &self,
        shape: [usize; 3],
        voxel_size: VoxelSize,
    ) -> Result<ScratchVolume<T>> {
        if shape.contains(&0) {
            return Err(DataError::EmptyVolume { shape });
        }
        let n_bytes = shape.iter().map(|&n| n as u64).product::<u64>() * size_of::<T>() as u64;
        let file = tempfile::tempfile_in(&self.folder)
            .and_then(|file| file.set_len(n_bytes).map(|()| file))
            .map_err(|source| DataError::Scratch { folder: self.folder.clone(), source })?;
        let folder = self.folder.clone();
        Ok(ScratchVolume { file, folder, shape, voxel_size, voxels: PhantomData })
    }
}

/// A volume on disk: its voxels come and go in blocks, `[z, y, x]`.
#[derive(Debug)]
pub struct ScratchVolume<T> {
    file: File,
    folder: PathBuf,
    shape: [usize; 3],
    voxel_size: VoxelSize,
    voxels: PhantomData<T>,
}

impl<T: Pod> ScratchVolume<T> {
    /// Voxels along `[z, y, x]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// The physical size of a voxel.
    pub fn voxel_size(&self) -> VoxelSize {
        self.voxel_size
    }

    /// The voxels between two along z, y and x.
    ///
    /// # Errors
    /// [`DataError::Scratch`] if the disk refuses, [`DataError::EmptyVolume`] for a block without voxels.
    ///
    /// # Panics
    /// If the block reaches beyond the volume.
    pub fn read(&self, block: &[Range<usize>; 3]) -> Result<Volume<T>> {
        let shape = block.clone().map(|range| range.len());
        let mut voxels = Array3::from_elem(shape, T::zeroed());
        if let Some(voxels) = voxels.as_slice_mut() {
            self.for_runs(block, |at, run| {
                read_exact_at(&self.file, bytemuck::cast_slice_mut(&mut voxels[run]), at)
            })?;
        }
        Volume::new(voxels, self.voxel_size)
    }

    /// Puts voxels in their place, the first at `from`.
    ///
    /// # Errors
    /// [`DataError::Scratch`] if the disk refuses or is full.
    ///
    /// # Panics
    /// If they reach beyond the volume.
    pub fn write(&self, from: [usize; 3], voxels: &Volume<T>) -> Result<()> {
        let shape = voxels.shape();
        let block = [0, 1, 2].map(|axis| from[axis]..from[axis] + shape[axis]);
        self.for_runs(&block, |at, run| {
            write_all_at(&self.file, bytemuck::cast_slice(&voxels.as_slice()[run]), at)
        })
    }

    /// Calls `work` for the runs of voxels of a block that lie together: where in the file, and which of the block's.
    fn for_runs(
        &self,
        block: &[Range<usize>; 3],
        mut work: impl FnMut(u64, Range<usize>) -> io::Result<()>,
    ) -> Result<()> {
        let [_, n_y, n_x] = self.shape;
        for (range, n) in block.iter().zip(self.shape) {
            assert!(range.end <= n, "{block:?} reaches beyond {:?}", self.shape);
        }
        let [zs, ys, xs] = block.clone();
        // Whole rows lie together with the next, whole planes too.
        let (rows, planes) = match (xs.len() == n_x, ys.len() == n_y) {
            (true, true) => (ys.len(), zs.len()),
            (true, false) => (ys.len(), 1),
            _ => (1, 1),
        };
        let mut done = 0;
        for z in zs.step_by(planes.max(1)) {
            for y in ys.clone().step_by(rows.max(1)) {
                let length = planes * rows * xs.len();
                let at = ((z * n_y + y) * n_x + xs.start) as u64 * size_of::<T>() as u64;
                work(at, done..done + length)
                    .map_err(|source| DataError::Scratch { folder: self.folder.clone(), source })?;
                done += length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::s;
    use proptest::prelude::*;

    fn any_range(n: usize) -> impl Strategy<Value = Range<usize>> {
        (0..n, 0..n).prop_map(|(a, b)| a.min(b)..a.max(b) + 1)
    }

    proptest! {
        /// A block that is written changes these voxels and no others.
        #[test]
        fn blocks_come_back(
            written in (any_range(4), any_range(5), any_range(6)),
            read in (any_range(4), any_range(5), any_range(6)),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let size = VoxelSize::from_um([1.0; 3]).unwrap();
            let scratch = Scratch::beside(&folder.path().join("labels.tif"));
            let volume = scratch.volume::<u16>([4, 5, 6], size).unwrap();
            let mut whole = Array3::from_shape_fn((4, 5, 6), |(z, y, x)| (100 * z + 10 * y + x) as u16);
            volume.write([0; 3], &Volume::new(whole.clone(), size).unwrap()).unwrap();
            let (z, y, x) = written;
            whole.slice_mut(s![z.clone(), y.clone(), x.clone()]).mapv_inplace(|value| value + 1000);
            let part = Volume::new(whole.slice(s![z.clone(), y.clone(), x.clone()]).to_owned(), size).unwrap();
            volume.write([z.start, y.start, x.start], &part).unwrap();
            let (z, y, x) = read;
            let found = volume.read(&[z.clone(), y.clone(), x.clone()]).unwrap();
            prop_assert_eq!(found.voxels().view(), whole.slice(s![z, y, x]));
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let scratch = Scratch::beside(Path::new("/nowhere/labels.tif"));
        let error =
            scratch.volume::<u8>([1; 3], VoxelSize::from_um([1.0; 3]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
