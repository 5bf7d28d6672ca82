//! What follows from shape: the shape spaces, and every protein on every cell.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayD, ArrayView2, Axis, s};
use primordia_data::{DataError, PrincipalComponents};
use primordia_regression::map::{Cells, MapValidation, Measured as MeasuredCells};
use primordia_regression::{Baseline, MapParams, ProteinMap, map_protein};

use super::pool::{Block, Pool, ProteinBlocks};
use super::progress::Progress;
use super::surface::{DEVIATIONS, HARMONICS};
use crate::error::{AtlasError, Result};
use crate::file::{FittedSpace, Protein, Score, ShapeBlock};

/// The features of a cell's size and orientation, a baseline that a prediction has to beat.
const SIZE_AND_ORIENTATION: [&str; 9] = [
    "volume_um3",
    "surface_marching_cubes_um2",
    "axis_major_um",
    "axis_medium_um",
    "axis_minor_um",
    "longest_extension_um",
    "orientation_x",
    "orientation_y",
    "orientation_z",
];

/// What was learned from a pool.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Where cells lie in each shape space.
    pub shape: Vec<ShapeBlock>,
    /// Proteins, predicted in all cells.
    pub proteins: Vec<Protein>,
    /// How well, beside baselines.
    pub scores: Vec<Score>,
    /// The models' numbers by path, such as `models/actin/tissue/weights`.
    pub arrays: BTreeMap<String, ArrayD<f64>>,
    /// The names of the models' inputs, by path.
    pub texts: BTreeMap<String, Vec<String>>,
}

/// The inputs of a prediction, and of the baselines beside it.
struct Inputs {
    shape: Block,
    position: Block,
    size_and_orientation: Block,
}

/// Learns the shape spaces and the proteins of a pool.
///
/// A protein is predicted from all that is known of shape (the embeddings, the engineered features)
/// and position, never from any channel's intensity.
///
/// # Errors
/// [`AtlasError::Learn`] with the protein that could not be learned.
pub fn learn(pool: &Pool, params: &MapParams, progress: &dyn Progress) -> Result<Learned> {
    let mut learned = Learned { shape: shape_spaces(pool)?, ..Learned::default() };
    if let Some(surfaces) = learned.shape.iter().find(|block| block.name == HARMONICS) {
        let deviations = deviations(&surfaces.scores, &pool.trusted);
        learned.arrays.insert(DEVIATIONS.to_owned(), deviations.into_dyn());
    }
    let inputs = Inputs::of(pool);
    learned.texts.insert("models/inputs".to_owned(), inputs.shape.names.clone());
    let n_targets = pool.proteins.values().map(BTreeMap::len).sum();
    progress.begin("learning", n_targets);
    for (name, blocks) in &pool.proteins {
        let mut maps = Vec::new();
        for (target, block) in blocks {
            progress.step(&format!("{name}, {target}"));
            let map = map_target(pool, &inputs, block, params)
                .map_err(|source| AtlasError::Learn { protein: name.clone(), source })?;
            learned.scores.extend(scores(name, target, block, &map));
            keep_model(&mut learned.arrays, &format!("models/{name}/{target}"), &map);
            maps.push(map);
            progress.advance();
        }
        learned.proteins.push(joined(name, blocks, &maps, pool.n_cells()));
    }
    progress.end(&format!("{} proteins on {} cells", learned.proteins.len(), pool.n_cells()));
    Ok(learned)
}

impl Inputs {
    fn of(pool: &Pool) -> Self {
        let position = pool.positions();
        let mut blocks: Vec<(&str, &Block)> =
            pool.shape.iter().map(|(name, block)| (name.as_str(), block)).collect();
        blocks.push(("features", &pool.features));
        blocks.push(("position", &position));
        let shape = Block::side_by_side(blocks).filled(&pool.trusted);
        let size_and_orientation =
            pool.features.select(&SIZE_AND_ORIENTATION).filled(&pool.trusted);
        Self { shape, position: position.filled(&pool.trusted), size_and_orientation }
    }
}

/// How principal components are found: standardised, or of columns of one unit.
type Fit = fn(ArrayView2<f64>, Option<usize>) -> Result<PrincipalComponents, DataError>;

/// One space per embedding, of standardised columns; and one of the surfaces, whose coefficients are
/// all in µm. Harmonics are orthonormal, so that distances in the latter are root mean squares of
/// differences of radii over all directions.
fn shape_spaces(pool: &Pool) -> Result<Vec<ShapeBlock>> {
    // `tissue` before `cell`: the first is meant where none is named.
    let embeddings = pool.shape.iter().rev();
    let embeddings =
        embeddings.map(|(name, block)| (name.as_str(), block, PrincipalComponents::fit as Fit));
    let surfaces = (HARMONICS, &pool.harmonics, PrincipalComponents::fit_unscaled as Fit);
    let spaces = embeddings
        .chain([surfaces])
        .filter_map(|(name, block, fit)| shape_space(name, block, &pool.trusted, fit).transpose());
    spaces.collect()
}

/// The space of trusted cells, and where all cells that have every feature lie in it; none where there
/// are too few cells, or all are alike.
pub(crate) fn shape_space(
    name: &str,
    block: &Block,
    trusted: &[bool],
    fit: Fit,
) -> Result<Option<ShapeBlock>> {
    let complete = block.complete_rows();
    let known: Vec<usize> = (0..complete.len()).filter(|&row| complete[row]).collect();
    let rows: Vec<usize> = known.iter().copied().filter(|&row| trusted[row]).collect();
    if rows.len() < 3 || block.names.is_empty() {
        return Ok(None);
    }
    let space = match fit(block.values.select(Axis(0), &rows).view(), None) {
        Err(DataError::NoVariance { .. }) => return Ok(None),
        space => space?,
    };
    let mut scores = Array2::from_elem((complete.len(), space.n_components()), f32::NAN);
    let found = space.transform(block.values.select(Axis(0), &known).view());
    for (&row, values) in known.iter().zip(found.rows()) {
        scores.row_mut(row).assign(&values.mapv(|value| value as f32));
    }
    let space = FittedSpace {
        input_names: block.names.clone(),
        mean: space.mean,
        scale: space.scale,
        components: space.components,
        explained_variance_ratio: space.explained_variance_ratio,
    };
    Ok(Some(ShapeBlock { name: name.to_owned(), scores, space: Some(space) }))
}

/// The standard deviation of trusted cells along each axis of a space.
pub(crate) fn deviations(scores: &Array2<f32>, trusted: &[bool]) -> Array1<f64> {
    let known = |&row: &usize| trusted[row] && scores.row(row).iter().all(|s| s.is_finite());
    let rows: Vec<usize> = (0..trusted.len()).filter(known).collect();
    scores.select(Axis(0), &rows).mapv(f64::from).std_axis(Axis(0), 0.0)
}

fn map_target(
    pool: &Pool,
    inputs: &Inputs,
    block: &Block,
    params: &MapParams,
) -> primordia_regression::Result<ProteinMap> {
    let complete = block.complete_rows();
    let rows: Vec<usize> = (0..pool.n_cells()).filter(|&row| complete[row]).collect();
    let measured = block.values.select(Axis(0), &rows);
    let specimens = pool.specimen_names();
    let baselines: Vec<Baseline> =
        [("position", &inputs.position), ("size_orientation", &inputs.size_and_orientation)]
            .into_iter()
            .filter(|(_, block)| !block.names.is_empty())
            .map(|(name, block)| Baseline { name, features: block.values.view() })
            .collect();
    let cells =
        Cells { specimens: &specimens, shape: inputs.shape.values.view(), baselines: &baselines };
    map_protein(&cells, &MeasuredCells { rows: &rows, protein: measured.view() }, params)
}

/// One row for the model and one for each baseline; none where nothing could be held out.
fn scores(protein: &str, target: &str, block: &Block, map: &ProteinMap) -> Vec<Score> {
    let Some(validation) = &map.validation else { return Vec::new() };
    let n_cells = block.complete_rows().iter().filter(|complete| **complete).count();
    let MapValidation { shape, baselines, n_specimens, .. } = validation;
    let all = std::iter::once(("shape", &shape.score))
        .chain(baselines.iter().map(|(name, score)| (name.as_str(), score)));
    all.map(|(model, score)| Score {
        protein: protein.to_owned(),
        target: target.to_owned(),
        model: model.to_owned(),
        r2_mean: score.mean(),
        r2_sd: score.sd(),
        folds: score.folds.len(),
        n_cells,
        n_specimens: *n_specimens,
        best_reachable_r2: None,
    })
    .collect()
}

/// The numbers that make the prediction of a protein from the standardised inputs.
fn keep_model(arrays: &mut BTreeMap<String, ArrayD<f64>>, path: &str, map: &ProteinMap) {
    let mut keep = |name: &str, array: ArrayD<f64>| arrays.insert(format!("{path}/{name}"), array);
    let model = &map.model;
    keep("penalty", Array1::from_elem(1, model.ridge.penalty).into_dyn());
    keep("weights", model.ridge.weights.clone().into_dyn());
    keep("weights_intercept", model.ridge.target_means.clone().into_dyn());
    keep("weights_input_means", model.ridge.input_means.clone().into_dyn());
    for (name, space) in [("shape", &model.shape_space), ("protein", &model.protein_space)] {
        keep(&format!("{name}_mean"), space.mean.clone().into_dyn());
        keep(&format!("{name}_scale"), space.scale.clone().into_dyn());
        keep(&format!("{name}_components"), space.components.clone().into_dyn());
    }
}

/// All targets of a protein side by side, columns named `target.feature`.
fn joined(name: &str, blocks: &ProteinBlocks, maps: &[ProteinMap], n_cells: usize) -> Protein {
    let measured =
        Block::side_by_side(blocks.iter().map(|(target, block)| (target.as_str(), block)));
    let side_by_side = |part: fn(&ProteinMap) -> &Array2<f64>| {
        let mut all = Array2::zeros((n_cells, measured.names.len()));
        let mut at = 0;
        for values in maps.iter().map(part) {
            let end = at + values.ncols();
            all.slice_mut(s![.., at..end]).assign(&values.mapv(|value| value as f32));
            at = end;
        }
        all
    };
    Protein {
        name: name.to_owned(),
        feature_names: measured.names.clone(),
        measured: measured.values.mapv(|value| value as f32),
        predicted: side_by_side(|map| &map.predicted),
        lower: side_by_side(|map| &map.lower),
        upper: side_by_side(|map| &map.upper),
    }
}
