//! Voxels per second of every step, over growing volumes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use primordia_segmentation::{
    Components, Hartmann2020, distance_um, gaussian, gaussian_bytes, hartmann2020, median,
    watershed,
};

/// Round cells on a cubic lattice with bright gaps, and a little noise.
fn lattice(side: usize) -> Volume<u8> {
    const SPACING: f64 = 32.0;
    let wave = |at: usize| (std::f64::consts::TAU * at as f64 / SPACING).cos();
    let mut state = 1_u32;
    let voxels = Array3::from_shape_fn((side, side, side), |(z, y, x)| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(state >> 24) / 32.0;
        (30.0 + 25.0 * (wave(z) + wave(y) + wave(x)).clamp(-1.0, 2.0) + noise) as u8
    });
    let voxel_size = VoxelSize::from_um([0.225, 0.1, 0.1]).expect("positive");
    Volume::new(voxels, voxel_size).expect("not empty")
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segmentation");
    group.sample_size(10);
    for side in [64, 128, 256_usize] {
        let image = lattice(side);
        let smooth = gaussian_bytes(&image, 2.0).expect("a width");
        let single = image.map(|&value| f32::from(value));
        let mask = smooth.map(|&value| value < 40);
        let seeds = Components::new(&smooth, |&value| value < 30).to_volume(&smooth);
        let recipe = Hartmann2020::default();
        let mut bench = |name: &str, work: &dyn Fn()| {
            group.throughput(Throughput::Elements(image.n_voxels() as u64));
            group.bench_function(BenchmarkId::new(name, side), |bencher| bencher.iter(work));
        };
        bench("median", &|| drop(median(&image)));
        bench("gaussian_bytes", &|| drop(gaussian_bytes(&image, 3.0)));
        bench("gaussian", &|| drop(gaussian(&single, [0.3; 3])));
        bench("components", &|| drop(Components::new(&smooth, |&value| value < 40)));
        bench("distance", &|| drop(distance_um(&mask)));
        bench("watershed", &|| drop(watershed(&smooth, seeds.clone())));
        bench("hartmann2020", &|| drop(hartmann2020(&image, &recipe)));
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
