//! What every stage of Primordia shares: volumes, labels, frames, cell tables, experiment
//! files, image formats and phantoms.
//!
//! Where to start: a [`Volume`] is a 3D image with its physical [`VoxelSize`]; [`Labels`] are its
//! cells; a [`Rigid`] motion takes points from one frame to another; a [`CellTable`] holds one
//! row per cell. [`image`] reads and writes files, [`experiment`] says which files make an atlas,
//! and [`phantom`] makes tissues whose answers are known.
//!
//! Triples are `[z, y, x]`, as arrays are. Points are `x, y, z` in µm from the centre of voxel
//! `[0, 0, 0]`. Only [`volume`] converts between the two.

pub mod advice;
mod document;
pub mod edits;
pub mod error;
pub mod experiment;
pub mod frame;
pub mod hdf5_heap;
pub mod image;
pub mod labels;
pub mod linear;
mod lock;
pub mod phantom;
mod positioned;
pub mod principal_components;
mod replace;
pub mod scratch;
pub mod table;
pub mod volume;

pub use edits::{CellName, Edit, EditLog};
pub use error::{DataError, Result};
pub use experiment::Experiment;
pub use frame::{CellFrame, ImageFrame, PointCloud, Rigid, TissueFrame};
pub use labels::Labels;
pub use lock::FileLock;
pub use principal_components::PrincipalComponents;
pub use replace::{new_folder, replace_file};
pub use scratch::{Scratch, ScratchVolume};
pub use table::{CellId, CellTable};
pub use volume::{Volume, VoxelSize};
