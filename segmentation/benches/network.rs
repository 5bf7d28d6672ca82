//! How fast the network is: its answer for an image, and a step of its training. Best of five.

use std::time::Instant;

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use primordia_segmentation::network::{Boundary, Recipe, Training};

const RUNS: usize = 5;

fn main() {
    // `cargo test` and nextest start benchmarks too, without this; then there is nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let image = noise([64, 192, 192]);
    let network = Boundary::shipped().expect("weights come with the crate");
    let best = best_s(|| network.probability(&image).expect("memory"));
    println!("answer: {best:.3} s, {:.2} million voxels/s", image.n_voxels() as f64 / 1e6 / best);
    let recipe = Recipe { crops: 4, ..Recipe::default() };
    let mut training = Training::new(recipe, Vec::new(), None).expect("a recipe");
    // The first steps make pictures, and every third a new one.
    for _ in 0..3 {
        training.advance().expect("a step");
    }
    let best = best_s(|| training.advance().expect("a step"));
    println!("step of 4 crops: {best:.3} s");
}

fn best_s<T>(mut work: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let start = Instant::now();
        let _ = work();
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(time).fold(f64::INFINITY, f64::min)
}

/// An image of nothing, one voxel as any other.
fn noise(shape: [usize; 3]) -> Volume<f32> {
    let mut state = 1_u32;
    let voxels = Array3::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    });
    Volume::new(voxels, VoxelSize::from_um([0.8, 0.4, 0.4]).expect("positive")).expect("not empty")
}
