//! Changes weights so that a loss falls.

/// Adam's memory (Kingma & Ba 2015, arXiv:1412.6980).
pub(crate) struct Adam {
    pub(crate) mean: Vec<Vec<f32>>,
    pub(crate) square: Vec<Vec<f32>>,
}

impl Adam {
    /// Before the first step that changes such `weights`.
    pub(crate) fn new(weights: &[Vec<f32>]) -> Self {
        let zeros = || weights.iter().map(|values| vec![0.0; values.len()]).collect();
        Self { mean: zeros(), square: zeros() }
    }

    /// Changes weights against their slopes; slopes longer than 1 altogether are shortened.
    pub(crate) fn change(
        &mut self,
        weights: &mut [Vec<f32>],
        slopes: Vec<Vec<f32>>,
        step: u64,
        rate: f64,
    ) {
        const KEEP: [f64; 2] = [0.9, 0.999];
        const LEAST: f64 = 1e-8;
        let square: f64 = slopes.iter().flatten().map(|&slope| f64::from(slope).powi(2)).sum();
        let shorten = 1.0 / square.sqrt().max(1.0);
        let [of_mean, of_square] = KEEP.map(|keep| 1.0 - keep.powi(step.min(100_000) as i32));
        for (((weights, slopes), mean), square) in
            weights.iter_mut().zip(slopes).zip(&mut self.mean).zip(&mut self.square)
        {
            for (((weight, slope), mean), square) in
                weights.iter_mut().zip(slopes).zip(mean).zip(square)
            {
                let slope = f64::from(slope) * shorten;
                let m = KEEP[0] * f64::from(*mean) + (1.0 - KEEP[0]) * slope;
                let s = KEEP[1] * f64::from(*square) + (1.0 - KEEP[1]) * slope * slope;
                let change = rate * (m / of_mean) / ((s / of_square).sqrt() + LEAST);
                (*mean, *square) = (m as f32, s as f32);
                *weight = (f64::from(*weight) - change) as f32;
            }
        }
    }
}
