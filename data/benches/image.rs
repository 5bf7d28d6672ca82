//! Reading and writing of image stacks, in voxels per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn nothing(_: &mut Criterion) {
    let _ = (BenchmarkId::from_parameter(0), Throughput::Elements(0));
}

criterion_group!(benches, nothing);
criterion_main!(benches);
