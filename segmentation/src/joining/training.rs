//! Learns which regions are one cell, from images whose cells are known.
//!
//! In rounds: in each, regions are joined as was learned so far, but those of different cells are kept apart unless one is
//! small; what was known of every two groups that came up, and whether they were one cell, is added to what is learned from
//! (Ross et al. 2011, arXiv:1011.0686; Nunez-Iglesias et al. 2013, doi:10.1371/journal.pone.0071715).

use std::f64::consts::PI;

use candle_core::{Device, Tensor, Var};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::Joining;
use super::groups::N_FEATURES;
use super::lesson::Lesson;
use super::perceptron::{N_HIDDEN, Perceptron};
use super::teacher::Example;
use crate::adam::Adam;
use crate::error::{Result, SegmentError};

/// How it is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Decides the first weights, and which examples are taken.
    pub seed: u64,
    /// How often regions are joined and learned from.
    pub rounds: usize,
    /// How often, in each round, all examples are seen.
    pub epochs: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { seed: 1, rounds: 5, epochs: 4 }
    }
}

/// Learns from `lessons`; `tell` hears of each round and its loss.
///
/// # Errors
/// [`SegmentError::Network`] if memory runs out.
pub fn train(
    lessons: &[Lesson],
    recipe: Recipe,
    mut tell: impl FnMut(usize, f64),
) -> Result<Joining> {
    let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
    let mut joining: Option<Joining> = None;
    let mut all: Vec<Example> = Vec::new();
    for round in 0..recipe.rounds {
        let new: Vec<Vec<Example>> = lessons
            .par_iter()
            .enumerate()
            .map(|(at, lesson)| {
                let number = (round * lessons.len() + at) as u64;
                let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed << 32 | number);
                let varied = lesson.varied(&mut rng);
                [lesson, &varied]
                    .into_iter()
                    .flat_map(|lesson| lesson.examples(joining.as_ref(), &mut rng))
                    .collect()
            })
            .collect();
        all.extend(new.into_iter().flatten());
        let mut perceptron = match joining {
            Some(Joining(perceptron)) => perceptron,
            None => random(&all, &mut rng),
        };
        let loss = learn(&mut perceptron, &mut all, recipe.epochs, &mut rng)?;
        tell(round, loss);
        joining = Some(Joining(perceptron));
    }
    joining.ok_or(SegmentError::NoTruth)
}

/// A perceptron that has learned nothing but how features are spread.
fn random(examples: &[Example], rng: &mut ChaCha8Rng) -> Perceptron {
    let n = examples.len().max(1) as f64;
    let mean_of = |of: &dyn Fn(&Example) -> f64| examples.iter().map(of).sum::<f64>() / n;
    let mean: Vec<f64> = (0..N_FEATURES).map(|k| mean_of(&|e| f64::from(e.features[k]))).collect();
    let deviation = (0..N_FEATURES).map(|k| {
        mean_of(&|e| (f64::from(e.features[k]) - mean[k]).powi(2)).sqrt().max(1e-3) as f32
    });
    let deviation = deviation.collect();
    let mut weights = |n: usize, inputs: usize| -> Vec<f32> {
        let scale = (2.0 / inputs as f64).sqrt() as f32;
        (0..n).map(|_| scale * rng.sample::<f32, _>(StandardNormal)).collect()
    };
    Perceptron {
        mean: mean.into_iter().map(|mean| mean as f32).collect(),
        deviation,
        hidden: (0..N_FEATURES).map(|_| weights(N_HIDDEN, N_FEATURES)).collect(),
        hidden_bias: vec![0.0; N_HIDDEN],
        out: weights(N_HIDDEN, N_HIDDEN),
        out_bias: 0.0,
    }
}

/// Goes over all examples `epochs` times, in random order; gives the mean loss of the last time.
fn learn(
    perceptron: &mut Perceptron,
    examples: &mut [Example],
    epochs: usize,
    rng: &mut ChaCha8Rng,
) -> Result<f64> {
    const BATCH: usize = 4096;
    const RATE: [f64; 2] = [3e-3, 1e-4];
    let mut weights = flat(perceptron);
    let mut adam = Adam::new(&weights);
    let n_steps = epochs * examples.len().div_ceil(BATCH);
    let mut step = 0_u64;
    let mut loss = 0.0;
    for _ in 0..epochs {
        examples.shuffle(rng);
        loss = 0.0;
        for batch in examples.chunks(BATCH) {
            let (value, slopes) = slopes(perceptron, &weights, batch)?;
            loss += value * batch.len() as f64 / examples.len() as f64;
            step += 1;
            let done = step as f64 / n_steps as f64;
            let rate = RATE[1] + (RATE[0] - RATE[1]) * 0.5 * (1.0 + (PI * done).cos());
            adam.change(&mut weights, slopes, step, rate);
        }
    }
    perceptron.hidden = weights[0].chunks_exact(N_HIDDEN).map(<[f32]>::to_vec).collect();
    perceptron.hidden_bias.clone_from(&weights[1]);
    perceptron.out.clone_from(&weights[2]);
    perceptron.out_bias = weights[3][0];
    Ok(loss)
}

/// All weights, in order.
fn flat(perceptron: &Perceptron) -> Vec<Vec<f32>> {
    vec![
        perceptron.hidden.concat(),
        perceptron.hidden_bias.clone(),
        perceptron.out.clone(),
        vec![perceptron.out_bias],
    ]
}

/// The mean cross-entropy of examples, by their weights, and how it changes with the weights of the perceptron.
fn slopes(
    perceptron: &Perceptron,
    weights: &[Vec<f32>],
    batch: &[Example],
) -> Result<(f64, Vec<Vec<f32>>)> {
    let device = &Device::Cpu;
    let shapes = [vec![N_FEATURES, N_HIDDEN], vec![1, N_HIDDEN], vec![N_HIDDEN, 1], vec![1, 1]];
    let vars = weights.iter().zip(&shapes);
    let vars = vars
        .map(|(values, shape)| Var::from_slice(values, shape.as_slice(), device))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let column = |of: fn(&Example) -> f32| {
        Tensor::from_iter(batch.iter().map(of), device)?.reshape((batch.len(), 1))
    };
    let features: Vec<f32> =
        batch.iter().flat_map(|example| perceptron.standardised(&example.features)).collect();
    let input = Tensor::from_vec(features, (batch.len(), N_FEATURES), device)?;
    let hidden = input.matmul(vars[0].as_tensor())?.broadcast_add(vars[1].as_tensor())?.relu()?;
    let logit = hidden.matmul(vars[2].as_tensor())?.broadcast_add(vars[3].as_tensor())?;
    let two = column(|example| f32::from(u8::from(example.two)))?;
    let weight = column(|example| example.weight)?;
    // −t ln p − (1 − t) ln (1 − p) of p = 1 / (1 + e^−l) is max(l, 0) − l t + ln(1 + e^−|l|).
    let rest = (logit.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let loss = ((logit.relu()? - (&logit * two)?)? + rest)?;
    let total: f32 = batch.iter().map(|example| example.weight).sum();
    let loss = ((loss * weight)?.sum_all()? / f64::from(total))?;
    let gradients = loss.backward()?;
    let slopes = vars.iter().map(|var| match gradients.get(var) {
        Some(gradient) => gradient.flatten_all()?.to_vec1(),
        None => Ok(vec![0.0; var.elem_count()]),
    });
    let slopes = slopes.collect::<candle_core::Result<Vec<_>>>()?;
    Ok((f64::from(loss.to_scalar::<f32>()?), slopes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_threads;

    /// A few cells, dim and coarse.
    fn lesson(seed: u64) -> Lesson {
        Lesson::small(seed)
    }

    #[test]
    fn the_same_seed_learns_the_same_on_any_number_of_threads() {
        let lessons = [lesson(1), lesson(2)];
        let recipe = Recipe { seed: 3, rounds: 2, epochs: 2 };
        let learned = |n| on_threads(n, || train(&lessons, recipe, |_, _| ()).unwrap());
        let once = learned(1);
        assert_eq!(once, learned(3));
        assert_eq!(once, Joining::from_json(&once.to_json().unwrap()).unwrap());
    }

    #[test]
    fn learning_lowers_the_loss_and_candle_computes_what_the_perceptron_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut examples = lesson(1).examples(None, &mut rng);
        let mut perceptron = random(&examples, &mut rng);
        let loss = |perceptron: &Perceptron, examples: &[Example]| {
            let all: f64 = examples.iter().map(|example| f64::from(example.weight)).sum();
            let of = |example: &Example| {
                let logit = f64::from(perceptron.logit(&example.features));
                let p = 1.0 / (1.0 + (-logit).exp());
                -f64::from(example.weight) * if example.two { p } else { 1.0 - p }.ln()
            };
            examples.iter().map(of).sum::<f64>() / all
        };
        let (by_candle, _) = slopes(&perceptron, &flat(&perceptron), &examples).unwrap();
        let before = loss(&perceptron, &examples);
        assert!((before / by_candle - 1.0).abs() < 1e-4, "{before}, candle {by_candle}");
        learn(&mut perceptron, &mut examples, 100, &mut rng).unwrap();
        let after = loss(&perceptron, &examples);
        assert!(after < 0.5 * before, "{before} before, {after} after");
    }
}
