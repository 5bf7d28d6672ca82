//! One specimen: every cell's shape, brightness, place, neighbours and quality.

use std::collections::HashSet;
use std::sync::Arc;

use nalgebra::{Point3, Vector3};
use ndarray::Array2;
use primordia_data::{CellId, CellTable, ImageFrame, Labels, Rigid, TissueFrame};
use rayon::prelude::*;

use crate::cell::CellMask;
use crate::contacts::{Contact, Touching, border_um2};
use crate::context::{Tissue, outer_points};
use crate::curvature::bent_mesh;
use crate::error::{FeatureError, Result, positive};
use crate::intensity::{Channel, Intensities, Regions};
use crate::mesh::mask_area_um2;
use crate::pieces::n_pieces;
use crate::registry::{self, Feature};
use crate::rosettes::{Rosette, rosettes_of};
use crate::shape::{CellShape, SurfaceShape};
use crate::shell::membrane_shell;
use crate::sweep::Cells;
use crate::texture::Texture;

/// What to measure by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureParams {
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
        Self { membrane_um: 0.3, surface_smoothing_um: None, texture_um: 0.5, crowd_um: 15.0 }
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
    /// Where each cell's mass is centred, in the image.
    pub centroids_image_um: Vec<Point3<f64>>,
    /// Where each cell's mass is centred, in the tissue.
    pub centroids_tissue_um: Vec<Point3<f64>>,
    /// What to know before trusting a row.
    pub quality: Vec<CellQuality>,
    /// Which cells touch, and how much; each pair once, ordered by rows.
    pub contacts: Vec<Contact>,
    /// Where unusually many cells meet, the largest first.
    pub rosettes: Vec<Rosette>,
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
    /// No voxel lies deeper than the membrane shell: means over the inside are NaN.
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
/// threads.
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
        .map(|(row, touching)| task.measure_cell(&found, row, touching))
        .collect::<Result<_>>()?;

    let centroids_image_um: Vec<_> = cells.iter().map(|cell| cell.centroid_um).collect();
    let centroids_tissue_um: Vec<_> =
        centroids_image_um.iter().map(|p| to_tissue.point(p)).collect();
    let rosettes = rosettes_of(&found, voxel_size);
    let contexts = Tissue {
        shapes: &cells.iter().map(|cell| &cell.shape).collect::<Vec<_>>(),
        centroids_image_um: &centroids_image_um,
        centroids_tissue_um: &centroids_tissue_um,
        touching: &touching,
        rosettes: &rosettes,
        surface: &cells.iter().flat_map(|cell| cell.outer_points.iter().copied()).collect(),
        crowd_um,
    }
    .contexts();
    let ids = ids(specimen, labels.cells());
    let shapes: Vec<&CellShape> = cells.iter().map(|cell| &cell.shape).collect();
    Ok(Measured {
        table: table_of(registry::SHAPE, ids.clone(), &shapes)?,
        context: table_of(registry::CONTEXT, ids.clone(), &contexts.iter().collect::<Vec<_>>())?,
        intensity: intensity_table(ids, channels, &cells)?,
        centroids_tissue_um,
        centroids_image_um,
        contacts: contacts(&touching),
        rosettes,
        quality: cells.into_iter().map(|cell| cell.quality).collect(),
    })
}

/// What is the same for all cells.
struct Task<'a> {
    labels: &'a Labels,
    channels: &'a [Channel<'a>],
    to_tissue: &'a Rigid<ImageFrame, TissueFrame>,
    membrane_um: f64,
    smoothing_um: f64,
    texture_um: f64,
}

/// What is measured of one cell.
struct Cell {
    centroid_um: Point3<f64>,
    outer_points: Vec<[f32; 3]>,
    shape: CellShape,
    intensities: Vec<Intensities>,
    quality: CellQuality,
}

impl Task<'_> {
    fn measure_cell(&self, cells: &Cells, row: usize, touching: &Touching) -> Result<Cell> {
        let (runs, extent) = (cells.runs(row), cells.extent(row));
        let image = self.labels.volume();
        let voxel_size = image.voxel_size();
        let mask = CellMask::of_runs(runs, self.labels, &extent, [1; 3]);
        let (mesh, curvature) = bent_mesh(&mask, self.smoothing_um);
        let centroid_um = extent.centroid_um(voxel_size);
        let surface = SurfaceShape::of(&mesh, centroid_um, self.to_tissue);
        let shape = CellShape {
            volume_um3: extent.volume_um3(voxel_size),
            surface_um2: surface.area_um2,
            mask_surface_um2: mask_area_um2(&mask),
            semi_axes_um: extent.semi_axes_um(voxel_size),
            extents_tissue_um: surface.extents_tissue_um,
            extents_principal_um: surface.extents_principal_um,
            distal_um: surface.distal_um,
            front_um: surface.front_um,
            sphericity_deviation: surface.sphericity_deviation,
            roundness_deviation: surface.roundness_deviation,
            curvature,
            contact_cells_um2: touching.cells_um2(),
            contact_outside_um2: touching.outside_um2,
            contact_border_um2: border_um2(runs, image.shape(), voxel_size),
            n_neighbours: touching.cells.len(),
        };

        let shell = membrane_shell(&mask, self.membrane_um, image.shape());
        let apical = self.to_tissue.inverse().vector(&Vector3::z());
        let regions = Regions::of(&mask, &shell, centroid_um, apical);
        let rotation = self.to_tissue.rotation();
        let intensities = self
            .channels
            .iter()
            .map(|channel| {
                let values = channel.values(runs);
                let found = Intensities::of(&values, &regions);
                if !found.is_finite() {
                    return Err(channel.not_finite(self.labels.cells()[row]));
                }
                let texture = Texture::of(&values, runs, &extent, image, self.texture_um);
                let found = found.with_polarity(&values, runs, image, centroid_um, &rotation);
                Ok(found.with_texture(texture))
            })
            .collect::<Result<Vec<_>>>()?;
        let quality = CellQuality {
            n_voxels: extent.n_voxels,
            n_pieces: n_pieces(runs, image.shape()[1]),
            touches_border: (0..3)
                .any(|k| extent.first[k] == 0 || extent.end[k] == image.shape()[k]),
            all_membrane: regions.is_all_membrane(),
            channels_without_signal: (0..intensities.len())
                .filter(|&channel| intensities[channel].is_flat())
                .collect(),
            too_small_for_texture: intensities
                .iter()
                .any(|channel| !channel.is_flat() && channel.texture().contrast.is_nan()),
        };
        let outer_points = outer_points(&mesh, self.labels);
        Ok(Cell { centroid_um, outer_points, shape, intensities, quality })
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

/// A row per cell, a column per feature.
fn table_of<T>(features: &[Feature<T>], ids: Vec<CellId>, cells: &[&T]) -> Result<CellTable> {
    let columns = features.iter().map(|feature| feature.name.to_owned()).collect();
    let values = Array2::from_shape_fn((cells.len(), features.len()), |(row, column)| {
        features[column].value(cells[row])
    });
    Ok(CellTable::new(ids, columns, values)?)
}

fn intensity_table(ids: Vec<CellId>, channels: &[Channel], cells: &[Cell]) -> Result<CellTable> {
    let n_each = registry::INTENSITY.len();
    let columns = channels
        .iter()
        .flat_map(|channel| {
            registry::INTENSITY.iter().map(|feature| format!("{}_{}", channel.name(), feature.name))
        })
        .collect();
    let values = Array2::from_shape_fn((cells.len(), channels.len() * n_each), |(row, column)| {
        registry::INTENSITY[column % n_each].value(&cells[row].intensities[column / n_each])
    });
    Ok(CellTable::new(ids, columns, values)?)
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
