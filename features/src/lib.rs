//! From labelled cells to numbers: measurements, neighbours, landmarks and shape spaces.
//!
//! [`measure()`] is the whole of one specimen: [`sweep`] finds every cell in one pass, [`cell`]
//! cuts each out, [`mesh`] draws its surface, `shell` its membrane, [`contacts`] its neighbours,
//! [`intensity`] its brightness. [`registry`] is the one list of what is measured.
//!
//! [`landmarks`] turns a cell, or a protein in it, into a cloud of points; [`cbe`] turns clouds
//! of many cells into a space, and each cloud into a point of it. [`harmonics`] describes a surface
//! so that it can be drawn again. [`mod@explode`] draws the cells of a tissue apart.
//! so that it can be drawn again. [`context`] tells
//! where a cell stands among the others. [`explode`] draws the cells of a tissue apart.

mod bits;
pub mod cbe;
pub mod cell;
pub mod contacts;
pub mod context;
pub mod error;
pub mod explode;
pub mod harmonics;
pub mod intensity;
pub mod landmarks;
pub mod measure;
pub mod mesh;
pub mod moments;
mod pieces;
mod points;
pub mod registry;
pub mod shape;
mod shell;
mod smooth;
pub mod sweep;

pub use cbe::{CbeFrame, CbeParams, CbeSpace};
pub use contacts::Contact;
pub use context::{ContextParams, context, mean_of_neighbours};
pub use error::{FeatureError, Result};
pub use explode::{ExplodeAbout, ExplodeParams, Exploded, explode, explode_without_overlap};
pub use harmonics::{CellHarmonics, Harmonics, HarmonicsParams, cell_harmonics};
pub use intensity::Channel;
pub use landmarks::{LandmarkParams, Landmarks, Placement, sample_landmarks, turned_to_tissue};
pub use measure::{CellQuality, MeasureParams, Measured, measure};
pub use mesh::Mesh;
pub use moments::{moment_names, moments};
