//! Voxels per second of measuring, cells per second of embedding.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nalgebra::Point3;
use ndarray::Array3;
use primordia_data::{Labels, PointCloud, Rigid, TissueFrame, Volume, VoxelSize};
use primordia_features::{
    CbeFrame, CbeParams, CbeSpace, Channel, LandmarkParams, MeasureParams, measure,
    sample_landmarks,
};

/// A tissue of bricks, 8 µm long, in every other layer shifted by half a brick.
fn bricks(side_um: f64) -> (Labels, Volume<u8>) {
    let voxel_size = VoxelSize::from_um([0.225, 0.1, 0.1]).expect("a valid size");
    let shape = voxel_size.um().map(|side| (side_um / side) as usize);
    let n = (side_um / 8.0) as usize + 2;
    let voxels = Array3::from_shape_fn(shape, |(z, y, x)| {
        let layer = (z as f64 * 0.225 / 8.0) as usize;
        let shift = if layer.is_multiple_of(2) { 0.0 } else { 4.0 };
        let [y, x] = [y, x].map(|at| ((at as f64 * 0.1 + shift) / 8.0) as usize);
        ((layer * n + y) * n + x) as u32 + 1
    });
    let bright = Array3::from_shape_fn(shape, |(z, y, x)| ((7 * z + 3 * y + 5 * x) % 251) as u8);
    let labels = Labels::from_voxels(voxels, voxel_size).expect("not empty");
    (labels, Volume::new(bright, voxel_size).expect("not empty"))
}

fn measuring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("measure");
    group.sample_size(10);
    for side_um in [12.0, 24.0, 48.0] {
        let (labels, bright) = bricks(side_um);
        let channels = [Channel::new("bright", &bright)];
        group.throughput(Throughput::Elements(labels.volume().n_voxels() as u64));
        group.bench_function(BenchmarkId::new("features", side_um), |bencher| {
            let params = MeasureParams::default();
            bencher.iter(|| measure(&labels, &channels, "A", &Rigid::identity(), &params));
        });
        group.bench_function(BenchmarkId::new("landmarks", side_um), |bencher| {
            let params = LandmarkParams::default();
            bencher.iter(|| sample_landmarks(&labels, &channels, &params).expect("finite"));
        });
    }
}

/// Landmarks on an ellipsoid, spread by the golden angle.
fn cloud(cell: usize) -> PointCloud<TissueFrame> {
    let axes = [1.3, 2.7, 4.1].map(|factor: f64| 4.5 + 1.5 * (factor * cell as f64).sin());
    let point = |k: usize| {
        let z = 1.0 - (2 * k + 1) as f64 / 2000.0;
        let (sin, cos) = (2.4 * k as f64).sin_cos();
        let ring = (1.0 - z * z).sqrt();
        Point3::new(axes[0] * ring * cos, axes[1] * ring * sin, axes[2] * z)
    };
    PointCloud::new((0..2000).map(point).collect())
}

fn embedding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedding");
    group.sample_size(10);
    for n_cells in [100, 400] {
        let clouds: Vec<_> = (0..n_cells).map(cloud).collect();
        group.throughput(Throughput::Elements(n_cells as u64));
        for frame in [CbeFrame::Tissue, CbeFrame::Cell] {
            let params = CbeParams::in_frame(frame);
            group.bench_function(BenchmarkId::new(format!("fit {frame:?}"), n_cells), |bencher| {
                bencher.iter(|| CbeSpace::fit(&clouds, &params));
            });
            let space = CbeSpace::fit(&clouds, &params).expect("enough points");
            group.bench_function(
                BenchmarkId::new(format!("embed {frame:?}"), n_cells),
                |bencher| {
                    bencher.iter(|| space.embed_all(&clouds));
                },
            );
        }
    }
}

criterion_group!(benches, measuring, embedding);
criterion_main!(benches);
