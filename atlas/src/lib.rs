//! Cell atlases: the atlas file and what is asked of it.

pub mod error;
pub mod file;
pub mod init;
pub mod query;

pub use error::{AtlasError, Result};
pub use file::Atlas;
pub mod tables;
