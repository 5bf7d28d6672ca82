//! Writes what the steps of a training see to standard output: what `segmentation/training/boundary.py` learns from.
//!
//!     cargo run --release --package primordia-segmentation --example crops -- RECIPE
//!
//! RECIPE is JSON, such as `{"seed": 1, "steps": 15000, "crops": 4, "crop": [20, 56, 56], "learning_rate": 0.001}`.
//! [`Crops`] says what is written.

use std::io::{Write, stdout};

use anyhow::Context;
use primordia_segmentation::network::{Crops, Recipe};

fn main() -> anyhow::Result<()> {
    let recipe = std::env::args().nth(1).context("the recipe is missing")?;
    let recipe: Recipe = serde_json::from_str(&recipe).context("no recipe")?;
    let mut out = stdout().lock();
    for step in Crops::new(recipe)? {
        out.write_all(&step?)?;
    }
    Ok(out.flush()?)
}
