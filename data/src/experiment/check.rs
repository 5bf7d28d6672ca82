//! What only the whole experiment file shows.

use super::problem::{ExperimentError, Problem};
use super::{Experiment, Specimen};
use crate::document::{Table, Value};
use crate::error::Result;

/// Something to do, a reference channel where cells are to be found, and proteins that exist.
pub(super) fn check(experiment: &Experiment, root: &Table<'_>) -> Result<()> {
    let measured_elsewhere = !experiment.tables.is_empty() || !experiment.deposits.is_empty();
    if experiment.specimens.is_empty() && !measured_elsewhere {
        return Err(nothing_to_do(experiment, root).into());
    }
    let settings = root.get("experiment");
    let to_segment = |specimen: &Specimen| specimen.labels.is_none();
    if experiment.reference.is_none() && experiment.specimens.iter().any(to_segment) {
        let (missing, meaning) = ("reference", "the name of the channel that is segmented");
        let problem = Problem::MissingKey { missing, meaning };
        return Err(error_at(settings, root, problem).into());
    }
    if let Some(problem) = unknown_protein(experiment) {
        let proteins = settings.map(|value| value.table("[experiment]")).transpose()?;
        let proteins = proteins.as_ref().and_then(|table| table.get("proteins"));
        return Err(error_at(proteins, root, problem).into());
    }
    Ok(())
}

fn error_at(value: Option<&Value<'_>>, root: &Table<'_>, problem: Problem) -> ExperimentError {
    match value {
        Some(value) => value.error(problem),
        None => root.error(problem),
    }
}

fn nothing_to_do(experiment: &Experiment, root: &Table<'_>) -> ExperimentError {
    match root.get("specimen") {
        Some(specimen) if !experiment.annotations.is_empty() => {
            let meaning = "a specimen without an image needs [tables] or [[deposit]]";
            specimen.error(Problem::MissingKey { missing: "image", meaning })
        }
        _ => root.error(Problem::Empty),
    }
}

/// A named protein that is neither channel nor table, if the file names all channels and tables.
fn unknown_protein(experiment: &Experiment) -> Option<Problem> {
    let mut available = Vec::new();
    for specimen in &experiment.specimens {
        available.extend(specimen.channels.as_ref()?.iter().map(String::as_str));
    }
    if !experiment.deposits.is_empty() {
        return None;
    }
    let tables = experiment.tables.iter().flat_map(|tables| &tables.proteins);
    available.extend(tables.map(|table| table.name.as_str()));
    available.sort_unstable();
    available.dedup();
    let proteins = experiment.proteins.as_ref()?;
    let protein = proteins.iter().find(|protein| !available.contains(&protein.as_str()))?;
    Some(Problem::NoSuchProtein { protein: protein.clone(), available: available.join(", ") })
}
