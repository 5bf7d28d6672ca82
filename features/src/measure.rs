//! One specimen: every cell's shape, brightness, place, neighbours and quality.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use nalgebra::{Matrix3, Point3, Vector3};
use ndarray::Array2;
use primordia_data::{CellId, CellTable, ImageFrame, Labels, Rigid, TissueFrame};
use rayon::prelude::*;

use crate::cell::Cut;
use crate::contacts::{Contact, Touching, border_um2};
use crate::context::{CellContext, Tissue, outer_points};
use crate::curvature::{Curvature, bent_mesh};
use crate::error::{FeatureError, Result, positive};
use crate::groups::{Group, Groups};
use crate::intensity::{Channel, Intensities, Regions, Signal};
use crate::landmarks::{CellLandmarks, LandmarkParams, Landmarks};
use crate::mesh::{Mesh, cell_mesh, mask_area_um2};
use crate::pieces::n_pieces;
use crate::registry::{self, Feature};
use crate::rosettes::{Rosette, rosettes_of};
use crate::shape::{CellShape, SurfaceShape};
use crate::shell::membrane_shell;
use crate::sweep::Cells;
use crate::texture::Texture;

/// What to measure, and by what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureParams {
    /// Which groups of features to measure. Nothing is computed for the others, and tables have no
    /// columns of them.
    pub groups: Groups,
    /// Landmarks to set besides; the image is read once for both.
    pub landmarks: Option<LandmarkParams>,
    /// How thick the membrane shell is, in µm from the cell's border inwards.
    pub membrane_um: f64,
    /// Standard deviation in µm of the Gaussian that takes the stairs off surfaces; `None` for
    /// the longest side of a voxel, below which stairs remain.
    pub surface_smoothing_um: Option<f64>,
    /// The side in µm of the blocks whose brightness makes texture; at least one voxel.
    pub texture_um: f64,
    /// Cells whose centroids are within this distance, in µm, crowd a cell.
    pub crowd_um: f64,
}

impl Default for MeasureParams {
    fn default() -> Self {
        Self {
            groups: Groups::default(),
            landmarks: None,
            membrane_um: 0.3,
            surface_smoothing_um: None,
            texture_um: 0.5,
            crowd_um: 15.0,
        }
    }
}

/// The cells of one specimen, measured. Rows are cells, in the order of [`Labels::cells`].
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Shape: the columns of [`registry::SHAPE`].
    pub table: CellTable,
    /// Place among the other cells: the columns of [`registry::CONTEXT`].
    pub context: CellTable,
    /// Brightness: for every channel, `NAME_` and the names of [`registry::INTENSITY`].
    pub intensity: CellTable,
    /// Between which voxels of the image each cell lies, along `[z, y, x]`.
    pub boxes: Vec<[Range<usize>; 3]>,
    /// Where each cell's mass is centred, in the image.
    pub centroids_image_um: Vec<Point3<f64>>,
    /// Where each cell's mass is centred, in the tissue.
    pub centroids_tissue_um: Vec<Point3<f64>>,
    /// What to know before trusting a row.
    pub quality: Vec<CellQuality>,
    /// Which cells touch, and how much; each pair once, ordered by rows.
    pub contacts: Vec<Contact>,
    /// Where unusually many cells meet, the largest first; none without [`Group::Context`].
    pub rosettes: Vec<Rosette>,
    /// The landmarks, if asked for by [`MeasureParams::landmarks`].
    pub landmarks: Option<Landmarks>,
}

impl Measured {
    /// The number (1, 2, …) of the rosette to which each cell belongs, if any.
    pub fn rosette_numbers(&self) -> Vec<Option<u32>> {
        let mut numbers = vec![None; self.quality.len()];
        for (number, rosette) in (1..).zip(&self.rosettes) {
            rosette.rows.iter().for_each(|row| numbers[*row] = Some(number));
        }
        numbers
    }
}

/// What may be wrong with a cell, or with what was measured of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellQuality {
    /// The number of voxels.
    pub n_voxels: u64,
    /// The number of pieces that do not even touch at a corner; 1 for a sound cell.
    pub n_pieces: usize,
    /// The cell reaches the end of the image, so part of it may be missing.
    pub touches_border: bool,
    /// No voxel lies deeper than the membrane shell: means over the inside are NaN. Like what is
    /// said of channels, known only if their features are measured.
    pub all_membrane: bool,
    /// The channels (by number) that have one and the same value all over the cell.
    pub channels_without_signal: Vec<usize>,
    /// Some channel differs in the cell, but not between any two blocks of it that lie side by
    /// side: it has no texture.
    pub too_small_for_texture: bool,
}

impl CellQuality {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.reasons().is_empty()
    }

    /// What is wrong, in words that tables can hold.
    pub fn reasons(&self) -> Vec<&'static str> {
        let all = [
            (self.touches_border, "touches image border"),
            (self.n_voxels == 1, "one voxel"),
            (self.n_pieces > 1, "several pieces"),
            (self.all_membrane, "thinner than membrane shell"),
            (!self.channels_without_signal.is_empty(), "channel without signal"),
            (self.too_small_for_texture, "too small for texture"),
        ];
        all.into_iter().filter(|(wrong, _)| *wrong).map(|(_, reason)| reason).collect()
    }
}

/// Measures every cell of a specimen.
///
/// `channels` lie on the grid of `labels`; `to_tissue` takes points of the image to the tissue,
/// along whose axes lengths and halves are measured. The label image is read once for all cells;
/// then each cell is measured in its own box, in parallel, with the same result for any number of
/// threads. Only the groups of features that `params` asks for are computed.
///
/// # Errors
/// [`FeatureError::Parameter`] for lengths that are not positive, [`FeatureError::ChannelGrid`],
/// [`FeatureError::DuplicateChannel`], and [`FeatureError::NotFinite`] if a channel holds NaN or
/// infinity inside a cell.
///
/// # Example
/// ```
/// # use {ndarray::Array3, primordia_data::*, primordia_features::*};
/// let voxel_size = VoxelSize::from_um([0.5, 0.25, 0.25])?;
/// let labels = Labels::from_voxels(Array3::ones((4, 8, 8)), voxel_size)?;
/// let measured = measure(&labels, &[], "A", &Rigid::identity(), &MeasureParams::default())?;
/// assert_eq!(measured.table.column("volume_um3")?[0], 8.0);
/// assert!(measured.quality[0].touches_border);
/// # Ok::<_, FeatureError>(())
/// ```
pub fn measure(
    labels: &Labels,
    channels: &[Channel],
    specimen: &str,
    to_tissue: &Rigid<ImageFrame, TissueFrame>,
    params: &MeasureParams,
) -> Result<Measured> {
    let voxel_size = labels.volume().voxel_size();
    let longest_side_um = voxel_size.um().into_iter().fold(0.0, f64::max);
    let task = Task {
        labels,
        channels,
        to_tissue,
        groups: params.groups,
        landmarks: params.landmarks,
        membrane_um: positive("membrane_um", params.membrane_um)?,
        smoothing_um: positive(
            "surface_smoothing_um",
            params.surface_smoothing_um.unwrap_or(longest_side_um),
        )?,
        texture_um: positive("texture_um", params.texture_um)?,
    };
    let crowd_um = positive("crowd_um", params.crowd_um)?;
    check_channels(labels, channels)?;
    let found = Cells::of(labels);
    let touching = Touching::all(&found, voxel_size);
    let cells: Vec<Cell> = touching
        .par_iter()
        .enumerate()
        .map(|(row, touching)| task.measure_cell(&Cut::of(&found, row, labels), touching))
        .collect::<Result<_>>()?;

    let centroids_image_um: Vec<_> = cells.iter().map(|cell| cell.centroid_um).collect();
    let centroids_tissue_um: Vec<_> =
        centroids_image_um.iter().map(|p| to_tissue.point(p)).collect();
    let shapes: Vec<&CellShape> = cells.iter().map(|cell| &cell.shape).collect();
    let (mut rosettes, mut contexts) = (Vec::new(), vec![CellContext::NONE; cells.len()]);
    if params.groups.contains(Group::Context) {
        rosettes = rosettes_of(&found, voxel_size);
        contexts = Tissue {
            shapes: &shapes,
            centroids_image_um: &centroids_image_um,
            centroids_tissue_um: &centroids_tissue_um,
            touching: &touching,
            rosettes: &rosettes,
            surface: &cells.iter().flat_map(|cell| cell.outer_points.iter().copied()).collect(),
            crowd_um,
        }
        .contexts();
    }
    let rows = Rows { ids: ids(specimen, labels.cells()), groups: params.groups };
    Ok(Measured {
        table: rows.table(registry::SHAPE, &shapes)?,
        context: rows.table(registry::CONTEXT, &contexts.iter().collect::<Vec<_>>())?,
        intensity: rows.intensity_table(channels, &cells)?,
        boxes: cells.iter().map(|cell| cell.voxels.clone()).collect(),
        centroids_tissue_um,
        centroids_image_um,
        contacts: contacts(&touching),
        rosettes,
        quality: cells.iter().map(|cell| cell.quality.clone()).collect(),
        landmarks: params.landmarks.is_some().then(|| {
            let landmarks = cells.into_iter().filter_map(|cell| cell.landmarks).collect();
            Landmarks::of_cells(landmarks, channels)
        }),
    })
}

/// What is the same for all cells.
struct Task<'a> {
    labels: &'a Labels,
    channels: &'a [Channel<'a>],
    to_tissue: &'a Rigid<ImageFrame, TissueFrame>,
    groups: Groups,
    landmarks: Option<LandmarkParams>,
    membrane_um: f64,
    smoothing_um: f64,
    texture_um: f64,
}

/// What is measured of one cell.
struct Cell {
    voxels: [Range<usize>; 3],
    centroid_um: Point3<f64>,
    outer_points: Vec<[f32; 3]>,
    shape: CellShape,
    intensities: Vec<Intensities>,
    quality: CellQuality,
    landmarks: Option<CellLandmarks>,
}

impl Task<'_> {
    fn measure_cell(&self, cell: &Cut, touching: &Touching) -> Result<Cell> {
        let (mesh, curvature) = self.mesh(cell);
        let outer_points = if self.groups.contains(Group::Context) {
            outer_points(&mesh, self.labels)
        } else {
            Vec::new()
        };
        let shape = self.shape(cell, &mesh, curvature, touching);
        let signals = self.signals(cell)?;
        let regions = self.regions(cell);
        let rotation = self.to_tissue.rotation();
        let measured = |signal| self.intensities(cell, signal, regions.as_ref(), &rotation);
        let intensities: Vec<Intensities> = signals.iter().map(measured).collect();
        let image = self.labels.volume();
        let landmarks = self
            .landmarks
            .map(|landmarks| landmarks.of_cell(cell, image, self.channels.iter().zip(&signals)));
        Ok(Cell {
            voxels: [0, 1, 2].map(|k| cell.extent.first[k]..cell.extent.end[k]),
            centroid_um: cell.centroid_um,
            outer_points,
            shape,
            quality: self.quality(cell, regions.as_ref(), &intensities),
            intensities,
            landmarks: landmarks.transpose()?,
        })
    }

    /// The surface and how it bends, as far as anything asked for needs them.
    fn mesh(&self, cell: &Cut) -> (Mesh, Curvature) {
        if self.groups.contains(Group::Curvature) {
            return bent_mesh(&cell.mask, self.smoothing_um);
        }
        if self.groups.contains_any(&[Group::Surface, Group::Context]) {
            return (cell_mesh(&cell.mask, self.smoothing_um), Curvature::NONE);
        }
        (Mesh::default(), Curvature::NONE)
    }

    fn shape(
        &self,
        cell: &Cut,
        mesh: &Mesh,
        curvature: Curvature,
        touching: &Touching,
    ) -> CellShape {
        let voxel_size = self.labels.volume().voxel_size();
        let surface = if self.groups.contains_any(&[Group::Surface, Group::Context]) {
            SurfaceShape::of(mesh, cell.centroid_um, self.to_tissue)
        } else {
            SurfaceShape::NONE
        };
        let mask_surface_um2 =
            if self.groups.contains(Group::Size) { mask_area_um2(&cell.mask) } else { f64::NAN };
        CellShape {
            volume_um3: cell.extent.volume_um3(voxel_size),
            mask_surface_um2,
            semi_axes_um: cell.extent.semi_axes_um(voxel_size),
            surface,
            curvature,
            contact_cells_um2: touching.cells_um2(),
            contact_outside_um2: touching.outside_um2,
            contact_border_um2: border_um2(cell.runs, self.labels.volume().shape(), voxel_size),
            n_neighbours: touching.cells.len(),
        }
    }

    /// The channels in a cell; none if nothing that is asked for needs them.
    fn signals(&self, cell: &Cut) -> Result<Vec<Signal>> {
        let groups = [Group::Brightness, Group::Texture];
        if !self.groups.contains_any(&groups) && self.landmarks.is_none() {
            return Ok(Vec::new());
        }
        let signal = |channel: &Channel| {
            let signal = channel.signal(cell.runs);
            if signal.is_finite() { Ok(signal) } else { Err(channel.not_finite(cell.label)) }
        };
        self.channels.iter().map(signal).collect()
    }

    /// The parts over which channels are summed, if they are.
    fn regions(&self, cell: &Cut) -> Option<Regions> {
        self.groups.contains(Group::Brightness).then(|| {
            let shape = self.labels.volume().shape();
            let shell = membrane_shell(&cell.mask, self.membrane_um, shape);
            let apical = self.to_tissue.inverse().vector(&Vector3::z());
            Regions::of(cell, &shell, apical)
        })
    }

    fn intensities(
        &self,
        cell: &Cut,
        signal: &Signal,
        regions: Option<&Regions>,
        rotation: &Matrix3<f64>,
    ) -> Intensities {
        let image = self.labels.volume();
        let mut found = Intensities::of(signal);
        if let Some(regions) = regions {
            found = found.with_sums(signal, regions).with_polarity(signal, cell, image, rotation);
        }
        if self.groups.contains(Group::Texture) {
            let texture = Texture::of(
                &signal.values,
                cell.runs,
                &cell.extent,
                image.voxel_size(),
                self.texture_um,
            );
            found = found.with_texture(texture);
        }
        found
    }

    fn quality(
        &self,
        cell: &Cut,
        regions: Option<&Regions>,
        intensities: &[Intensities],
    ) -> CellQuality {
        let (extent, shape) = (&cell.extent, self.labels.volume().shape());
        let has_texture = self.groups.contains(Group::Texture);
        CellQuality {
            n_voxels: extent.n_voxels,
            n_pieces: n_pieces(cell.runs),
            touches_border: (0..3).any(|k| extent.first[k] == 0 || extent.end[k] == shape[k]),
            all_membrane: regions.is_some_and(Regions::is_all_membrane),
            channels_without_signal: (0..intensities.len())
                .filter(|&channel| intensities[channel].is_flat())
                .collect(),
            too_small_for_texture: has_texture
                && intensities
                    .iter()
                    .any(|channel| !channel.is_flat() && channel.texture().contrast.is_nan()),
        }
    }
}

fn check_channels(labels: &Labels, channels: &[Channel]) -> Result<()> {
    let mut names = HashSet::new();
    for channel in channels {
        channel.check_grid(labels.volume())?;
        if !names.insert(channel.name()) {
            return Err(FeatureError::DuplicateChannel { channel: channel.name().to_owned() });
        }
    }
    Ok(())
}

/// The names of the cells of a specimen: their labels.
fn ids(specimen: &str, labels: &[u32]) -> Vec<CellId> {
    let specimen: Arc<str> = specimen.into();
    labels.iter().map(|label| CellId::new(Arc::clone(&specimen), label.to_string())).collect()
}

/// What the tables share: a row for each of these cells, columns of these groups.
struct Rows {
    ids: Vec<CellId>,
    groups: Groups,
}

impl Rows {
    /// Those of the features that are measured.
    fn measured<T>(&self, features: &'static [Feature<T>]) -> Vec<&'static Feature<T>> {
        features.iter().filter(|feature| self.groups.contains(feature.group)).collect()
    }

    fn table<T>(&self, features: &'static [Feature<T>], cells: &[&T]) -> Result<CellTable> {
        let features = self.measured(features);
        let columns = features.iter().map(|feature| feature.name.to_owned()).collect();
        let values = Array2::from_shape_fn((cells.len(), features.len()), |(row, column)| {
            features[column].value(cells[row])
        });
        Ok(CellTable::new(self.ids.clone(), columns, values)?)
    }

    fn intensity_table(&self, channels: &[Channel], cells: &[Cell]) -> Result<CellTable> {
        let features = self.measured(registry::INTENSITY);
        let named = |channel: &Channel, feature: &Feature<Intensities>| {
            format!("{}_{}", channel.name(), feature.name)
        };
        let all =
            (0..channels.len()).flat_map(|channel| features.iter().map(move |f| (channel, f)));
        let all: Vec<_> = all.collect();
        let columns = all.iter().map(|(channel, feature)| named(&channels[*channel], feature));
        let values = Array2::from_shape_fn((cells.len(), all.len()), |(row, column)| {
            let (channel, feature) = all[column];
            feature.value(&cells[row].intensities[channel])
        });
        Ok(CellTable::new(self.ids.clone(), columns.collect(), values)?)
    }
}

/// Each pair of touching cells once, ordered by rows.
fn contacts(touching: &[Touching]) -> Vec<Contact> {
    let seen_from = |(a, touching): (usize, &Touching)| {
        let others = touching.cells.clone().into_iter().filter(move |(b, _)| a < *b);
        others.map(move |(b, area_um2)| Contact { a, b, area_um2 })
    };
    touching.iter().enumerate().flat_map(seen_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::{Array3, s};
    use primordia_data::{Volume, VoxelSize};

    fn labels(voxels: Array3<u32>, um: [f64; 3]) -> Labels {
        Labels::from_voxels(voxels, VoxelSize::from_um(um).unwrap()).unwrap()
    }

    fn measured(labels: &Labels, channels: &[Channel]) -> Measured {
        measure(labels, channels, "A", &Rigid::identity(), &MeasureParams::default()).unwrap()
    }

    #[test]
    fn two_boxes_touch_with_the_area_of_their_common_side() {
        // 10 × 12 × 8 µm and its mirror image, side by side along x in background.
        let mut voxels = Array3::zeros((26, 52, 70));
        voxels.slice_mut(s![3..23, 2..50, 3..35]).fill(5);
        voxels.slice_mut(s![3..23, 2..50, 35..67]).fill(9);
        let found = measured(&labels(voxels, [0.5, 0.25, 0.25]), &[]);
        assert_eq!(found.contacts.len(), 1);
        assert_eq!((found.contacts[0].a, found.contacts[0].b), (0, 1));
        assert_relative_eq!(found.contacts[0].area_um2, 120.0, max_relative = 1e-12);
        let surface = 2.0 * (10.0 * 12.0 + 10.0 * 8.0 + 12.0 * 8.0);
        let outside = found.table.column("contact_outside_um2").unwrap()[0];
        // Blocks at edges hold faces of two or three sides, and cut the corner.
        assert_relative_eq!(outside, surface - 120.0, max_relative = 0.1);
        assert_relative_eq!(found.table.column("n_neighbours").unwrap()[0], 1.0);
    }

    #[test]
    fn halves_lie_along_the_axis_of_the_tissue() {
        let mut voxels = Array3::zeros((7, 7, 7));
        voxels.slice_mut(s![1..6, 1..6, 1..6]).fill(1);
        let labels = labels(voxels, [1.0; 3]);
        // The image is bright by its x; in this tissue, the image's −x is up.
        let along_x = Array3::from_shape_fn((7, 7, 7), |(_, _, x)| x as f32);
        let along_x = Volume::new(along_x, labels.volume().voxel_size()).unwrap();
        let turn = nalgebra::Rotation3::from_axis_angle(&Vector3::y_axis(), PI_HALF).into_inner();
        let to_tissue = Rigid::from_parts(turn, Vector3::zeros()).unwrap();
        assert_relative_eq!(to_tissue.vector(&-Vector3::x()).z, 1.0, epsilon = 1e-12);
        let found = measure(
            &labels,
            &[Channel::new("actin", &along_x)],
            "A",
            &to_tissue,
            &MeasureParams::default(),
        )
        .unwrap();
        let mean = |name: &str| found.intensity.column(name).unwrap()[0];
        assert_relative_eq!(mean("actin_mean_whole"), 3.0, epsilon = 1e-12);
        // The plane x = 3 goes half to either side: (1 + 2 + 3/2) / 2.5 and (3/2 + 4 + 5) / 2.5.
        assert_relative_eq!(mean("actin_mean_apical"), 1.8, epsilon = 1e-12);
        assert_relative_eq!(mean("actin_mean_basal"), 4.2, epsilon = 1e-12);
        assert_relative_eq!(mean("actin_sum_membrane") + mean("actin_sum_inside"), 375.0);
        // Above the mean of 3 are 1 at x = 4 and 2 at x = 5: 5/3 from the middle, downwards.
        assert_relative_eq!(mean("actin_polarity_z_um"), -5.0 / 3.0, epsilon = 1e-12);
        assert_relative_eq!(mean("actin_polarity_um"), 5.0 / 3.0, epsilon = 1e-12);
    }
    const PI_HALF: f64 = std::f64::consts::FRAC_PI_2;

    #[test]
    fn strange_cells_are_flagged_and_crash_nothing() {
        let mut voxels = Array3::zeros((6, 8, 10));
        voxels[[0, 0, 0]] = 1; // at the border
        voxels[[3, 3, 3]] = 2; // one voxel
        voxels[[2, 6, 2]] = 3; // two pieces
        voxels[[2, 6, 6]] = 3;
        voxels.slice_mut(s![3, 1..7, 5..9]).fill(4); // thin
        let labels = labels(voxels, [0.2; 3]);
        let flat = Volume::new(Array3::<u8>::zeros((6, 8, 10)), labels.volume().voxel_size());
        let flat = flat.unwrap();
        let found = measured(&labels, &[Channel::new("actin", &flat)]);
        let quality = &found.quality;
        assert!(quality[0].touches_border && !quality[1].touches_border);
        assert_eq!(quality[1].n_voxels, 1);
        assert_eq!(quality.iter().map(|cell| cell.n_pieces).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert!(quality.iter().all(|cell| cell.all_membrane && !cell.is_sound()));
        assert!(quality.iter().all(|cell| cell.channels_without_signal == [0]));
        assert!(found.table.values().iter().all(|value| value.is_finite()));
        let nan = |name: &str| found.intensity.column(name).unwrap().iter().all(|v| v.is_nan());
        assert!(nan("actin_mean_inside") && !nan("actin_mean_membrane"));
        assert!(nan("actin_polarity_um"), "without signal");
    }

    #[test]
    fn groups_alone_measure_what_they_measure_among_all() {
        let mut voxels = Array3::zeros((12, 16, 20));
        voxels.slice_mut(s![2..10, 2..14, 2..9]).fill(1);
        voxels.slice_mut(s![2..10, 3..14, 9..17]).fill(2);
        let labels = labels(voxels, [0.4, 0.3, 0.3]);
        let bright = Array3::from_shape_fn((12, 16, 20), |(z, y, x)| (z * y * x % 97) as u16);
        let bright = Volume::new(bright, labels.volume().voxel_size()).unwrap();
        let channels = [Channel::new("actin", &bright)];
        let measured = |groups: Groups| {
            let params = MeasureParams { groups, ..MeasureParams::default() };
            measure(&labels, &channels, "A", &Rigid::identity(), &params).unwrap()
        };
        let all = measured(Groups::default());
        let mut n_columns = 0;
        for group in Group::ALL {
            let one = measured(Groups::only(&[group]));
            for (alone, among) in [
                (&one.table, &all.table),
                (&one.context, &all.context),
                (&one.intensity, &all.intensity),
            ] {
                for name in alone.columns() {
                    let (alone, among) = (alone.column(name).unwrap(), among.column(name).unwrap());
                    assert!(
                        alone.iter().zip(among).all(|(a, b)| a.to_bits() == b.to_bits()),
                        "{name}"
                    );
                }
                n_columns += alone.columns().len();
            }
            assert_eq!((&one.contacts, one.landmarks), (&all.contacts, None));
        }
        let n_measured = registry::all().filter(|feature| feature.group != Group::Landmarks);
        assert_eq!(n_columns, n_measured.count(), "each in one group");
        assert!(measured(Groups::only(&[])).table.columns().is_empty());
    }

    #[test]
    fn landmarks_set_while_measuring_are_those_set_alone() {
        let mut voxels = Array3::zeros((6, 9, 12));
        voxels.slice_mut(s![1..5, 2..8, 2..7]).fill(4);
        voxels.slice_mut(s![1..5, 2..8, 7..11]).fill(6);
        let labels = labels(voxels, [0.4, 0.3, 0.3]);
        let bright = Array3::from_shape_fn((6, 9, 12), |(z, y, x)| (z * y * x % 7) as u8);
        let bright = Volume::new(bright, labels.volume().voxel_size()).unwrap();
        let channels = [Channel::new("actin", &bright)];
        let landmarks = LandmarkParams { n_landmarks: 50, ..LandmarkParams::default() };
        let alone = crate::sample_landmarks(&labels, &channels, &landmarks).unwrap();
        assert_eq!((alone.shape.len(), alone.proteins[0].len()), (2, 2));
        for groups in [Groups::default(), Groups::only(&[])] {
            let params =
                MeasureParams { groups, landmarks: Some(landmarks), ..MeasureParams::default() };
            let found = measure(&labels, &channels, "A", &Rigid::identity(), &params).unwrap();
            assert_eq!(found.landmarks.as_ref(), Some(&alone));
        }
        let bright_only = [channels[0].without_landmarks()];
        let params = MeasureParams { landmarks: Some(landmarks), ..MeasureParams::default() };
        let found = measure(&labels, &bright_only, "A", &Rigid::identity(), &params).unwrap();
        assert!(found.intensity.column("actin_mean_whole").is_ok());
        let found = found.landmarks.unwrap();
        assert_eq!((found.shape, found.proteins), (alone.shape, Vec::new()));
    }

    #[test]
    fn a_value_that_is_not_finite_is_refused_where_it_matters() {
        let mut voxels = Array3::zeros((3, 3, 3));
        voxels[[1, 1, 1]] = 7;
        let labels = labels(voxels, [1.0; 3]);
        let mut actin = Array3::from_elem((3, 3, 3), f32::NAN);
        let channel = |actin: &Array3<f32>| {
            let volume = Volume::new(actin.clone(), labels.volume().voxel_size()).unwrap();
            let channels = [Channel::new("actin", &volume)];
            measure(&labels, &channels, "A", &Rigid::identity(), &MeasureParams::default())
        };
        assert!(matches!(channel(&actin), Err(FeatureError::NotFinite { cell: 7, .. })));
        actin[[1, 1, 1]] = 1.0;
        assert!(channel(&actin).is_ok());
    }

    #[test]
    fn no_cells_make_an_empty_table() {
        let found = measured(&labels(Array3::zeros((2, 2, 2)), [1.0; 3]), &[]);
        assert_eq!(found.table.n_cells(), 0);
        assert!(found.contacts.is_empty());
    }
}
