//! Pictures of an atlas: sections, maps of the tissue, predictions beside measurements, and a page.
//!
//! [`section()`] paints one plane of an image and its cells, [`found_cells`] shows what a segmentation found; [`tissue_map()`] draws the cells of an
//! atlas where they lie, each in the colour of a value; [`measured_against_predicted`] sets a
//! prediction beside the truth, and [`held_out_scores`] beside its baselines. [`walk_figure`] shows
//! shapes along an axis of a shape space. [`overview`] composes sections, maps and predictions
//! into one figure and [`page`] puts that figure on a page that needs no network.
//!
//! Everything comes back as text (SVG, HTML) or pixels: nothing here opens a file. The same input
//! gives the same bytes. Colours can be told apart without colour vision of the usual kind; what
//! was never measured is grey.

mod axis;
mod canvas;
mod colour;
mod found;
mod numbers;
mod overview;
mod page;
mod raster;
mod scatter;
mod scores;
mod section;
mod shade;
mod tissue_map;
mod walk;

#[cfg(test)]
mod fake;

pub use colour::cell_colours;
pub use found::found_cells;
pub use overview::{Overview, Plane, overview};
pub use page::{Answer, Command, Page, page};
pub use raster::Raster;
pub use scatter::{Comparison, measured_against_predicted};
pub use scores::held_out_scores;
pub use section::{Paint, Section, Tint, section, section_figure};
pub use tissue_map::{TissueMap, tissue_map};
pub use walk::walk_figure;
