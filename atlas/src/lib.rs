//! placeholder
pub mod tables;
