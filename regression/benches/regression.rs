//! Cells per second of validating one protein by five folds of whole specimens.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use primordia_regression::{Folds, ProteinRegressor, cross_validate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cross_validate");
    group.sample_size(10);
    for n_cells in [1_000, 4_000, 15_000_usize] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut normal = |n_columns| {
            Array2::from_shape_simple_fn((n_cells, n_columns), || StandardNormal.sample(&mut rng))
        };
        let (shape, protein): (Array2<f64>, Array2<f64>) = (normal(60), normal(60));
        let specimens: Vec<String> = (0..n_cells).map(|cell| (cell / 100).to_string()).collect();
        let folds = Folds::whole_specimens(&specimens, 5).expect("many specimens");
        group.throughput(Throughput::Elements(n_cells as u64));
        for (name, regressor) in
            [("linear", ProteinRegressor::linear()), ("curved", ProteinRegressor::default())]
        {
            group.bench_function(BenchmarkId::new(name, n_cells), |bencher| {
                bencher.iter(|| cross_validate(&regressor, shape.view(), protein.view(), &folds));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, validation);
criterion_main!(benches);
