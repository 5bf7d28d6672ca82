//! From an experiment to an atlas.
//!
//! [`build`] is the whole of it. Cells come from images ([`specimen`], one at a time, then
//! [`from_images`]) or from ready tables ([`from_tables`]) into one [`pool`]; [`mod@learn`] finds the
//! shape spaces and maps every protein onto every cell. What a specimen gave is kept in a [`work`]
//! folder, so that a build that stops goes on where it was.

pub mod bounded;
pub mod cells;
pub mod from_images;
pub mod from_tables;
pub mod learn;
pub mod pool;
pub mod progress;
pub mod specimen;
pub mod surface;
mod tissue_size;
pub mod work;

use std::collections::{BTreeMap, BTreeSet};

use primordia_data::Experiment;
use primordia_features::LandmarkParams;
use primordia_regression::MapParams;

use self::from_images::{Embedded, is_measured, pool_of_images};
use self::from_tables::pool_of_tables;
use self::learn::{Learned, learn};
use self::pool::{Block, Pool};
pub use self::progress::{NoProgress, Progress};
use self::specimen::{SpecimenCells, SpecimenParams, specimen_cells};
use self::surface::{HARMONICS, harmonics_params, layout_params};
pub use self::work::{WorkFolder, WorkKey};
use crate::error::{AtlasError, Result};
use crate::file::{Atlas, Column, FeatureMatrix, Provenance};
use crate::tables::read_tables;

/// Builds the atlas of an experiment; what is finished in `work` is not done again.
///
/// # Errors
/// [`AtlasError`] for whatever is wrong with a specimen or a table: it names the file.
pub fn build(experiment: &Experiment, work: &WorkFolder, progress: &dyn Progress) -> Result<Atlas> {
    let tables = read_tables(experiment)?;
    check_specimens(experiment, tables.specimens.iter().map(|specimen| &*specimen.id))?;
    let images = imaged_cells(experiment, work, progress)?;
    let Embedded { pool, arrays } = pool_of_images(&images, experiment.seed, progress)?;
    drop(images);
    let pool = joined(pool, pool_of_tables(tables), experiment)?;
    if pool.cells.is_empty() {
        return Err(AtlasError::EmptyExperiment { path: experiment.file.clone() });
    }
    let params = MapParams::default();
    let learned = learn(&pool, &params, progress)?;
    let atlas = assembled(experiment, pool, learned, arrays, &params);
    atlas.check()?;
    Ok(atlas)
}

/// Each imaged specimen's cells, one specimen at a time, all cores on it.
fn imaged_cells<'e>(
    experiment: &'e Experiment,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<Vec<(&'e primordia_data::experiment::Specimen, SpecimenCells)>> {
    let params = SpecimenParams {
        landmarks: LandmarkParams { seed: experiment.seed, ..LandmarkParams::default() },
        harmonics: harmonics_params(),
        layout: layout_params(),
        ..SpecimenParams::default()
    };
    if experiment.specimens.is_empty() {
        return Ok(Vec::new());
    }
    progress.begin("specimens", experiment.specimens.len());
    let mut images = Vec::new();
    for specimen in &experiment.specimens {
        let cells = specimen_cells(experiment, specimen, &params, work, progress)?;
        images.push((specimen, cells));
        progress.advance();
    }
    let n_cells: usize = images.iter().map(|(_, cells)| cells.labels.len()).sum();
    progress.end(&format!("{n_cells} cells in {} specimens", images.len()));
    check_wanted_proteins(experiment, &images)?;
    Ok(images)
}

/// Every protein that the experiment names must be a channel of some specimen.
fn check_wanted_proteins(
    experiment: &Experiment,
    images: &[(&primordia_data::experiment::Specimen, SpecimenCells)],
) -> Result<()> {
    let imaged: BTreeSet<&String> =
        images.iter().flat_map(|(_, cells)| cells.landmarks.keys()).collect();
    match experiment.proteins.iter().flatten().find(|protein| !imaged.contains(protein)) {
        Some(protein) => Err(AtlasError::NoSuchProtein {
            path: experiment.file.clone(),
            protein: protein.clone(),
        }),
        None => Ok(()),
    }
}

/// No specimen may come both from an image and from a table.
fn check_specimens<'t>(
    experiment: &Experiment,
    of_tables: impl Iterator<Item = &'t str>,
) -> Result<()> {
    let imaged: BTreeSet<&str> =
        experiment.specimens.iter().map(|specimen| &*specimen.id).collect();
    for specimen in of_tables {
        if imaged.contains(specimen) {
            let (path, specimen) = (experiment.file.clone(), specimen.to_owned());
            return Err(AtlasError::SpecimenTwice { path, specimen });
        }
    }
    Ok(())
}

/// Cells of images and of tables together. Embeddings of one name must be of one space.
fn joined(images: Pool, tables: Pool, experiment: &Experiment) -> Result<Pool> {
    let harmonics = (!images.cells.is_empty()).then_some((HARMONICS, &images.harmonics));
    let of_images = images.shape.iter().map(|(name, block)| (name.as_str(), block));
    for (name, block) in of_images.chain(harmonics) {
        let other = tables.shape.get(name);
        if other.is_some_and(|other| name == HARMONICS || other.names != block.names) {
            let (path, space) = (experiment.file.clone(), name.to_owned());
            return Err(AtlasError::MixedSpaces { path, space });
        }
    }
    Ok(images.joined(tables))
}

fn assembled(
    experiment: &Experiment,
    pool: Pool,
    learned: Learned,
    mut arrays: BTreeMap<String, ndarray::ArrayD<f64>>,
    params: &MapParams,
) -> Atlas {
    let to_f32 = |values: &ndarray::Array2<f64>| values.mapv(|value| value as f32);
    let features = Block::beside(&pool.features, &pool.intensities);
    let mut columns = pool.columns;
    columns.extend(attribute_columns(&pool.cells, &pool.specimens));
    arrays.extend(learned.arrays);
    let mut atlas = Atlas::new(experiment.name.clone(), pool.cells, to_f32(&pool.spatial_um));
    atlas.features = FeatureMatrix { values: to_f32(&features.values), names: features.names };
    atlas.image_um =
        pool.image_um.iter().any(|value| value.is_finite()).then(|| to_f32(&pool.image_um));
    atlas.columns = columns;
    atlas.shape = learned.shape;
    atlas.proteins = learned.proteins;
    atlas.contacts = pool.contacts;
    atlas.scores = learned.scores;
    atlas.arrays = arrays;
    atlas.texts = learned.texts;
    atlas.provenance = provenance(experiment, &pool.specimens, params);
    atlas.specimens = pool.specimens;
    atlas
}

/// What the experiment file says of specimens, as columns of their cells.
fn attribute_columns(
    cells: &[primordia_data::CellId],
    specimens: &[crate::file::Specimen],
) -> Vec<Column> {
    let keys = specimens.iter().flat_map(|specimen| specimen.attributes.keys());
    let keys: BTreeSet<&String> = keys.filter(|key| !is_measured(key)).collect();
    let by_id: BTreeMap<&str, &crate::file::Specimen> =
        specimens.iter().map(|specimen| (specimen.id.as_str(), specimen)).collect();
    keys.into_iter()
        .map(|key| {
            let value = |cell: &primordia_data::CellId| {
                by_id.get(&*cell.specimen).and_then(|s| s.attributes.get(key)).cloned()
            };
            Column::text(key.clone(), cells.iter().map(value).collect())
        })
        .collect()
}

fn provenance(
    experiment: &Experiment,
    specimens: &[crate::file::Specimen],
    params: &MapParams,
) -> Provenance {
    let parameters = serde_json::json!({
        "segmentation": format!("{:?}", experiment.segmentation),
        "measure": format!("{:?}", primordia_features::MeasureParams::default()),
        "landmarks_per_cell": LandmarkParams::default().n_landmarks,
        "embedding": format!("{:?}", primordia_features::CbeParams::in_frame(primordia_features::CbeFrame::Tissue)),
        "harmonics": format!("{:?}", harmonics_params()),
        "layout": format!("{:?}", layout_params()),
        "folds": params.n_folds,
        "interval_coverage": params.coverage,
        "regressor": format!("{:?}", params.regressor),
    });
    Provenance {
        primordia_version: env!("CARGO_PKG_VERSION").to_owned(),
        experiment: std::fs::read_to_string(&experiment.file).unwrap_or_default(),
        parameters_json: parameters.to_string(),
        command: "primordia build".to_owned(),
        seed: experiment.seed,
        input_hashes: specimens
            .iter()
            .filter(|specimen| !specimen.input_hash.is_empty())
            .map(|specimen| (specimen.source.clone(), specimen.input_hash.clone()))
            .collect(),
    }
}
