//! Voxels per second of registering a label image.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use primordia_data::{Labels, VoxelSize};
use primordia_registration::{Hints, Tissue, register};

fn registration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("register");
    group.sample_size(10);
    for side in [64, 128, 256_usize] {
        // Columns of 16 × 16 voxels, numbered, in a box twice as long as wide.
        let voxels = Array3::from_shape_fn((side / 4, side, 2 * side), |(_, y, x)| {
            (1 + y / 16 * (side / 8) + x / 16) as u32
        });
        let voxel_size = VoxelSize::from_um([0.225, 0.1, 0.1]).expect("positive");
        let labels = Labels::from_voxels(voxels, voxel_size).expect("not empty");
        group.throughput(Throughput::Elements(labels.volume().n_voxels() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(side), &labels, |bencher, labels| {
            bencher.iter(|| register(&Tissue::from_labels(labels)?, &Hints::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, registration);
criterion_main!(benches);
