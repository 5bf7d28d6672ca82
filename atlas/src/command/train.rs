//! `primordia train`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use primordia::build::cells::given_labels;
use primordia::train::{BoundaryTraining, Point};
use primordia_data::VoxelSize;
use primordia_data::image::ImageFile;
use primordia_segmentation::network::{Labelled, Recipe, n_weights};

use super::along_axes::parse_voxel_size;
use super::channel::membrane_channel;
use super::output::check_folder;

/// Train a network on phantoms and on labelled images
#[derive(Args)]
pub(super) struct Train {
    #[command(subcommand)]
    network: Network,
}

#[derive(Subcommand)]
enum Network {
    Boundary(TrainBoundary),
}

impl Train {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        match &self.network {
            Network::Boundary(boundary) => boundary.run(quiet),
        }
    }
}

/// Train the network that finds boundaries between cells
///
/// Learns from phantoms of any shape under microscopes of any kind and, for every other crop, from labelled images if
/// any are given. Writes the weights, and beside them OUTPUT.checkpoint and OUTPUT.csv, the losses as they fall.
/// The same command again goes on where a training stopped, with the recipe with which it began. Seed and images decide the weights;
/// the number of threads does not.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia train boundary -o boundary.safetensors
  primordia train boundary --start boundary.safetensors --steps 500 --image embryo.tif --labels curated.tif -o mine.safetensors
  primordia train boundary --start boundary.safetensors --steps 500 --image embryo.tif --labels few.tif --unlabelled 0 -o mine.safetensors
  primordia train boundary --start boundary.safetensors --steps 500 --image embryo.tif --scribbles strokes.tif -o mine.safetensors")]
struct TrainBoundary {
    /// Weights to write (.safetensors)
    #[arg(long, short, value_name = "WEIGHTS")]
    output: PathBuf,
    /// Membrane image to learn from as well; give it as often as there are images
    #[arg(long)]
    image: Vec<PathBuf>,
    /// Label image of each --image, in the same order
    #[arg(long)]
    labels: Vec<PathBuf>,
    /// Label of what nobody labelled, such as 0 where only some cells are curated: nothing is learned there
    /// [default: all is labelled, and 0 is outside]
    #[arg(long, value_name = "LABEL", requires = "labels")]
    unlabelled: Option<u32>,
    /// Scribbles on an --image, on its grid: 0 is unknown, 1 a boundary, 2 inside a cell or outside the
    /// tissue; images with --labels come first, then those with --scribbles, each in the same order
    #[arg(long)]
    scribbles: Vec<PathBuf>,
    /// Membrane channel of the images, by name or by number from 0 [default: the only one]
    #[arg(long, short, requires = "image")]
    channel: Option<String>,
    /// Voxel size in µm as Z,Y,X, where the images state none or a wrong one
    #[arg(long, value_name = "Z,Y,X", value_parser = parse_voxel_size, requires = "image")]
    voxel_size: Option<VoxelSize>,
    /// Weights to begin with [default: random ones]
    #[arg(long, value_name = "WEIGHTS")]
    start: Option<PathBuf>,
    /// How often weights are changed
    #[arg(long, value_name = "N", default_value_t = Recipe::default().steps)]
    steps: u64,
    /// Crops per step
    #[arg(long, value_name = "N", default_value_t = Recipe::default().crops)]
    crops: usize,
    /// The largest change of a weight per step
    #[arg(long, value_name = "RATE", default_value_t = Recipe::default().learning_rate)]
    learning_rate: f64,
    /// Decides the first weights, the phantoms and the crops
    #[arg(long, default_value_t = Recipe::default().seed, value_parser = clap::value_parser!(u64).range(..1_000_000_000))]
    seed: u64,
    /// Steps between two looks at crops that no step learns from; then the files are written, too
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
}

impl TrainBoundary {
    fn run(&self, quiet: bool) -> anyhow::Result<()> {
        check_folder(&self.output)?;
        if self.image.len() != self.labels.len() + self.scribbles.len() {
            bail!(
                "{} --image, {} --labels and {} --scribbles; every image needs labels or scribbles: first the \
                 images with labels, in the order of the labels, then those with scribbles",
                self.image.len(),
                self.labels.len(),
                self.scribbles.len()
            );
        }
        let labels = self.labels.iter().map(|path| (path, Kind::Labels));
        let taught = labels.chain(self.scribbles.iter().map(|path| (path, Kind::Scribbles)));
        let pairs = self.image.iter().zip(taught);
        let labelled = pairs.map(|(image, (path, kind))| self.read(image, path, kind));
        let labelled = labelled.collect::<anyhow::Result<Vec<_>>>()?;
        let recipe = Recipe {
            seed: self.seed,
            steps: self.steps,
            crops: self.crops,
            learning_rate: self.learning_rate,
            ..Recipe::default()
        };
        let job = BoundaryTraining {
            recipe,
            start: self.start.clone(),
            output: self.output.clone(),
            every: self.every,
        };
        job.run(labelled, |point| {
            if !quiet {
                let Point { step, loss, validation } = point;
                eprintln!(
                    "step {step}: loss {loss:.4}, on other phantoms {:.4}, overlap {:.3}",
                    validation.loss, validation.dice
                );
            }
        })?;
        if !quiet {
            say!("{} weights in {}", n_weights(), self.output.display());
        }
        Ok(())
    }

    /// An image with what a file teaches of it.
    fn read(&self, image: &Path, taught: &Path, kind: Kind) -> anyhow::Result<Labelled> {
        let mut image = ImageFile::open(image)?;
        if let Some(voxel_size) = self.voxel_size {
            image = image.with_voxel_size(voxel_size);
        }
        let channel = membrane_channel(&image, self.channel.as_deref())?;
        let labels = given_labels(&ImageFile::open(taught)?, &image)?;
        let membrane = image.read_volume_f32(channel)?;
        let labelled = match (kind, self.unlabelled) {
            (Kind::Scribbles, _) => Labelled::scribbled(&membrane, labels.volume()),
            (Kind::Labels, Some(unlabelled)) => Labelled::partly(&membrane, &labels, unlabelled),
            (Kind::Labels, None) => Labelled::new(&membrane, &labels),
        };
        labelled.with_context(|| {
            format!("cannot learn from {} with {}", image.path().display(), taught.display())
        })
    }
}

/// What a file says of an image.
#[derive(Clone, Copy)]
enum Kind {
    Labels,
    Scribbles,
}
