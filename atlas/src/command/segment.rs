//! `primordia segment`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, bail};
use clap::{Args, ValueEnum};
use primordia::build::bounded::{Segmented, segment_within};
use primordia::build::cells::{Finder, Found, Reference, segment_image};
use primordia::export::{TableFormat, export_table};
use primordia::figure::found_cells;
use primordia::measured::found_table;
use primordia_data::experiment::Segmentation as Recipe;
use primordia_data::image::{ImageFile, check_suffix};
use primordia_data::{VoxelSize, replace_file};
use primordia_segmentation::{Partition, Segmentation};

use super::along_axes::parse_voxel_size;
use super::channel::{membrane_channel, other_channel};
use super::memory_size::parse_memory;
use super::output::check_folder;

/// Segment the cells of a membrane-stained volume
///
/// Reads one channel of a TIFF or HDF5 stack and writes a label image: 0 is background, every other
/// number one cell, with the voxel size of the image. Says how sure it is: pass, look (some cells
/// are probably wrong, the least sure are named) or fail.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia segment embryo.ome.tif -o labels.ome.tif
  primordia segment embryo.h5 --channel membrane -o labels.h5 --cells cells.csv
  primordia segment embryo.ome.tif -o labels.ome.tif --picture found.svg
  primordia segment embryo.h5 --channel membrane --unmix nuclei -o labels.h5
  primordia segment embryo.h5 --channel membrane --nuclei nuclei -o labels.h5
  primordia segment dim.tif --method network -o labels.tif
  primordia segment large.tif --max-memory 4G -o labels.tif
  primordia segment embryo.tif --method hartmann2020 --max-offset 40 --step 2 -o labels.tif")]
pub(super) struct Segment {
    /// Image to read (.tif, .tiff, .h5)
    image: PathBuf,
    /// Label image to write (.tif, .tiff, .h5)
    #[arg(long, short, value_name = "LABELS")]
    output: PathBuf,
    /// Table of the cells to write as well, least sure first (.csv, .tsv, .json, .parquet)
    #[arg(long, value_name = "TABLE")]
    cells: Option<PathBuf>,
    /// Picture to write as well: two planes of the image, and the cells found in them (.svg)
    #[arg(long, value_name = "SVG", conflicts_with = "max_memory")]
    picture: Option<PathBuf>,
    /// Membrane channel, by name or by number from 0 [default: the only one]
    #[arg(long, short)]
    channel: Option<String>,
    /// Channel that bleeds into the membrane channel, by name or number: it is taken out first
    #[arg(long, value_name = "CHANNEL", conflicts_with = "max_memory")]
    unmix: Option<String>,
    /// auto, sheets, network: channel of the nuclei of the same cells, by name or number: regions that hold
    /// different nuclei seldom become one cell
    #[arg(long, value_name = "CHANNEL", conflicts_with = "max_memory")]
    nuclei: Option<String>,
    /// Membranes are darker than cells, as in a map of the probability of being inside a cell
    #[arg(long, conflicts_with = "unmix")]
    dark_membranes: bool,
    /// Data set to read of an HDF5 file [default: the only image]
    #[arg(long)]
    dataset: Option<String>,
    /// Voxel size in µm as Z,Y,X, where the file states none or a wrong one
    #[arg(long, value_name = "Z,Y,X", value_parser = parse_voxel_size)]
    voxel_size: Option<VoxelSize>,
    /// How to find the cells
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// auto, sheets, network: how pieces become cells
    #[arg(long, value_enum, default_value_t = Joining::Learned)]
    partition: Joining,
    /// auto, network: weights of your own, from `primordia train boundary` [default: those that come with Primordia]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Memory to take at most, such as 4G, 500M or 4GiB: an image that needs more is worked on in tiles, slower,
    /// and up to 20 bytes per voxel wait in a file beside LABELS (auto, sheets, network)
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    max_memory: Option<u64>,
    /// hartmann2020: thresholds are tried up to this many grey levels above the background
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    max_offset: u32,
    /// hartmann2020: grey levels between thresholds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    step: u32,
}

fn check_svg(path: &Path) -> anyhow::Result<()> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
        bail!("cannot write {}: a picture is an .svg file; choose that ending", path.display());
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The number of cells, and how sure they are.
fn said(found: &Segmentation) -> String {
    let n_cells = found.labels.n_cells();
    found
        .verdict()
        .map_or_else(|| format!("{n_cells} cells"), |verdict| format!("{n_cells} cells; {verdict}"))
}

/// How cells are found.
#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// Nothing to tune, any voxel size: by sheets, and where these leave doubts, with the network
    Auto,
    /// By bright sheets alone, without the network: the fastest
    Sheets,
    /// By sheets and a network, whatever the image: finds more cells in dim images
    Network,
    /// The recipe of Hartmann et al. 2020, in voxels
    Hartmann2020,
}

/// How pieces become cells.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Joining {
    /// Most probably one cell first, as learned from phantoms
    Learned,
    /// Least sheet between them first (average linkage): for comparison, it finds fewer cells in our tests
    Average,
    /// All faces at once (multicut): for comparison, it finds fewer cells in our tests
    Multicut,
}

impl Segment {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        check_folder(&self.output)?;
        check_suffix(&self.output)?;
        if let Some(path) = &self.cells {
            check_folder(path)?;
            TableFormat::of(path)?;
        }
        if let Some(path) = &self.picture {
            check_folder(path)?;
            check_svg(path)?;
        }
        let finder = self.finder()?;
        let mut image = ImageFile::open_dataset(&self.image, self.dataset.as_deref())?;
        if let Some(voxel_size) = self.voxel_size {
            image = image.with_voxel_size(voxel_size);
        }
        let channel = membrane_channel(&image, self.channel.as_deref())?;
        let reference = Reference {
            image: &image,
            channel,
            bleeding: other_channel(&image, channel, "--unmix", self.unmix.as_deref())?,
            nuclei: other_channel(&image, channel, "--nuclei", self.nuclei.as_deref())?,
            dark: self.dark_membranes,
        };
        let (found, network_was_asked, unmixing, n_nuclei) = match self.max_memory {
            None => {
                let Found { cells, network_was_asked, unmixing, n_nuclei } =
                    segment_image(&reference, &finder)?;
                (Segmented::Whole(cells), network_was_asked, unmixing, n_nuclei)
            }
            Some(most) => {
                let (found, asked) = segment_within(&reference, &finder, most, &self.output)?;
                (found, asked, None, None)
            }
        };
        found.write_labels(&self.output)?;
        if let Some(path) = &self.cells {
            export_table(path, &mut found_table(found.cells())?)?;
        }
        if let (Some(path), Segmented::Whole(found)) = (&self.picture, &found) {
            let (membrane, _) = reference.read()?;
            let (title, subtitle) = (file_name(&self.image), said(found));
            let picture = found_cells(&membrane, &found.labels, &title, &subtitle);
            let written =
                replace_file(path, Error::from, |file| Ok(std::fs::write(file, &picture)?));
            written.with_context(|| {
                format!(
                    "cannot write {}; the labels are in {}",
                    path.display(),
                    self.output.display()
                )
            })?;
        }
        if !quiet {
            say!("{} cells in {}", found.n_cells(), self.output.display());
            if let (Some(unmixing), Some(name)) = (unmixing, &self.unmix) {
                let (share, error) = (unmixing.coefficient, unmixing.standard_error);
                say!("{share:.4} ± {error:.4} of channel {name} was taken out first");
            }
            if let (Some(n_nuclei), Some(name)) = (n_nuclei, &self.nuclei) {
                say!("guided by {n_nuclei} nuclei in channel {name}");
            }
            if network_was_asked {
                say!("sheets alone left doubts: the network was asked as well");
            }
            if let Some(verdict) = found.verdict() {
                say!("{verdict}");
            }
        }
        Ok(())
    }

    fn finder(&self) -> anyhow::Result<Finder> {
        let recipe = match self.method {
            Method::Auto => Recipe::Automatic,
            Method::Sheets => Recipe::Sheets,
            Method::Network => Recipe::Network,
            Method::Hartmann2020 => {
                Recipe::Hartmann2020 { max_offset: self.max_offset, step: self.step }
            }
        };
        if let (Some(path), Method::Sheets | Method::Hartmann2020) = (&self.weights, self.method) {
            bail!(
                "--weights {} is for --method auto and network; choose one, or leave the weights out",
                path.display()
            );
        }
        if self.nuclei.is_some() && matches!(self.method, Method::Hartmann2020) {
            bail!(
                "--nuclei is for --method auto, sheets and network; leave it out, or choose another method"
            );
        }
        if self.partition != Joining::Learned && matches!(self.method, Method::Hartmann2020) {
            bail!(
                "--partition is for --method auto, sheets and network; leave it out, or choose another method"
            );
        }
        Ok(Finder::new(recipe, self.weights.as_deref())?.parted_by(match self.partition {
            Joining::Learned => Partition::Learned,
            Joining::Average => Partition::Average,
            Joining::Multicut => Partition::Multicut,
        }))
    }
}
