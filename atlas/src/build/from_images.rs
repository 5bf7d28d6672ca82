//! The cells of imaged specimens, embedded in common shape spaces, as a pool.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayD};
use primordia_data::experiment::Specimen as Imaged;
use primordia_data::{CellId, PointCloud, TissueFrame};
use primordia_features::{CbeFrame, CbeParams, CbeSpace};
use primordia_registration::residuals_um;

use super::from_tables::attribute_text;
use super::pool::{Block, Pool, ProteinBlocks};
use super::progress::Progress;
use super::specimen::{Columns, SHAPE, SpecimenCells};
use super::surface::LAYOUT;
use super::tissue_size::{TISSUE_SIZE, tissue_attributes};
use crate::error::Result;
use crate::file::{Column, Contacts, Specimen};

/// The frames of the embeddings, by the names of their blocks.
const FRAMES: [(&str, CbeFrame); 2] = [("tissue", CbeFrame::Tissue), ("cell", CbeFrame::Cell)];
/// What is predicted of a protein's brightness. Sums are left out: they follow the volume.
const MEANS: [&str; 5] =
    ["mean_whole", "mean_membrane", "mean_inside", "mean_apical", "mean_basal"];

/// A pool and the fitted spaces of its embeddings, by path.
pub struct Embedded {
    /// The cells.
    pub pool: Pool,
    /// Reference centres and standardisations by path, such as `embeddings/shape/tissue/centres`.
    pub arrays: BTreeMap<String, ArrayD<f64>>,
}

/// Pools the cells of imaged specimens and embeds them in spaces learned from all of them.
///
/// # Errors
/// [`crate::AtlasError::Feature`] if there are too few landmarks to learn a space from.
pub fn pool_of_images(
    specimens: &[(&Imaged, SpecimenCells)],
    seed: u64,
    progress: &dyn Progress,
) -> Result<Embedded> {
    let mut arrays = BTreeMap::new();
    if specimens.is_empty() {
        return Ok(Embedded { pool: Pool::default(), arrays });
    }
    let cells: Vec<&SpecimenCells> = specimens.iter().map(|(_, cells)| cells).collect();
    let proteins: BTreeSet<&String> =
        cells.iter().flat_map(|c| c.landmarks.keys()).filter(|name| *name != SHAPE).collect();
    progress.begin("embedding", FRAMES.len() * (1 + proteins.len()));
    let shape = embeddings(&cells, SHAPE, seed, &mut arrays, progress)?;
    let intensities = stacked(&cells, |c| &c.intensities);
    let mut blocks = BTreeMap::new();
    for protein in proteins {
        let mut targets = embeddings(&cells, protein, seed, &mut arrays, progress)?;
        targets.insert("intensity".to_owned(), means(&intensities, protein));
        targets.insert(LAYOUT.to_owned(), layouts(&cells, protein));
        blocks.insert(protein.clone(), targets);
    }
    let n_cells: usize = cells.iter().map(|c| c.labels.len()).sum();
    progress.end(&format!("{n_cells} cells in {} shape spaces", FRAMES.len()));
    let pool = Pool {
        cells: cell_ids(specimens),
        features: stacked(&cells, |c| &c.features),
        intensities,
        shape,
        harmonics: stacked(&cells, |c| &c.harmonics),
        proteins: blocks,
        spatial_um: coordinates(&cells, |c| &c.tissue_um),
        image_um: coordinates(&cells, |c| &c.image_um),
        trusted: cells.iter().flat_map(|c| c.whole.iter().copied()).collect(),
        columns: columns(&cells),
        contacts: Some(contacts(&cells)),
        specimens: described(specimens),
    };
    Ok(Embedded { pool, arrays })
}

/// The embeddings of `what` in every frame; NaN in cells without landmarks.
fn embeddings(
    cells: &[&SpecimenCells],
    what: &str,
    seed: u64,
    arrays: &mut BTreeMap<String, ArrayD<f64>>,
    progress: &dyn Progress,
) -> Result<ProteinBlocks> {
    let clouds: Vec<PointCloud<TissueFrame>> = cells
        .iter()
        .flat_map(|c| {
            c.clouds(what).unwrap_or_else(|| vec![PointCloud::new(Vec::new()); c.labels.len()])
        })
        .collect();
    let mut blocks = ProteinBlocks::new();
    for (name, frame) in FRAMES {
        progress.step(&format!("{what} in the {name} frame"));
        let params = CbeParams { seed, ..CbeParams::in_frame(frame) };
        let (space, values) = CbeSpace::fit_embed(&clouds, &params)?;
        let path = format!("embeddings/{what}/{name}");
        arrays.insert(format!("{path}/centres"), space.centres().clone().into_dyn());
        arrays
            .insert(format!("{path}/standardisation"), space.standardisation().clone().into_dyn());
        let block = Block { names: embedding_names(space.n_features()), values };
        blocks.insert(name.to_owned(), block);
        progress.advance();
    }
    Ok(blocks)
}

/// The features of an embedding: from each reference centre a vector to the nearest landmarks.
fn embedding_names(n_features: usize) -> Vec<String> {
    (0..n_features).map(|i| format!("centre{:02}_{}", i / 3 + 1, ["x", "y", "z"][i % 3])).collect()
}

/// Where in its cells a protein lies; NaN in specimens in which it was not imaged.
fn layouts(cells: &[&SpecimenCells], protein: &str) -> Block {
    let blocks: Vec<Block> = cells
        .iter()
        .map(|c| match c.layouts.get(protein) {
            Some(columns) => block(columns, c.labels.len()),
            None => Block { names: Vec::new(), values: Array2::zeros((c.labels.len(), 0)) },
        })
        .collect();
    Block::stacked(&blocks)
}

/// The mean brightness of a protein in the cell and its parts.
fn means(intensities: &Block, protein: &str) -> Block {
    let names: Vec<String> = MEANS.iter().map(|mean| format!("{protein}_{mean}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut block = intensities.select(&names);
    for name in &mut block.names {
        *name = name[protein.len() + 1..].to_owned();
    }
    block
}

fn stacked(cells: &[&SpecimenCells], part: fn(&SpecimenCells) -> &Columns) -> Block {
    let blocks: Vec<Block> = cells.iter().map(|c| block(part(c), c.labels.len())).collect();
    Block::stacked(&blocks)
}

fn block(Columns { names, values }: &Columns, n_cells: usize) -> Block {
    let values = Array2::from_shape_fn((n_cells, names.len()), |(row, column)| {
        values[row * names.len() + column]
    });
    Block { names: names.clone(), values }
}

fn coordinates(
    cells: &[&SpecimenCells],
    part: fn(&SpecimenCells) -> &Vec<[f64; 3]>,
) -> Array2<f64> {
    let points: Vec<[f64; 3]> = cells.iter().flat_map(|c| part(c).iter().copied()).collect();
    Array2::from(points)
}

fn cell_ids(specimens: &[(&Imaged, SpecimenCells)]) -> Vec<CellId> {
    specimens
        .iter()
        .flat_map(|(imaged, cells)| {
            cells.labels.iter().map(|label| CellId::new(imaged.id.clone(), label.to_string()))
        })
        .collect()
}

fn columns(cells: &[&SpecimenCells]) -> Vec<Column> {
    let label = cells.iter().flat_map(|c| c.labels.iter().map(|&label| f64::from(label)));
    let quality = cells
        .iter()
        .flat_map(|c| c.quality.iter())
        .map(|reasons| Some(if reasons.is_empty() { "sound".to_owned() } else { reasons.clone() }));
    let confidence = cells.iter().flat_map(|c| match &c.confidence {
        Some(confidence) => confidence.iter().map(|&value| f64::from(value)).collect(),
        None => vec![f64::NAN; c.labels.len()],
    });
    let star_shares = cells.iter().flat_map(|c| c.star_shares.iter().copied());
    let rosette = cells
        .iter()
        .flat_map(|c| c.rosettes.iter().map(|number| number.map_or(f64::NAN, f64::from)));
    vec![
        Column::number("image_label", label.collect()),
        Column::number("rosette", rosette.collect()),
        Column::text("quality", quality.collect()),
        Column::number("whole_cell_probability", confidence.collect()),
        Column::number("star_share", star_shares.collect()),
    ]
}

fn contacts(cells: &[&SpecimenCells]) -> Contacts {
    let mut first = 0;
    let mut pairs = Vec::new();
    for specimen in cells {
        pairs.extend(specimen.contacts.iter().map(|&(a, b, area)| (first + a, first + b, area)));
        first += specimen.labels.len();
    }
    Contacts::from_pairs(first, pairs)
}

fn described(specimens: &[(&Imaged, SpecimenCells)]) -> Vec<Specimen> {
    let profiles: Vec<_> = specimens.iter().filter_map(|(_, cells)| cells.profile()).collect();
    let residuals = residuals_um(&profiles.iter().collect::<Vec<_>>());
    specimens
        .iter()
        .enumerate()
        .map(|(index, (imaged, cells))| {
            let [direction, apical] = cells.decisions();
            let attributes =
                imaged.attributes.iter().map(|(key, value)| (key.clone(), attribute_text(value)));
            let attributes =
                attributes.chain(tissue_attributes(cells)).chain(unmixing_attributes(cells));
            Specimen {
                id: imaged.id.to_string(),
                source: file_name(&imaged.image),
                input_hash: cells.input_hash.clone(),
                n_cells: cells.labels.len(),
                voxel_size_um: Some(cells.voxel_size_um),
                image_to_tissue: Some(cells.motion()),
                residual_um: residuals.get(index).copied().filter(|residual| residual.is_finite()),
                direction: Some(direction),
                apical: Some(apical),
                attributes: attributes.collect(),
            }
        })
        .collect()
}

/// What was taken out of the reference: the share, its standard error, and what it explains.
const UNMIXING: [&str; 3] = ["unmixed_share", "unmixed_share_error", "unmixed_explained"];

/// Whether a column of specimens was measured; the others are what the user says of them.
pub fn is_measured(column: &str) -> bool {
    UNMIXING.contains(&column) || TISSUE_SIZE.contains(&column)
}

/// What was taken out of the reference, as columns of specimens.
fn unmixing_attributes(cells: &SpecimenCells) -> impl Iterator<Item = (String, String)> {
    cells.unmixing.into_iter().flat_map(|unmixing| {
        let values = [unmixing.coefficient, unmixing.standard_error, unmixing.explained];
        UNMIXING
            .into_iter()
            .zip(values)
            .map(|(name, value)| (name.to_owned(), format!("{value:.4}")))
    })
}

/// The image's name without its folder, which says more of the machine than of the image.
fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
