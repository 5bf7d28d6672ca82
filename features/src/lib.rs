//! From labelled cells to numbers: measurements, neighbours, landmarks and shape spaces.
//!
//! [`measure()`] is the whole of one specimen: [`sweep`] finds every cell in one pass, [`cell`]
//! cuts each out, [`mesh`] draws its surface, `shell` its membrane, [`contacts`] its neighbours,
//! `values` gathers its brightness, [`intensity`] and `texture` measure it; [`context`] tells where it stands among the others,
//! and [`rosettes`] where many cells meet. [`registry`] is the one list of what is measured.
//!
//! [`landmarks`] turns a cell, or a protein in it, into a cloud of points; [`clouds`] measures those, [`cbe`] turns clouds
//! of many cells into a space, and each cloud into a point of it. [`harmonics`] describes a surface
//! so that it can be drawn again, and [`layout`] what is where inside it. [`noise`] says how far all of that moves when the
//! same cells are imaged `again`. [`mod@explode`] draws the cells of a tissue apart.

mod again;
mod bits;
pub mod cbe;
pub mod cell;
pub mod clouds;
pub mod contacts;
pub mod context;
mod curvature;
pub mod error;
pub mod explode;
pub mod groups;
pub mod harmonics;
pub mod intensity;
pub mod landmarks;
pub mod layout;
pub mod measure;
pub mod mesh;
pub mod moments;
pub mod noise;
mod pieces;
mod points;
pub mod registry;
pub mod rosettes;
pub mod shape;
mod shell;
mod smooth;
pub mod sweep;
mod texture;
mod values;

pub use cbe::{CbeFrame, CbeParams, CbeSpace};
pub use clouds::cloud_table;
pub use contacts::Contact;
pub use context::mean_of_neighbours;
pub use error::{FeatureError, Result};
pub use explode::{ExplodeAbout, ExplodeParams, Exploded, explode, explode_without_overlap};
pub use groups::{Group, Groups};
pub use harmonics::{CellHarmonics, Harmonics, HarmonicsParams, cell_harmonics};
pub use intensity::Channel;
pub use landmarks::{LandmarkParams, Landmarks, Placement, sample_landmarks, turned_to_tissue};
pub use layout::{Layout, LayoutParams, cell_layouts};
pub use measure::{CellQuality, MeasureParams, Measured, measure};
pub use mesh::Mesh;
pub use moments::{moment_names, moments};
pub use noise::{FeatureNoise, NoiseOf, NoiseParams, resampling_noise};
pub use rosettes::Rosette;
