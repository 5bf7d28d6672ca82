//! `primordia walk`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use primordia::walk::{WalkParams, walk_file, write_walk};

use super::output::check_new_folder;

/// Draw cells along an axis of an atlas's shape space
///
/// Goes through the mean cell, from one end of an axis of the shape space `harmonics` to the other, and
/// leaves in a new folder a mesh of each step (PLY, in µm along the axes of the tissue) and one picture
/// of them all on one scale (SVG). Axis 1 is the one along which surfaces differ most. With --channel, a
/// protein's mean layout is painted into each cell: an image of its density (OME-TIFF; 1 is the
/// cell's mean), and a section of it in the picture.
#[derive(Args)]
#[command(after_help = "Examples:
  primordia walk atlas.h5 -o walk
  primordia walk atlas.h5 --axis 2 --steps 5 --extent 3 -o axis2
  primordia walk atlas.h5 --channel actin -o actin")]
pub(super) struct Walk {
    /// Atlas to read (.h5, .h5ad)
    atlas: PathBuf,
    /// Folder to make
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// Axis of the shape space, from 1 on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    axis: u32,
    /// Number of shapes, up to 25; an odd one has the mean cell in its middle
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=25))]
    steps: u32,
    /// How far to go either way, in standard deviations
    #[arg(long, value_name = "SD", default_value_t = 2.0, value_parser = parse_extent)]
    extent: f64,
    /// Protein to paint into the cells
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
}

fn parse_extent(text: &str) -> Result<f64, String> {
    /// Beyond it, no cell lies, and surfaces turn inside out.
    const FARTHEST: f64 = 10.0;
    match text.parse() {
        Ok(extent) if extent > 0.0 && extent <= FARTHEST => Ok(extent),
        _ => Err(format!("a number above 0 and up to {FARTHEST} wanted, such as 2")),
    }
}

impl Walk {
    pub(super) fn run(&self, quiet: bool) -> anyhow::Result<()> {
        check_new_folder(&self.output)?;
        let params = WalkParams {
            axis: self.axis as usize,
            n_steps: self.steps as usize,
            extent_sd: self.extent,
            protein: self.channel.clone(),
        };
        let walk = walk_file(&self.atlas, &params)
            .with_context(|| format!("cannot walk through {}", self.atlas.display()))?;
        let files = write_walk(&self.output, &walk)?;
        if !quiet {
            say!(
                "axis {} of {}: {:.1} % of the variance of the surfaces of {} cells, 1 standard deviation is {:.2} µm",
                walk.axis,
                walk.n_axes,
                100.0 * walk.explained,
                walk.n_cells,
                walk.deviation_um
            );
        }
        for file in files {
            say!("{}", file.display());
        }
        Ok(())
    }
}
