//! Why an atlas could not be made, written, read or asked.
#![allow(missing_docs)] // the messages are the documentation

use std::fmt;

use thiserror::Error;

use crate::file::Problem;

/// What the functions of this crate return.
pub type Result<T, E = AtlasError> = std::result::Result<T, E>;

/// What was found, what was wanted, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AtlasError {
    #[error("this atlas does not hold together: {}", listed(problems))]
    Inconsistent { problems: Vec<Problem> },
}

/// The first few of `items` and how many more there are: a message is read, not scrolled.
fn listed(items: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 5;
    let mut text = items.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if items.len() > SHOWN {
        text += &format!("; and {} more", items.len() - SHOWN);
    }
    text
}
