//! The cells of one label image as a table, a row per cell: every feature of the registry, or how sure
//! the segmentation is of each.

use nalgebra::Point3;
use ndarray::ArrayView1;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use primordia_data::image::ImageFile;
use primordia_data::{CellTable, Labels, Rigid, Volume};
use primordia_features::sweep::extents;
use primordia_features::{
    CellQuality, Channel, Group, Groups, LandmarkParams, MeasureParams, Measured, cloud_table,
    mean_of_neighbours, measure,
};
use primordia_segmentation::{Segmentation, TiledSegmentation};

use crate::error::{AtlasError, Result};
use crate::query::tables::{counts, numbers, text};

/// What a table of measured cells holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// The features of these groups.
    pub groups: Groups,
    /// For every feature of the cell and its channels `neighbours_FEATURE`: its mean over the cells
    /// that a cell touches, weighted by the area of contact.
    pub neighbours: bool,
    /// Moments of landmarks up to this order, with [`Group::Landmarks`]; the paper of Hartmann et
    /// al. 2020 (doi:10.7554/eLife.55913) uses 5.
    pub moment_order: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { groups: Groups::default(), neighbours: false, moment_order: 5 }
    }
}

impl Wanted {
    /// The features of these groups and no others.
    pub fn only(groups: Groups) -> Self {
        Self { groups, ..Self::default() }
    }
}

/// Measures every cell of `labels`, and its brightness in every channel of `image`, which lies on
/// their grid.
///
/// Columns: `cell` (the label), `image_x_um`, `image_y_um`, `image_z_um` (its centroid), the features
/// of [`registry::SHAPE`](primordia_features::registry::SHAPE) and
/// [`registry::CONTEXT`](primordia_features::registry::CONTEXT), for every channel those of
/// [`registry::INTENSITY`](primordia_features::registry::INTENSITY) after the channel's name and `_`,
/// with [`Group::Landmarks`] those of [`cloud_table`] for 2,000 random landmarks of the shape and
/// of every channel, then `rosette` (1, 2, …; the one to which the cell belongs; with
/// [`Group::Context`]), `box_first_z_voxel`, `box_end_z_voxel` (the cell's voxels in the image, without
/// the end) and the same of y and x, `n_voxels`, `n_pieces`, `touches_border` and `quality` (`sound`,
/// or what is wrong). Features that follow the tissue's axes follow those of the image. What cannot
/// be measured, or is not there, is NULL.
///
/// # Errors
/// [`AtlasError::Data`] if a channel cannot be read or is not finite, [`AtlasError::Feature`] if it
/// lies on another grid or two share a name.
///
/// # Example
/// ```
/// # use {ndarray::Array3, primordia::measured::{Wanted, measured_table}, primordia_data::*};
/// # use primordia_features::{Group, Groups};
/// let voxel_size = VoxelSize::from_um([0.5, 0.25, 0.25])?;
/// let labels = Labels::from_voxels(Array3::ones((4, 8, 8)), voxel_size)?;
/// let table = measured_table(&labels, None, &Wanted::only(Groups::only(&[Group::Size])))?;
/// assert_eq!(table.column("volume_um3").unwrap().f64().unwrap().get(0), Some(8.0));
/// # Ok::<_, primordia::AtlasError>(())
/// ```
pub fn measured_table(
    labels: &Labels,
    image: Option<&ImageFile>,
    wanted: &Wanted,
) -> Result<DataFrame> {
    let names = image.map(ImageFile::channel_names_or_numbers).unwrap_or_default();
    let measured = measured(labels, image, &names, wanted.groups)?;
    let mut more = if wanted.neighbours { neighbours(&measured) } else { Vec::new() };
    more.extend(of_landmarks(&measured, &names, wanted.moment_order)?);
    data_frame("features", columns(&measured, wanted.groups, more))
}

fn measured(
    labels: &Labels,
    image: Option<&ImageFile>,
    names: &[String],
    groups: Groups,
) -> Result<Measured> {
    let volumes: Vec<Volume<f32>> = image
        .into_iter()
        .flat_map(|image| (0..image.n_channels()).map(|index| image.read_volume_f32(index)))
        .collect::<Result<_, _>>()?;
    let channels: Vec<Channel> =
        names.iter().zip(&volumes).map(|(name, volume)| Channel::new(name, volume)).collect();
    let landmarks = groups.contains(Group::Landmarks).then(LandmarkParams::default);
    let params = MeasureParams { groups, landmarks, ..MeasureParams::default() };
    Ok(measure(labels, &channels, "", &Rigid::identity(), &params)?)
}

/// The features of landmarks, if there are any: those of the shape, then of every channel.
fn of_landmarks(measured: &Measured, channels: &[String], order: usize) -> Result<Vec<Column>> {
    let Some(landmarks) = &measured.landmarks else { return Ok(Vec::new()) };
    let cells = measured.table.cells();
    let prefixes = channels.iter().map(|name| format!("{name}_"));
    let clouds = std::iter::once(&landmarks.shape).chain(&landmarks.proteins);
    let mut columns = Vec::new();
    for (prefix, clouds) in std::iter::once(String::new()).chain(prefixes).zip(clouds) {
        columns.extend(features(&cloud_table(cells, clouds, order, &prefix)?));
    }
    Ok(columns)
}

fn data_frame(table: &str, columns: Vec<Column>) -> Result<DataFrame> {
    let n_cells = columns.first().map_or(0, Column::len);
    DataFrame::new(n_cells, columns)
        .map_err(|source| AtlasError::Table { table: table.to_owned(), source })
}

/// A cell that was found.
#[derive(Clone, Debug)]
pub struct FoundCell {
    /// Its label.
    pub label: u32,
    /// The probability that it is one whole cell, where the method says.
    pub probability: Option<f32>,
    /// Its centroid in the image.
    pub centroid_um: Point3<f64>,
    /// Its volume.
    pub volume_um3: f64,
}

impl FoundCell {
    /// Those of a segmentation.
    pub fn all(found: &Segmentation) -> Vec<Self> {
        let (labels, voxel_size) = (&found.labels, found.labels.volume().voxel_size());
        let confidence = found.confidence();
        let cells = labels.cells().iter().zip(extents(labels)).enumerate();
        cells
            .map(|(row, (&label, extent))| Self {
                label,
                probability: confidence.as_ref().map(|p| p[row]),
                centroid_um: extent.centroid_um(voxel_size),
                volume_um3: extent.volume_um3(voxel_size),
            })
            .collect()
    }

    /// Those of a segmentation whose labels wait on disk.
    pub fn all_tiled(found: &TiledSegmentation) -> Vec<Self> {
        let voxel_size = found.labels.voxel_size();
        let [z_um, y_um, x_um] = voxel_size.um();
        let cells = (1..).zip(&found.moments).zip(found.confidence());
        cells
            .map(|((label, &(n, sums)), p)| {
                let [z, y, x] = sums.map(|sum| sum as f64 / n as f64);
                Self {
                    label,
                    probability: Some(p),
                    centroid_um: Point3::new(x * x_um, y * y_um, z * z_um),
                    volume_um3: n as f64 * voxel_size.volume_um3(),
                }
            })
            .collect()
    }
}

/// The cells that a segmentation found, the least sure first.
///
/// Columns: `cell` (the label), `whole_cell_probability` (where the method says), `image_x_um`,
/// `image_y_um`, `image_z_um` (its centroid), `volume_um3`.
///
/// # Errors
/// [`AtlasError::Table`] if the table cannot be made, which only a lack of memory brings about.
pub fn found_table(mut cells: Vec<FoundCell>) -> Result<DataFrame> {
    let probability = |cell: &FoundCell| cell.probability.map_or(1.0, f64::from);
    cells.sort_by(|a, b| probability(a).total_cmp(&probability(b)));
    let names: Vec<String> = cells.iter().map(|cell| cell.label.to_string()).collect();
    let centroids_um: Vec<_> = cells.iter().map(|cell| cell.centroid_um).collect();
    let mut columns = vec![text("cell", names.iter().map(|name| Some(&**name)))];
    if cells.iter().any(|cell| cell.probability.is_some()) {
        columns.push(numbers("whole_cell_probability", cells.iter().map(probability)));
    }
    columns.extend(places(&centroids_um));
    columns.push(numbers("volume_um3", cells.iter().map(|cell| cell.volume_um3)));
    data_frame("cells", columns)
}

/// All columns of the table, with `more` after the features.
fn columns(measured: &Measured, groups: Groups, more: Vec<Column>) -> Vec<Column> {
    let cells = measured.table.cells().iter();
    let mut columns = vec![text("cell", cells.map(|id| Some(&*id.cell)))];
    columns.extend(places(&measured.centroids_image_um));
    columns.extend(features(&measured.table));
    columns.extend(features(&measured.context));
    columns.extend(features(&measured.intensity));
    columns.extend(more);
    if groups.contains(Group::Context) {
        let rosettes = measured.rosette_numbers().into_iter();
        let number = |number: Option<u32>| number.map_or(f64::NAN, f64::from);
        columns.push(numbers("rosette", rosettes.map(number)));
    }
    columns.extend(boxes(measured));
    columns.extend(quality(&measured.quality));
    columns
}

/// Where in the image the voxels of each cell begin and end.
fn boxes(measured: &Measured) -> impl Iterator<Item = Column> {
    let axes = ["z", "y", "x"].into_iter().enumerate();
    axes.flat_map(|(k, axis)| {
        let boxes = || measured.boxes.iter();
        [
            counts(&format!("box_first_{axis}_voxel"), boxes().map(|voxels| voxels[k].start)),
            counts(&format!("box_end_{axis}_voxel"), boxes().map(|voxels| voxels[k].end)),
        ]
    })
}

/// Where cells are in the image.
fn places(centroids_um: &[Point3<f64>]) -> impl Iterator<Item = Column> {
    let axes = ["image_x_um", "image_y_um", "image_z_um"].into_iter().enumerate();
    axes.map(|(axis, name)| numbers(name, centroids_um.iter().map(|point| point[axis])))
}

/// The means over neighbours of all features whose means are no features themselves.
fn neighbours(measured: &Measured) -> Vec<Column> {
    let known = measured.context.columns();
    let mean = |(name, values): (&String, ArrayView1<f64>)| {
        let name = format!("neighbours_{name}");
        let means = mean_of_neighbours(&values, &measured.contacts);
        (!known.contains(&name)).then(|| numbers(&name, means.into_iter()))
    };
    let mut columns = Vec::new();
    for table in [&measured.table, &measured.intensity] {
        let values = table.values();
        columns.extend(table.columns().iter().zip(values.columns()).filter_map(mean));
    }
    columns
}

fn features(table: &CellTable) -> Vec<Column> {
    let values = table.values();
    let named = table.columns().iter().zip(values.columns());
    named.map(|(name, values)| numbers(name, values.iter().copied())).collect()
}

fn quality(cells: &[CellQuality]) -> [Column; 4] {
    let touches_border: Vec<bool> = cells.iter().map(|cell| cell.touches_border).collect();
    let words = |cell: &CellQuality| match cell.reasons() {
        reasons if reasons.is_empty() => "sound".to_owned(),
        reasons => reasons.join("; "),
    };
    let words: Vec<String> = cells.iter().map(words).collect();
    [
        counts("n_voxels", cells.iter().map(|cell| cell.n_voxels as usize)),
        counts("n_pieces", cells.iter().map(|cell| cell.n_pieces)),
        Series::new("touches_border".into(), touches_border).into(),
        text("quality", words.iter().map(|words| Some(&**words))),
    ]
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use primordia_data::VoxelSize;
    use primordia_data::image::write_ome_tiff;
    use primordia_features::registry;

    use super::*;

    #[test]
    fn a_row_is_a_cell_and_every_feature_has_a_column() {
        let size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
        let cell = |(z, y, x)| match (z, y, x) {
            (1..=4, 1..=8, 1..=8) => 7_u32,
            (6, 9, 11) => 300,
            _ => 0,
        };
        let voxels = Array3::from_shape_fn((7, 10, 12), cell);
        let bright = voxels.mapv(|label| (label.min(20)) as u8);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.ome.tif");
        write_ome_tiff(&path, &[("actin", (&bright).into()), ("", (&bright).into())], size)
            .unwrap();
        let labels = Labels::from_voxels(voxels, size).unwrap();
        let image = ImageFile::open(&path).unwrap();
        let table = measured_table(&labels, Some(&image), &Wanted::default()).unwrap();

        let number = |name: &str, row| table.column(name).unwrap().f64().unwrap().get(row);
        let word = |name: &str, row| table.column(name).unwrap().str().unwrap().get(row);
        assert_eq!((table.height(), word("cell", 0), word("cell", 1)), (2, Some("7"), Some("300")));
        assert_eq!(number("image_x_um", 0), Some(2.25));
        assert_eq!(number("image_z_um", 1), Some(6.0));
        assert_eq!(number("volume_um3", 0), Some(64.0));
        assert_eq!(number("actin_mean_whole", 0), Some(7.0));
        assert_eq!(number("channel_1_mean_whole", 1), Some(20.0));
        assert_eq!(number("actin_mean_inside", 1), None, "all of one voxel is membrane");
        assert!(word("quality", 1).unwrap().contains("one voxel"), "{:?}", word("quality", 1));
        let n_features =
            registry::SHAPE.len() + registry::CONTEXT.len() + 2 * registry::INTENSITY.len();
        assert_eq!(table.width(), 1 + 3 + n_features + 1 + 6 + 4);
        assert_eq!(number("rosette", 0), None);
        let count = |name: &str, row| table.column(name).unwrap().i64().unwrap().get(row);
        assert_eq!(
            ["z", "y", "x"].map(|k| count(&format!("box_first_{k}_voxel"), 0)),
            [Some(1); 3]
        );
        assert_eq!(count("box_end_z_voxel", 0), Some(5));

        // Side by side, the halves of a cell are each other's only neighbours.
        let halves = Array3::from_shape_fn((7, 10, 12), |(z, y, x)| match cell((z, y, x)) {
            7 => 1 + u32::from(x > 4),
            _ => 0,
        });
        let halves = Labels::from_voxels(halves, size).unwrap();
        let wanted = Wanted { neighbours: true, ..Wanted::only(Groups::ALL) };
        let table = measured_table(&halves, Some(&image), &wanted).unwrap();
        let number = |name: &str, row| table.column(name).unwrap().f64().unwrap().get(row);
        assert_eq!(number("neighbours_volume_um3", 0), number("volume_um3", 1));
        assert_eq!(number("neighbours_actin_sum_whole", 1), number("actin_sum_whole", 0));
        // Landmarks are about the centroid, and a channel that is the same all over has none.
        assert!(number("moment_z0_y0_x1_um", 0).unwrap().abs() < 0.1);
        assert!(number("landmarks_pairs_mean_um", 0).unwrap() > 1.0);
        assert_eq!(number("actin_landmarks_radius_mean_um", 0), None);
    }
}
