//! Cell atlases: the atlas file and what is asked of it.

pub mod error;
pub mod export;
pub mod file;
pub mod query;
pub mod validate;

pub use error::{AtlasError, Result};
pub use file::Atlas;
pub mod tables;
