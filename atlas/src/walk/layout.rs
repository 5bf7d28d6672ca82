//! Where in its cells a protein lies on average.

use ndarray::Array1;
use primordia_features::Layout;

use crate::build::surface::LAYOUT;
use crate::error::{AtlasError, Result};
use crate::file::{Atlas, Protein};

/// The mean layout of a protein.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanLayout {
    /// The protein's name.
    pub protein: String,
    /// Its mean layout, each cell in units of its own mean.
    pub layout: Layout,
    /// The number of cells in which it was measured.
    pub n_cells: usize,
}

/// The mean layout of the protein of this name, over the cells in which it was measured.
///
/// # Errors
/// [`AtlasError::NoLayout`] if there is none.
pub fn mean_layout(atlas: &Atlas, name: &str) -> Result<MeanLayout> {
    let found = atlas.protein(name).and_then(of_protein);
    found.ok_or_else(|| {
        let known = atlas.proteins.iter().filter(|protein| of_protein(protein).is_some());
        let names: Vec<&str> = known.map(|protein| protein.name.as_str()).collect();
        let available = if names.is_empty() {
            "none; build the atlas from images, with this version of Primordia".to_owned()
        } else {
            names.join(", ")
        };
        AtlasError::NoLayout { found: name.to_owned(), available }
    })
}

fn of_protein(protein: &Protein) -> Option<MeanLayout> {
    let prefix = format!("{LAYOUT}.");
    let features = protein.feature_names.iter().enumerate();
    let (columns, names): (Vec<usize>, Vec<&str>) =
        features.filter_map(|(at, name)| Some((at, name.strip_prefix(&prefix)?))).unzip();
    let mut sum = Array1::<f64>::zeros(columns.len());
    let mut n_cells = 0;
    for row in protein.measured.rows() {
        let layout: Array1<f64> = columns.iter().map(|&column| f64::from(row[column])).collect();
        if layout.iter().all(|value| value.is_finite()) {
            sum += &layout;
            n_cells += 1;
        }
    }
    if columns.is_empty() || n_cells == 0 {
        return None;
    }
    let layout = Layout::from_named(&names, (sum / n_cells as f64).to_vec()).ok()?;
    Some(MeanLayout { protein: protein.name.clone(), layout, n_cells })
}
