//! What one imaged specimen gives: its cells, found, measured and brought into the tissue frame.
//!
//! A pure function of the image, the parameters and the version; the work folder keeps its result.

use std::collections::BTreeMap;
use std::path::Path;

use nalgebra::{Matrix4, Point3};
use primordia_data::experiment::{Experiment, Specimen};
use primordia_data::image::{ImageFile, write_labels};
use primordia_data::{
    CellTable, EditLog, ImageFrame, Labels, PointCloud, Rigid, TissueFrame, Volume,
};
use primordia_features::landmarks::{LandmarkParams, turned_to_tissue};
use primordia_features::{
    CellHarmonics, CellQuality, Channel, HarmonicsParams, LayoutParams, MeasureParams, Measured,
    cell_harmonics, cell_layouts, measure,
};
use primordia_registration::{Hints, Profile, Tissue, TissueRegistration, register};
use primordia_segmentation::{Grade, Unfound, Unmixing, Verdict};
use serde::{Deserialize, Serialize};

use super::cells::{Finder, Reference, corrected_labels, given_labels, segment_image};
use super::progress::Progress;
use super::surface::{harmonics_columns, layout_columns};
use super::work::{WorkFolder, WorkKey, hash_file};
use crate::error::{AtlasError, Result};
use crate::file::Decision;

/// The name under which the shape's landmarks are kept beside those of the proteins.
pub const SHAPE: &str = "shape";

/// The cells of one specimen. Rows are cells, in the order of `labels`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecimenCells {
    /// The label of each cell.
    pub labels: Vec<u32>,
    /// Engineered features of the shape, and of the place among the other cells.
    pub features: Columns,
    /// Brightness of every channel.
    pub intensities: Columns,
    /// Centroids in the image, x, y, z in µm.
    pub image_um: Vec<[f64; 3]>,
    /// Centroids in the tissue frame, x, y, z in µm.
    pub tissue_um: Vec<[f64; 3]>,
    /// The probability that each cell is one whole cell, NaN for those that were corrected; none where
    /// the segmentation does not say.
    pub confidence: Option<Vec<f32>>,
    /// What is wrong with each cell, in words; empty for a sound one.
    pub quality: Vec<String>,
    /// Whether each cell is whole, as far as one can tell.
    pub whole: Vec<bool>,
    /// The number of the rosette to which each cell belongs; none for most.
    pub rosettes: Vec<Option<u32>>,
    /// Which rows touch, and the area in µm².
    pub contacts: Vec<(usize, usize, f64)>,
    /// Landmarks about each cell's centroid along the tissue's axes, x, y, z in µm, by what they
    /// are of: [`SHAPE`], or a protein.
    pub landmarks: BTreeMap<String, Vec<Vec<[f32; 3]>>>,
    /// The surface of each cell as harmonics; NaN where it is not star-shaped.
    pub harmonics: Columns,
    /// The share of directions in which the ray from a cell's centroid leaves it once.
    pub star_shares: Vec<f64>,
    /// Where in each cell each protein lies; NaN where it is dark.
    pub layouts: BTreeMap<String, Columns>,
    /// From image to tissue, column by column.
    pub image_to_tissue: [f64; 16],
    /// Which way the tissue points: evidence and confidence.
    pub direction: (String, f64),
    /// Which side is apical: evidence and confidence.
    pub apical: (String, f64),
    /// The course and thickness along the tissue.
    pub profile_um: Vec<[f64; 4]>,
    /// The voxel, `[z, y, x]` in µm.
    pub voxel_size_um: [f64; 3],
    /// What was taken out of the reference before cells were found in it.
    pub unmixing: Option<Unmixing>,
    /// The hash of the image (and of given labels and edits), hexadecimal.
    pub input_hash: String,
}

/// Named columns of numbers, row by row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Columns {
    /// The name of each column.
    pub names: Vec<String>,
    /// Row by row.
    pub values: Vec<f64>,
}

/// How specimens are measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpecimenParams {
    /// What cells are measured by.
    pub measure: MeasureParams,
    /// How landmarks are drawn.
    pub landmarks: LandmarkParams,
    /// How surfaces are expanded.
    pub harmonics: HarmonicsParams,
    /// How layouts of proteins are fitted.
    pub layout: LayoutParams,
}

/// Finds and measures the cells of `specimen`, or takes them from the work folder.
///
/// # Errors
/// [`AtlasError::Specimen`] with the specimen and what went wrong.
pub fn specimen_cells(
    experiment: &Experiment,
    specimen: &Specimen,
    params: &SpecimenParams,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<SpecimenCells> {
    let task = || -> Result<SpecimenCells> {
        let inputs = Inputs::of(specimen)?;
        let depends =
            format!("{:?} {:?} {:?}", without_paths(experiment, specimen), params, inputs.all());
        let key = WorkKey::new("cells", &specimen.id, &[depends.as_bytes()]);
        if let Some(kept) = work.load(&key) {
            return Ok(kept);
        }
        let cells = compute(experiment, specimen, params, work, progress, &inputs)?;
        work.store(&key, &cells)?;
        Ok(cells)
    };
    task().map_err(|source| AtlasError::Specimen {
        specimen: specimen.id.to_string(),
        source: Box::new(source),
    })
}

/// All of an experiment that a specimen's cells depend on, besides the files' bytes.
fn without_paths(experiment: &Experiment, specimen: &Specimen) -> impl std::fmt::Debug {
    (
        experiment.reference.clone(),
        experiment.proteins.clone(),
        experiment.segmentation,
        specimen.channels.clone(),
        specimen.dataset.clone(),
        specimen.labels_dataset.clone(),
        specimen.unmix.clone(),
        specimen.nuclei.clone(),
        specimen.voxel_size.map(|size| size.um()),
        specimen.migration,
        specimen.apical,
    )
}

/// The cells of `specimen`: given, kept in the work folder, or segmented now; corrected if it has edits.
///
/// # Errors
/// As [`specimen_cells`].
pub fn labels_of(
    experiment: &Experiment,
    specimen: &Specimen,
    work: &WorkFolder,
) -> Result<Labels> {
    let image = open(specimen)?;
    let inputs = Inputs::of(specimen)?;
    Ok(corrected_cells(experiment, specimen, &image, work, &inputs)?.labels)
}

/// Cells, and what is known of how they were found.
struct Found {
    labels: Labels,
    known: Known,
}

/// What is known of how cells were found; nothing of given ones.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// As [`SpecimenCells::confidence`].
    confidence: Option<Vec<f32>>,
    /// As [`SpecimenCells::unmixing`].
    unmixing: Option<Unmixing>,
    /// As that of a [`Segmentation`](primordia_segmentation::Segmentation).
    unfound: Unfound,
}

/// Hashes of the files of a specimen.
struct Inputs {
    /// The image, and given labels.
    cells: String,
    /// The log of edits: no new cells are looked for when it changes.
    edits: Option<String>,
}

impl Inputs {
    fn of(specimen: &Specimen) -> Result<Self> {
        let image = hash_file(&specimen.image)?;
        let cells = match &specimen.labels {
            Some(labels) => format!("{image}+{}", hash_file(labels)?),
            None => image,
        };
        Ok(Self { cells, edits: specimen.edits.as_deref().map(hash_file).transpose()? })
    }

    fn all(&self) -> String {
        match &self.edits {
            Some(edits) => format!("{}+{edits}", self.cells),
            None => self.cells.clone(),
        }
    }
}

fn compute(
    experiment: &Experiment,
    specimen: &Specimen,
    params: &SpecimenParams,
    work: &WorkFolder,
    progress: &dyn Progress,
    inputs: &Inputs,
) -> Result<SpecimenCells> {
    let image = open(specimen)?;
    progress.step(&format!("{}: finding cells", specimen.id));
    let Found { labels, known } = corrected_cells(experiment, specimen, &image, work, inputs)?;
    if let Some(verdict) = known.verdict(&labels).filter(|verdict| verdict.grade != Grade::Pass) {
        tracing::warn!("segmentation of {}: {verdict}", specimen.id);
    }
    let Known { confidence, unmixing, .. } = known;
    progress.step(&format!("{}: measuring {} cells", specimen.id, labels.n_cells()));
    let registration = registered(&labels, specimen)?;
    let (names, volumes) = read_channels(experiment, &image)?;
    let proteins = experiment.proteins_among(&names);
    let channels = names.iter().zip(&volumes).map(|(name, volume)| Channel::new(name, volume));
    let channels: Vec<Channel> = channels
        .map(|channel| match channel {
            protein if proteins.contains(&protein.name()) => protein,
            other => other.without_landmarks(),
        })
        .collect();
    let to_tissue = &registration.image_to_tissue;
    let with_landmarks = MeasureParams { landmarks: Some(params.landmarks), ..params.measure };
    let mut measured = measure(&labels, &channels, &specimen.id, to_tissue, &with_landmarks)?;
    let proteins: Vec<Channel> =
        channels.into_iter().filter(|channel| proteins.contains(&channel.name())).collect();
    let mut landmarks = BTreeMap::new();
    if let Some(sampled) = measured.landmarks.take() {
        landmarks.insert(SHAPE.to_owned(), compact(&sampled.shape, to_tissue));
        for (channel, clouds) in proteins.iter().zip(&sampled.proteins) {
            landmarks.insert(channel.name().to_owned(), compact(clouds, to_tissue));
        }
    }
    let surfaces = cell_harmonics(&labels, to_tissue, &params.harmonics)?;
    let cells = summed_up(&labels, &measured, &surfaces, landmarks, &registration, inputs.all())?;
    let layouts = cell_layouts(&labels, &proteins, &surfaces, to_tissue, &params.layout)?;
    let layouts = proteins
        .iter()
        .zip(&layouts)
        .map(|(channel, layouts)| (channel.name().to_owned(), layout_columns(layouts)));
    Ok(SpecimenCells { layouts: layouts.collect(), confidence, unmixing, ..cells })
}

impl Known {
    /// What to make of the cells `labels`; none of a method that does not say.
    fn verdict(&self, labels: &Labels) -> Option<Verdict> {
        // What was corrected by hand has no probability any more.
        let cells = labels.cells().iter().copied().zip(self.confidence.as_ref()?.iter().copied());
        let (cells, probabilities): (Vec<u32>, Vec<f32>) =
            cells.filter(|cell| !cell.1.is_nan()).unzip();
        Some(Verdict::new(&cells, &probabilities).with_unfound(self.unfound))
    }
}

/// The image with what the experiment file says of it.
fn open(specimen: &Specimen) -> Result<ImageFile> {
    let mut image = ImageFile::open_dataset(&specimen.image, specimen.dataset.as_deref())?;
    if let Some(channels) = &specimen.channels {
        image = image.with_channel_names(channels.iter().cloned())?;
    }
    if let Some(voxel_size) = specimen.voxel_size {
        image = image.with_voxel_size(voxel_size);
    }
    image.required_voxel_size()?;
    Ok(image)
}

/// The specimen's cells, given or segmented, with the edits of its log; corrected ones are also left
/// in the work folder, as a label image to look at.
fn corrected_cells(
    experiment: &Experiment,
    specimen: &Specimen,
    image: &ImageFile,
    work: &WorkFolder,
    inputs: &Inputs,
) -> Result<Found> {
    let found = find_cells(experiment, specimen, image, work, &inputs.cells)?;
    let Some(path) = &specimen.edits else { return Ok(found) };
    let Found { labels, known } = found;
    let log = EditLog::read(path)?;
    let named = experiment.reference.as_deref();
    let reference = named.map(|name| reference(specimen, image, name)).transpose()?;
    let rows = labels.rows();
    let edited = corrected_labels(labels, &log, reference)?;
    let kept = |confidence: Vec<f32>| {
        let of = |label: &u32| match edited.changed.binary_search(label) {
            Ok(_) => f32::NAN,
            Err(_) => rows.row(*label).map_or(f32::NAN, |row| confidence[row]),
        };
        edited.labels.cells().iter().map(of).collect()
    };
    let known = Known {
        confidence: known.confidence.map(kept),
        // Who corrected the cells has seen whether any is missing.
        unfound: Unfound::default(),
        ..known
    };
    let depends = format!("{:?} {}", without_paths(experiment, specimen), inputs.all());
    let key = WorkKey::new("corrected", &specimen.id, &[depends.as_bytes()]);
    write_labels(work.path(&key, ".ome.tif"), &edited.labels)?;
    Ok(Found { labels: edited.labels, known })
}

/// The channel of an image in which cells are found.
fn reference<'i>(specimen: &Specimen, image: &'i ImageFile, name: &str) -> Result<Reference<'i>> {
    let channel = |name: Option<&str>| name.map(|name| image.channel_index(name)).transpose();
    Ok(Reference {
        image,
        channel: image.channel_index(name)?,
        bleeding: channel(specimen.unmix.as_deref())?,
        nuclei: channel(specimen.nuclei.as_deref())?,
        dark: false,
    })
}

/// The specimen's cells, given or segmented; segmented ones are also left in the work folder, as a
/// label image to look at and to curate.
fn find_cells(
    experiment: &Experiment,
    specimen: &Specimen,
    image: &ImageFile,
    work: &WorkFolder,
    input_hash: &str,
) -> Result<Found> {
    if let Some(path) = &specimen.labels {
        let labels = ImageFile::open_dataset(path, specimen.labels_dataset.as_deref())?;
        let labels = given_labels(&labels, image)?;
        return Ok(Found { labels, known: Known::default() });
    }
    let name = experiment.reference.as_deref().unwrap_or("membrane");
    let depends = format!("{:?} {name} {input_hash}", without_paths(experiment, specimen));
    let key = WorkKey::new("labels", &specimen.id, &[depends.as_bytes()]);
    let path = work.path(&key, ".ome.tif");
    if let (Some(known), Some(labels)) = (work.load(&key), kept_labels(&path)) {
        return Ok(Found { labels, known });
    }
    let finder = Finder::new(experiment.segmentation, None)?;
    let found = segment_image(&reference(specimen, image, name)?, &finder)?;
    if found.n_nuclei == Some(0) {
        tracing::warn!("segmentation of {}: no nuclei found in their channel", specimen.id);
    }
    let cells = found.cells;
    write_labels(&path, &cells.labels)?;
    let known =
        Known { confidence: cells.confidence(), unmixing: found.unmixing, unfound: cells.unfound };
    work.store(&key, &known)?;
    Ok(Found { labels: cells.labels, known })
}

fn kept_labels(path: &Path) -> Option<Labels> {
    ImageFile::open(path).and_then(|image| image.read_labels()).ok()
}

fn registered(labels: &Labels, specimen: &Specimen) -> Result<TissueRegistration> {
    let hints = Hints {
        migration: specimen.migration.map(nalgebra::Unit::into_inner),
        apical: specimen.apical.map(nalgebra::Unit::into_inner),
    };
    Ok(register(&Tissue::from_labels(labels)?, &hints)?)
}

/// The channels that are measured (the reference and the proteins), by name.
fn read_channels(
    experiment: &Experiment,
    image: &ImageFile,
) -> Result<(Vec<String>, Vec<Volume<f32>>)> {
    let names = image.channel_names_or_numbers();
    let proteins = experiment.proteins_among(&names);
    let wanted: Vec<usize> = (0..names.len())
        .filter(|&index| {
            proteins.contains(&names[index].as_str())
                || experiment.reference.as_ref() == Some(&names[index])
        })
        .collect();
    let volumes =
        wanted.iter().map(|&index| image.read_volume_f32(index)).collect::<Result<_, _>>()?;
    Ok((wanted.iter().map(|&index| names[index].clone()).collect(), volumes))
}

fn compact(
    clouds: &[PointCloud<ImageFrame>],
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
) -> Vec<Vec<[f32; 3]>> {
    let point = |point: &Point3<f64>| [point.x as f32, point.y as f32, point.z as f32];
    clouds
        .iter()
        .map(|cloud| turned_to_tissue(cloud, to_tissue).points().iter().map(point).collect())
        .collect()
}

fn summed_up(
    labels: &Labels,
    measured: &Measured,
    surfaces: &[CellHarmonics],
    landmarks: BTreeMap<String, Vec<Vec<[f32; 3]>>>,
    registration: &TissueRegistration,
    input_hash: String,
) -> Result<SpecimenCells> {
    let triples = |points: &[Point3<f64>]| points.iter().map(|p| [p.x, p.y, p.z]).collect();
    let matrix = registration.image_to_tissue.to_matrix();
    Ok(SpecimenCells {
        labels: labels.cells().to_vec(),
        features: Columns::of(&measured.table.beside(&measured.context)?),
        intensities: Columns::of(&measured.intensity),
        image_um: triples(&measured.centroids_image_um),
        tissue_um: triples(&measured.centroids_tissue_um),
        confidence: None,
        quality: measured.quality.iter().map(|cell| cell.reasons().join("; ")).collect(),
        whole: measured.quality.iter().map(is_whole).collect(),
        rosettes: measured.rosette_numbers(),
        contacts: measured.contacts.iter().map(|c| (c.a, c.b, c.area_um2)).collect(),
        landmarks,
        harmonics: harmonics_columns(surfaces),
        layouts: BTreeMap::new(),
        star_shares: surfaces.iter().map(|surface| surface.star_share).collect(),
        image_to_tissue: std::array::from_fn(|index| matrix[index]),
        direction: (registration.direction.to_string(), registration.direction.confidence),
        apical: (registration.apical.to_string(), registration.apical.confidence),
        profile_um: registration.profile.stations_um.to_vec(),
        voxel_size_um: labels.volume().voxel_size().um(),
        unmixing: None,
        input_hash,
    })
}

fn is_whole(cell: &CellQuality) -> bool {
    !cell.touches_border && cell.n_pieces == 1 && cell.n_voxels > 1
}

impl Columns {
    fn of(table: &CellTable) -> Self {
        Self { names: table.columns().to_vec(), values: table.values().iter().copied().collect() }
    }

    /// The values of one column, if there is one of this name.
    pub fn column(&self, name: &str) -> Option<impl Iterator<Item = f64>> {
        let at = self.names.iter().position(|column| column == name)?;
        Some(self.values.iter().skip(at).step_by(self.names.len()).copied())
    }
}

impl SpecimenCells {
    /// The landmarks of `what` ([`SHAPE`], or a protein), a cloud per cell; none if not imaged.
    pub fn clouds(&self, what: &str) -> Option<Vec<PointCloud<TissueFrame>>> {
        let cloud = |points: &Vec<[f32; 3]>| {
            PointCloud::new(points.iter().map(|p| Point3::from(p.map(f64::from))).collect())
        };
        Some(self.landmarks.get(what)?.iter().map(cloud).collect())
    }

    /// From image to tissue, on (x, y, z, 1) in µm.
    pub fn motion(&self) -> Matrix4<f64> {
        Matrix4::from_column_slice(&self.image_to_tissue)
    }

    /// The course and thickness along the tissue; none if kept by another version.
    pub fn profile(&self) -> Option<Profile> {
        Some(Profile { stations_um: self.profile_um.clone().try_into().ok()? })
    }

    /// The decisions on direction and apical side.
    pub fn decisions(&self) -> [Decision; 2] {
        [&self.direction, &self.apical]
            .map(|(text, confidence)| Decision { text: text.clone(), confidence: *confidence })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use primordia_data::VoxelSize;

    use super::*;

    #[test]
    fn sure_cells_beside_faint_walls_are_worth_a_look() {
        let size = VoxelSize::from_um([1.0; 3]).unwrap();
        let labels = Labels::new(Volume::new(Array3::from_elem([1; 3], 1), size).unwrap());
        let grade = |faint_walls| {
            let unfound = Unfound { faint_walls, ..Unfound::default() };
            let known = Known { confidence: Some(vec![1.0]), unmixing: None, unfound };
            known.verdict(&labels).map(|verdict| verdict.grade)
        };
        assert_eq!(grade(0.5), Some(Grade::Look));
        assert_eq!(grade(0.0), Some(Grade::Pass));
        assert!(Known::default().verdict(&labels).is_none(), "given ones");
    }
}
