//! The command on phantoms, on real microscopy and tables, and on broken input.

mod bad_input;
mod documentation;
mod interruption;
mod real_images;
mod real_tables;
mod readers;
mod segmentation;
mod threads;
