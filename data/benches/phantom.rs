//! How fast specimens come about: voxels per second as voxels get smaller.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use primordia_data::VoxelSize;
use primordia_data::phantom::{Optics, PhantomParams, specimen};

fn specimens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("phantom");
    group.sample_size(10);
    for [z_um, xy_um] in [[1.0, 0.5], [0.6, 0.3], [0.5, 0.25]] {
        let voxel_size = VoxelSize::from_um([z_um, xy_um, xy_um]).expect("positive");
        let params = PhantomParams { optics: Optics::clean(voxel_size), ..Default::default() };
        let n_voxels = specimen(&params, 1).expect("sound parameters").membrane.n_voxels();
        group.throughput(Throughput::Elements(n_voxels as u64));
        let id = BenchmarkId::from_parameter(n_voxels);
        group.bench_with_input(id, &params, |bencher, params| {
            bencher.iter(|| specimen(params, 1));
        });
    }
    group.finish();
}

criterion_group!(benches, specimens);
criterion_main!(benches);
