//! Cell atlases from 3D microscopy: everything between an experiment file and an answer.
//!
//! [`build::build`] goes the whole way: images and tables of an experiment → cells of every
//! specimen → one frame → shape spaces → proteins on every cell → an [`Atlas`], which [`mod@file`]
//! writes and reads. [`query`] answers questions about it in SQL. [`mod@walk`] draws cells
//! from the shape space. [`measured`] is the short way: the cells of one label image as a table;
//! [`noise`] says what of it is chance.

pub mod build;
pub mod demo;
pub mod error;
pub mod export;
pub mod figure;
pub mod file;
pub mod init;
pub mod measured;
pub mod noise;
pub mod query;
pub mod tables;
pub mod train;
pub mod validate;
pub mod walk;

pub use error::{AtlasError, Result};
pub use file::Atlas;
