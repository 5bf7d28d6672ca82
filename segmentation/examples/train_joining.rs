//! Learns which pieces are one cell: makes `segmentation/weights/joining.json`.
//!
//!     cargo run --release --package primordia-segmentation --example train_joining -- OUTPUT [PHANTOMS [ROUNDS]]
//!
//! From the 210 phantoms and in the 5 rounds that it takes unless told otherwise, this is half an hour on two cores, half
//! of it for phantoms and the network's answers. The same numbers give the same file.

use anyhow::Context;
use primordia_segmentation::joining::{Lesson, Recipe, train};
use primordia_segmentation::network::Boundary;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let output = arguments.next().context("where to write is missing")?;
    let n_phantoms =
        arguments.next().map_or(Ok(210), |n| n.parse()).context("no number of phantoms")?;
    let mut recipe = Recipe::default();
    if let Some(rounds) = arguments.next() {
        recipe.rounds = rounds.parse().context("no number of rounds")?;
    }
    let network = Boundary::shipped()?;
    let mut lessons = Vec::new();
    for index in 0..n_phantoms {
        lessons.extend(Lesson::of_phantom(index, &network)?);
        println!("phantom {} of {n_phantoms}", index + 1);
    }
    let joining = train(&lessons, recipe, |round, loss| println!("round {round}: loss {loss:.4}"))?;
    std::fs::write(&output, joining.to_json()?).with_context(|| format!("cannot write {output}"))
}
