//! Trains the network that finds boundaries between cells, and keeps its files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use primordia_segmentation::network::{Boundary, Labelled, Recipe, Training, Validation};

use crate::error::{AtlasError, Result};
use crate::file::replace;

/// Crops that validation looks at.
const VALIDATION_CROPS: usize = 12;

/// A training and its files.
#[derive(Clone, Debug)]
pub struct BoundaryTraining {
    /// What decides the weights; a training that goes on keeps the recipe with which it began.
    pub recipe: Recipe,
    /// Weights to begin with instead of random ones.
    pub start: Option<PathBuf>,
    /// The weights, written every `every` steps and at the end; beside them `OUTPUT.checkpoint`, from which a training
    /// that stopped goes on, and `OUTPUT.csv`, the losses as they fell.
    pub output: PathBuf,
    /// Steps between two looks at crops that no step learns from.
    pub every: u64,
}

/// How far a training has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Mean loss since the point before.
    pub loss: f64,
    /// How well the network does on crops that no step learns from.
    pub validation: Validation,
}

impl BoundaryTraining {
    /// Trains on phantoms and on `labelled` images, and calls `report` at each point. A training that stopped goes on.
    ///
    /// # Errors
    /// [`AtlasError::Segment`] with the file that is no network's, [`AtlasError::Read`] and [`AtlasError::Write`].
    pub fn run(&self, labelled: Vec<Labelled>, mut report: impl FnMut(&Point)) -> Result<Boundary> {
        let failed = |source| AtlasError::Segment { path: self.output.clone(), source };
        let mut training = self.begin(labelled)?;
        if training.is_done() {
            tracing::info!("all steps of this training are done");
            return training.boundary().map_err(failed);
        }
        let crops = training.validation_crops(VALIDATION_CROPS).map_err(failed)?;
        let mut curve = self.curve_up_to(training.step())?;
        let (mut sum, mut n) = (0.0, 0);
        while !training.is_done() {
            sum += training.advance().map_err(failed)?;
            n += 1;
            let step = training.step();
            if training.is_done() || step.is_multiple_of(self.every) {
                let validation = training.validation(&crops).map_err(failed)?;
                let point = Point { step, loss: sum / f64::from(n), validation };
                (sum, n) = (0.0, 0);
                let Validation { loss, dice } = validation;
                let _ = writeln!(curve, "{step},{:.5},{loss:.5},{dice:.5}", point.loss);
                put(&self.beside("csv"), curve.as_bytes())?;
                let bytes = training.boundary().and_then(|boundary| boundary.to_bytes());
                put(&self.output, &bytes.map_err(failed)?)?;
                // The checkpoint comes last: where it is, the others are.
                put(&self.beside("checkpoint"), &training.checkpoint().map_err(failed)?)?;
                report(&point);
            }
        }
        training.boundary().map_err(failed)
    }

    /// A file beside the output.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.output.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    fn begin(&self, labelled: Vec<Labelled>) -> Result<Training> {
        let checkpoint = self.beside("checkpoint");
        if checkpoint.exists() {
            let bytes = read(&checkpoint)?;
            let training = Training::resume(&bytes, labelled)
                .map_err(|source| AtlasError::Segment { path: checkpoint, source })?;
            tracing::info!(step = training.step(), "the training goes on");
            return Ok(training);
        }
        let start = self.start.as_deref().map(read_boundary).transpose()?;
        Training::new(self.recipe.clone(), labelled, start.as_ref())
            .map_err(|source| AtlasError::Segment { path: self.output.clone(), source })
    }

    /// The table of losses of the steps that are done.
    fn curve_up_to(&self, step: u64) -> Result<String> {
        const HEADER: &str = "step,loss,validation_loss,validation_dice\n";
        let path = self.beside("csv");
        if step == 0 || !path.exists() {
            return Ok(HEADER.to_owned());
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let is_done = |line: &&str| {
            line.split(',')
                .next()
                .and_then(|first| first.parse().ok())
                .is_some_and(|at: u64| at <= step)
        };
        let done = text.lines().filter(is_done).flat_map(|line| [line, "\n"]);
        Ok(std::iter::once(HEADER).chain(done).collect())
    }
}

/// The network in a file of weights.
///
/// # Errors
/// [`AtlasError::Read`] if the file cannot be read, [`AtlasError::Segment`] if it holds no such network.
pub fn read_boundary(path: &Path) -> Result<Boundary> {
    Boundary::from_bytes(&read(path)?)
        .map_err(|source| AtlasError::Segment { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| AtlasError::Read { path: path.to_owned(), source })
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |partial| {
        std::fs::write(partial, bytes)
            .map_err(|source| AtlasError::Write { path: path.to_owned(), source })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_that_stopped_goes_on_as_if_it_had_not() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe { steps: 3, crops: 1, crop: [4, 12, 12], ..Recipe::default() };
        let job = |name: &str| BoundaryTraining {
            recipe: recipe.clone(),
            start: None,
            output: folder.path().join(name),
            every: 1,
        };
        let whole = job("whole");
        let mut points = Vec::new();
        whole.run(Vec::new(), |point| points.push(point.step)).unwrap();
        assert_eq!(points, [1, 2, 3]);
        // What is there after one step of another training, then the rest.
        let stopped = job("stopped");
        let mut training = Training::new(recipe.clone(), Vec::new(), None).unwrap();
        training.advance().unwrap();
        std::fs::write(stopped.beside("checkpoint"), training.checkpoint().unwrap()).unwrap();
        let curve = std::fs::read_to_string(whole.beside("csv")).unwrap();
        std::fs::write(stopped.beside("csv"), &curve).unwrap();
        stopped.run(Vec::new(), |_| ()).unwrap();
        let bytes = |path: PathBuf| std::fs::read(path).unwrap();
        assert!(bytes(whole.output.clone()) == bytes(stopped.output.clone()));
        assert_eq!(curve, std::fs::read_to_string(stopped.beside("csv")).unwrap());
        assert_eq!(curve.lines().count(), 4);
    }

    #[test]
    fn a_file_that_is_no_network_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, "text").unwrap();
        let error = read_boundary(&path).unwrap_err().to_string();
        assert!(error.contains("weights.safetensors") && error.contains("no weights"), "{error}");
    }
}
