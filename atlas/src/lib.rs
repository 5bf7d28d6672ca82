//! Cell atlases: the atlas file and what is asked of it.

pub mod error;
pub mod figure;
pub mod file;

pub use error::{AtlasError, Result};
pub use file::Atlas;
