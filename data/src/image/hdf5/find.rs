//! The dataset of a file that is the image.

use hdf5_metno::{Dataset, File, Group};

use super::stored_type;
use crate::image::problem::{ImageProblem, Result};

/// Objects and levels looked at when a dataset is searched; more is not an image file.
const MOST_OBJECTS: usize = 10_000;
const MOST_LEVELS: usize = 16;

pub(super) fn named_dataset(file: &File, name: &str) -> Result<Dataset> {
    let missing = || {
        let all = all_datasets(file).unwrap_or_default();
        let found = name.to_owned();
        ImageProblem::NoDataset { found, available: dataset_list(&all) }
    };
    let dataset = file.dataset(name).map_err(|_| missing())?;
    if !(2..=5).contains(&dataset.ndim()) {
        let shape = dataset.shape();
        return Err(ImageProblem::DatasetShape { dataset: name.to_owned(), shape });
    }
    Ok(dataset)
}

/// The only dataset with three to five axes of numbers, else the only one with two.
pub(super) fn only_image(file: &File) -> Result<Dataset> {
    let all = all_datasets(file)?;
    let numeric =
        all.iter().filter(|dataset| stored_type(dataset).is_ok()).cloned().collect::<Vec<_>>();
    for axes in [3..=5, 2..=2] {
        let images =
            numeric.iter().filter(|dataset| axes.contains(&dataset.ndim())).collect::<Vec<_>>();
        match images.as_slice() {
            [] => {}
            [image] => return Ok((*image).clone()),
            _ => return Err(ImageProblem::ChooseDataset { available: dataset_list(&numeric) }),
        }
    }
    Err(ImageProblem::NoDataset {
        found: "with an image".to_owned(),
        available: dataset_list(&all),
    })
}

fn dataset_list(datasets: &[Dataset]) -> String {
    if datasets.is_empty() {
        return "none".to_owned();
    }
    let in_words = |dataset: &Dataset| format!("{} {:?}", dataset.name(), dataset.shape());
    datasets.iter().map(in_words).collect::<Vec<_>>().join(", ")
}

fn all_datasets(file: &File) -> Result<Vec<Dataset>> {
    let mut found = Vec::new();
    let mut groups = vec![((**file).clone(), 0)];
    let mut n_objects = 0;
    while let Some((group, level)) = groups.pop() {
        let datasets = group.datasets()?;
        let inner: Vec<Group> = if level < MOST_LEVELS { group.groups()? } else { Vec::new() };
        n_objects += datasets.len() + inner.len();
        if n_objects > MOST_OBJECTS {
            return Err(ImageProblem::ChooseDataset { available: dataset_list(&found) });
        }
        found.extend(datasets);
        groups.extend(inner.into_iter().map(|group| (group, level + 1)));
    }
    found.sort_by_key(|dataset| dataset.name());
    found.dedup_by_key(|dataset| dataset.name());
    Ok(found)
}
