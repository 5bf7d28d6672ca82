//! placeholder
pub mod init;
pub mod tables;
