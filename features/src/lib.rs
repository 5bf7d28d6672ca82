//! From labelled cells to numbers: measurements, neighbours, landmarks and shape spaces.
//!
//! [`measure()`] is the whole of one specimen: [`sweep`] finds every cell in one pass, [`cell`]
//! cuts each out, [`mesh`] draws its surface, [`shell`] its membrane, [`contacts`] its neighbours,
//! [`intensity`] its brightness. [`registry`] is the one list of what is measured.

pub mod cell;
pub mod contacts;
pub mod error;
pub mod intensity;
pub mod measure;
pub mod mesh;
pub mod registry;
pub mod shape;
pub mod shell;
mod smooth;
pub mod sweep;

pub use contacts::Contact;
pub use error::{FeatureError, Result};
pub use intensity::Channel;
pub use measure::{CellQuality, MeasureParams, Measured, measure};
pub use mesh::Mesh;
