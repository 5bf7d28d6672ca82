//! From an experiment to an atlas.
//!
//! [`build`] is the whole of it. Cells come from images or from ready tables ([`from_tables`]) into
//! one [`pool`]; [`learn`] finds the shape spaces and maps every protein onto every cell. What a
//! specimen gave is kept in a [`work`] folder, so that a build that stops goes on where it was.

pub mod from_tables;
pub mod learn;
pub mod pool;
pub mod progress;
pub mod work;

use primordia_data::Experiment;
use primordia_regression::MapParams;

pub use self::progress::{NoProgress, Progress};
pub use self::work::{WorkFolder, WorkKey};
use crate::error::Result;
use crate::file::Atlas;

/// x
pub fn build(
    experiment: &Experiment,
    _work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<Atlas> {
    let pool = from_tables::pool_of_tables(crate::tables::read_tables(experiment)?);
    let learned = learn::learn(&pool, &MapParams::default(), progress)?;
    let mut atlas =
        Atlas::new(experiment.name.clone(), pool.cells.clone(), pool.spatial_um.mapv(|v| v as f32));
    atlas.shape = learned.shape;
    atlas.proteins = learned.proteins;
    atlas.scores = learned.scores;
    atlas.specimens = pool.specimens;
    atlas.arrays = learned.arrays;
    atlas.texts = learned.texts;
    Ok(atlas)
}
