//! Cells per second, to the disk, back, and through a question.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use primordia::file::{Atlas, FeatureMatrix, Protein, ShapeBlock, Specimen, read, write};
use primordia::query::{query, query_file};
use primordia_data::CellId;

/// 100 cells an embryo, 30 features, 20 axes of shape, eight proteins of 20 features each in an
/// eighth of the embryos: the size of the published atlas at 15000 cells.
fn atlas(n_specimens: usize) -> Atlas {
    let cells: Vec<_> = (0..n_specimens)
        .flat_map(|at| (0..100).map(move |cell| CellId::new(format!("s{at}"), cell.to_string())))
        .collect();
    let n = cells.len();
    let noise = |columns: usize, phase: f32| {
        Array2::from_shape_fn((n, columns), |(row, column)| {
            ((row * columns + column) as f32 * 12.9898 + phase).sin() * 43_758.547 % 1.0
        })
    };
    let mut atlas = Atlas::new("benchmark", cells, noise(3, 0.0));
    let names = (0..30).map(|at| format!("feature_{at}")).collect();
    atlas.features = FeatureMatrix { names, values: noise(30, 1.0) };
    atlas.shape = vec![ShapeBlock { name: "tissue".into(), scores: noise(20, 2.0), space: None }];
    atlas.proteins = (0..8)
        .map(|at| {
            let mut measured = noise(20, 3.0 + at as f32);
            for (row, mut values) in measured.rows_mut().into_iter().enumerate() {
                if row / 100 % 8 != at {
                    values.fill(f32::NAN);
                }
            }
            let names = (1..=20).map(|axis| format!("pc_{axis}")).collect();
            let protein = Protein::measured(format!("protein_{at}"), names, measured);
            let predicted = noise(20, 20.0 + at as f32);
            Protein { lower: &predicted - 0.5, upper: &predicted + 0.5, predicted, ..protein }
        })
        .collect();
    atlas.specimens = (0..n_specimens)
        .map(|at| Specimen { id: format!("s{at}"), n_cells: 100, ..Specimen::default() })
        .collect();
    atlas
}

const QUESTION: &str = "SELECT specimen, AVG(feature_3) AS mean, COUNT(*) AS n FROM cells \
                        WHERE shape_1 > 0 GROUP BY specimen ORDER BY mean";

fn file(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("atlas.h5");
    let mut group = criterion.benchmark_group("file");
    group.sample_size(10);
    for n_specimens in [15, 50, 150] {
        let atlas = atlas(n_specimens);
        let n_cells = atlas.n_cells();
        group.throughput(Throughput::Elements(n_cells as u64));
        group.bench_with_input(BenchmarkId::new("write", n_cells), &atlas, |bencher, atlas| {
            bencher.iter(|| write(&path, atlas).expect("written"));
        });
        group.bench_with_input(BenchmarkId::new("read", n_cells), &path, |bencher, path| {
            bencher.iter(|| black_box(read(path).expect("read")));
        });
        group.bench_with_input(BenchmarkId::new("query", n_cells), &atlas, |bencher, atlas| {
            bencher.iter(|| black_box(query(atlas, QUESTION).expect("answered")));
        });
        group.bench_with_input(BenchmarkId::new("query_file", n_cells), &path, |bencher, path| {
            bencher.iter(|| black_box(query_file(path, QUESTION).expect("answered")));
        });
    }
    group.finish();
}

criterion_group!(benches, file);
criterion_main!(benches);
