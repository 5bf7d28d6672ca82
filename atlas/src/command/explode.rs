//! `primordia explode`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, bail};
use clap::Args;
use ndarray::Array3;
use primordia::figure::cell_colours;
use primordia::walk::ply_of_cells;
use primordia_data::image::{
    ImageFile, Pixel, Voxels, VoxelsView, check_suffix, write_labels, write_ome_tiff,
};
use primordia_data::{DataError, Labels, Volume, VoxelSize, replace_file};
use primordia_features::{ExplodeAbout, ExplodeParams, Exploded, explode, explode_without_overlap};

use super::along_axes::parse_factor;
use super::labelled::Labelled;
use super::output::check_folder;

/// Draw the cells of a tissue apart, so that each can be seen
///
/// Every cell moves as a whole away from the middle of the tissue, by a multiple of its distance
/// from it; cells keep their numbers, their orientation and, unless --shrink is given, their size.
/// Channels of an image move with their cells, in their own pixel type; between cells they are 0.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia explode labels.ome.tif -o exploded.ome.tif
  primordia explode labels.ome.tif --factor 1,1.7,1.7 --shrink 0.9 -o flat.ome.tif
  primordia explode labels.ome.tif --image embryo.ome.tif --apart -o exploded.ome.tif
                                                          # and exploded_image.ome.tif
  primordia explode labels.ome.tif --meshes exploded.ply -o exploded.ome.tif")]
pub(super) struct Explode {
    /// Label image to read (.tif, .tiff, .h5)
    labels: PathBuf,
    #[command(flatten)]
    labelled: Labelled,
    /// Label image to write (.tif, .tiff, .h5)
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
    /// Exploded image to write (.tif, .tiff) [default: OUT with `_image.ome.tif` as its ending]
    #[arg(long, value_name = "OUT_IMAGE", requires = "image")]
    image_output: Option<PathBuf>,
    /// How far cells lie from the middle, as a multiple of before: one number, or Z,Y,X
    #[arg(long, default_value = "1.7", value_parser = parse_factor)]
    factor: [f64; 3],
    /// Size of each cell, as a multiple of before: 0.8 draws it a fifth smaller
    #[arg(long, value_name = "SIZE", default_value_t = 1.0)]
    shrink: f64,
    /// Enlarge the factor until no two cells overlap
    #[arg(long)]
    apart: bool,
    /// Surfaces of the cells where they are drawn, to write (.ply): in µm, each triangle with the number
    /// of its cell (`label`) and a colour
    #[arg(long, value_name = "MESHES")]
    meshes: Option<PathBuf>,
}

impl Explode {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        check_folder(&self.output)?;
        check_suffix(&self.output)?;
        let image_output = self.image_output();
        if self.labelled.has_image() {
            check_image_output(&image_output, &self.output)?;
        }
        if let Some(meshes) = &self.meshes {
            check_folder(meshes)?;
            check_ply(meshes)?;
        }
        let (labels, image) = self.labelled.read(&self.labels)?;
        let (exploded, factor) = self
            .exploded(&labels)
            .with_context(|| format!("cannot explode {}", self.labels.display()))?;
        let drawn = exploded.labels()?;
        match &image {
            Some(image) => {
                let moved = Moved::of(&exploded, image)?;
                moved.write_with(&image_output, || Ok(write_labels(&self.output, &drawn)?))?;
            }
            None => write_labels(&self.output, &drawn)?,
        }
        if let Some(path) = &self.meshes {
            write_meshes(path, &exploded, &labels).with_context(|| {
                let labels = self.output.display();
                format!("cannot write {}; the labels are in {labels}", path.display())
            })?;
        }
        if !quiet {
            let [z, y, x] = exploded.shape();
            say!(
                "{}{}, {} voxels overlap, {z} × {y} × {x} voxels (z, y, x) in {}{}",
                n_drawn(&labels, &drawn),
                factor.map_or_else(String::new, |factor| format!(", factor {factor:.2}")),
                exploded.n_overlapping_voxels(),
                self.output.display(),
                image.map_or_else(String::new, |_| format!(" and {}", image_output.display())),
            );
        }
        Ok(())
    }

    /// The cells, moved; with `--apart`, the factor that was needed.
    fn exploded(&self, labels: &Labels) -> anyhow::Result<(Exploded, Option<f64>)> {
        let about = ExplodeAbout::Tissue;
        let params = ExplodeParams { factor: self.factor, about, cell_scale: self.shrink };
        if self.apart {
            let (exploded, factor) = explode_without_overlap(labels, &params)?;
            return Ok((exploded, Some(factor)));
        }
        Ok((explode(labels, &params)?, None))
    }

    /// Where the exploded image goes: `tissue_image.ome.tif` beside `tissue.ome.tif` or `tissue.h5`.
    fn image_output(&self) -> PathBuf {
        self.image_output.clone().unwrap_or_else(|| {
            let stem = self.output.file_stem().unwrap_or_default().to_string_lossy();
            let stem = stem.strip_suffix(".ome").unwrap_or(&stem);
            self.output.with_file_name(format!("{stem}_image.ome.tif"))
        })
    }
}

/// Checks, before any work, that channels can be written there.
fn check_image_output(path: &Path, labels: &Path) -> anyhow::Result<()> {
    check_folder(path)?;
    let suffix = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["tif", "tiff"].contains(&suffix.as_str()) {
        bail!(
            "{} has the suffix {suffix:?}; images are written as OME-TIFF, so .tif or .tiff wanted",
            path.display()
        );
    }
    if path == labels {
        bail!("{} is the output of both labels and image; name two files", path.display());
    }
    Ok(())
}

/// How many cells can be seen: a cell much smaller than a voxel, or behind others, cannot.
fn n_drawn(labels: &Labels, drawn: &Labels) -> String {
    match (labels.n_cells(), drawn.n_cells()) {
        (all, seen) if all == seen => format!("{all} cells"),
        (all, seen) => format!("{seen} of {all} cells (others are too small, or hidden)"),
    }
}

/// Checks, before any work, that surfaces can be written under this name.
fn check_ply(path: &Path) -> anyhow::Result<()> {
    if path.extension().is_none_or(|suffix| !suffix.eq_ignore_ascii_case("ply")) {
        bail!("cannot write {}: surfaces are a .ply file; choose that ending", path.display());
    }
    Ok(())
}

/// Writes the surface of every cell into one file.
fn write_meshes(path: &Path, exploded: &Exploded, labels: &Labels) -> anyhow::Result<()> {
    let named = labels.cells().iter().zip(cell_colours()).zip(exploded.meshes());
    let cells: Vec<_> = named.map(|((label, colour), mesh)| (*label, colour, mesh)).collect();
    let comment = "the cells of a label image, drawn apart; x, y, z in um".to_owned();
    let bytes = ply_of_cells(&cells, &[comment]);
    replace_file(path, Error::from, |file| Ok(std::fs::write(file, &bytes)?))
}

/// All channels of an image, moved with their cells, under the names that they have.
struct Moved {
    channels: Vec<(String, Voxels)>,
    voxel_size: VoxelSize,
}

impl Moved {
    fn of(exploded: &Exploded, image: &ImageFile) -> anyhow::Result<Self> {
        let voxel_size = image.required_voxel_size()?;
        let names = image.channel_names().iter().map(|name| name.clone().unwrap_or_default());
        let channel = |(index, name): (usize, String)| {
            Ok((name, moved(exploded, image.read_channel(index)?, voxel_size)?))
        };
        let channels = names.enumerate().map(channel).collect::<anyhow::Result<_>>()?;
        Ok(Self { channels, voxel_size })
    }

    /// Writes the image, and what `others` writes: the image has its name only once they have theirs,
    /// so that all are there, or none.
    fn write_with(
        &self,
        path: &Path,
        others: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let named = self.channels.iter().map(|(name, voxels)| (name.as_str(), voxels.into()));
        let named: Vec<(&str, VoxelsView)> = named.collect();
        let failed = |source| DataError::Write { path: path.to_owned(), source }.into();
        replace_file(path, failed, |partial| {
            write_ome_tiff(partial, &named, self.voxel_size).map_err(|error| match error {
                DataError::Image { problem, .. } => {
                    DataError::Image { path: path.to_owned(), problem }
                }
                other => other,
            })?;
            others()
        })
    }
}

/// A channel, moved, in its own type.
fn moved(exploded: &Exploded, channel: Voxels, voxel_size: VoxelSize) -> anyhow::Result<Voxels> {
    match channel {
        Voxels::U8(voxels) => moved_as(exploded, voxels, voxel_size),
        Voxels::U16(voxels) => moved_as(exploded, voxels, voxel_size),
        Voxels::U32(voxels) => moved_as(exploded, voxels, voxel_size),
        Voxels::F32(voxels) => moved_as(exploded, voxels, voxel_size),
        Voxels::F64(voxels) => moved_as(exploded, voxels, voxel_size),
    }
}

fn moved_as<T: Pixel + Default>(
    exploded: &Exploded,
    voxels: Array3<T>,
    voxel_size: VoxelSize,
) -> anyhow::Result<Voxels>
where
    Voxels: From<Array3<T>>,
{
    let channel = Volume::new(voxels, voxel_size)?;
    Ok(exploded.channel(&channel)?.into_voxels().into())
}
