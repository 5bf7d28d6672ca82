//! The command on phantoms, on real microscopy and tables, and on broken input.

mod bad_input;
mod documentation;
mod edits;
mod exploded;
mod features;
mod golden;
mod interruption;
mod nuclei;
mod ovule;
mod readers;
mod real_images;
mod real_tables;
mod segmentation;
mod threads;
mod unmix;
mod walk;
