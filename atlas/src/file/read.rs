//! From the file to the atlas in memory.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5_metno::Dataset;
use nalgebra::Matrix4;
use ndarray::{Array1, Array2, Array3, s};
use primordia_data::CellId;

use super::decode::Source;
use super::model::{
    Atlas, Column, Decision, FeatureMatrix, FittedSpace, Protein, Provenance, Score, ShapeBlock,
    Specimen,
};
use super::{FORMAT, FORMAT_VERSION, PART_VERSIONS, protein_key, shape_key};
use crate::error::{AtlasError, Result};

/// Reads an atlas.
///
/// A file that `anndata` wrote from an atlas is an atlas too, with some of its cells, more columns
/// in `obs`, or both: specimens then count the cells that are there. Columns of kinds that an atlas
/// has no place for are left out, with a line in the log.
///
/// # Errors
/// An [`AtlasError`] that names the file and what is wrong with it: not HDF5, not an atlas, of a
/// newer version, cut, changed, damaged.
pub fn read(path: impl AsRef<Path>) -> Result<Atlas> {
    read_selected(path.as_ref(), &Selection::everything())
}

/// Which parts of a file to read: cells, specimens and scores always come along.
pub(crate) struct Selection<'a> {
    /// Features, further columns and shape.
    pub(crate) measurements: bool,
    /// Proteins, by name.
    pub(crate) protein: &'a dyn Fn(&str) -> bool,
    pub(crate) contacts: bool,
    /// Arrays and texts.
    pub(crate) arrays: bool,
}

impl Selection<'_> {
    pub(crate) fn everything() -> Self {
        Self { measurements: true, protein: &|_| true, contacts: true, arrays: true }
    }
}

/// Reads the selected parts of an atlas; the others are empty. What is read holds together.
pub(crate) fn read_selected(path: &Path, selection: &Selection) -> Result<Atlas> {
    let source = Source::open(path)?;
    let mut atlas = read_as_written(&source, selection)?;
    let mut counts = BTreeMap::<&str, usize>::new();
    for cell in &atlas.cells {
        *counts.entry(&cell.specimen).or_default() += 1;
    }
    for specimen in &mut atlas.specimens {
        specimen.n_cells = counts.get(&*specimen.id).copied().unwrap_or(0);
    }
    match atlas.check() {
        Err(AtlasError::Inconsistent { problems }) => {
            Err(AtlasError::Damaged { path: source.path().to_owned(), problems })
        }
        Err(error) => Err(error),
        Ok(()) => Ok(atlas),
    }
}

/// What can be said about an atlas without reading its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The experiment's name.
    pub name: String,
    /// The version of the file's format.
    pub format_version: u64,
    /// The version of Primordia that built the atlas.
    pub primordia_version: String,
    /// The number of cells.
    pub n_cells: usize,
    /// The number of specimens.
    pub n_specimens: usize,
    /// The names of the features.
    pub features: Vec<String>,
    /// The names of further columns of the cells.
    pub columns: Vec<String>,
    /// The names of the shape spaces; the first is the default.
    pub shape: Vec<String>,
    /// The names of the proteins.
    pub proteins: Vec<String>,
}

/// Reads a summary of an atlas, without its arrays.
///
/// # Errors
/// As [`read`], for what is read.
pub fn read_header(path: impl AsRef<Path>) -> Result<Header> {
    let source = Source::open(path.as_ref())?;
    let format_version = check_versions(&source)?;
    Ok(Header {
        name: source.string("uns/primordia/name")?,
        format_version,
        primordia_version: source.string("uns/primordia/provenance/primordia_version")?,
        n_cells: first_side(&source.dataset("obsm/spatial")?),
        n_specimens: first_side(&source.dataset("uns/primordia/image_to_tissue")?),
        features: source.index("var")?,
        columns: own_columns(&source)?,
        shape: source.strings("uns/primordia/shape_names")?,
        proteins: source.strings("uns/primordia/protein_names")?,
    })
}

fn first_side(dataset: &Dataset) -> usize {
    dataset.shape().first().copied().unwrap_or(0)
}

/// The atlas as the file has it, whether it holds together or not.
pub(super) fn read_as_written(source: &Source, selection: &Selection) -> Result<Atlas> {
    check_versions(source)?;
    let name = source.string("uns/primordia/name")?;
    let mut atlas = Atlas::new(name, read_cells(source)?, source.array("obsm/spatial")?);
    atlas.image_um = optional(source, "obsm/image_um", |name| source.array(name))?;
    atlas.specimens = read_specimens(source)?;
    atlas.scores = read_scores(source)?;
    atlas.provenance = read_provenance(source)?;
    if selection.measurements {
        atlas.features = FeatureMatrix { names: source.index("var")?, values: source.array("X")? };
        atlas.columns = read_columns(source)?;
        atlas.shape = read_shape(source)?;
    }
    atlas.proteins = read_proteins(source, selection.protein)?;
    if selection.contacts {
        atlas.contacts = optional(source, "obsp/contact_area_um2", |name| source.csr(name))?;
    }
    if selection.arrays {
        let (arrays, texts) = ("uns/primordia/arrays", "uns/primordia/texts");
        atlas.arrays = read_tree(source, arrays, |name| source.array(name))?;
        atlas.texts = read_tree(source, texts, |name| source.strings(name))?;
    }
    Ok(atlas)
}

/// The format's version, if this is an atlas that this program can read.
pub(super) fn check_versions(source: &Source) -> Result<u64> {
    let path = || source.path().to_owned();
    if !source.has("uns/primordia/format") {
        let found = if source.text_attribute("/", "encoding-type").as_deref() == Some("anndata") {
            "an AnnData file that Primordia did not write"
        } else {
            "an HDF5 file that Primordia did not write"
        };
        return Err(AtlasError::NotAtlas { path: path(), found });
    }
    if source.string("uns/primordia/format")? != FORMAT {
        let found = "an AnnData file whose uns/primordia is something else";
        return Err(AtlasError::NotAtlas { path: path(), found });
    }
    let found: u64 = source.scalar("uns/primordia/format_version")?;
    if found > FORMAT_VERSION {
        let (part, wanted) = ("the file".to_owned(), FORMAT_VERSION);
        return Err(AtlasError::NewerFormat { path: path(), part, found, wanted });
    }
    for (part, wanted) in PART_VERSIONS {
        let found: u64 = source.scalar(&format!("uns/primordia/versions/{part}"))?;
        if found > wanted {
            let part = format!("its part `{part}`");
            return Err(AtlasError::NewerFormat { path: path(), part, found, wanted });
        }
    }
    Ok(found)
}

/// What `read` finds under `name`, if the file has it.
fn optional<T>(
    source: &Source,
    name: &str,
    read: impl FnOnce(&str) -> Result<T>,
) -> Result<Option<T>> {
    source.has(name).then(|| read(name)).transpose()
}

fn read_cells(source: &Source) -> Result<Vec<CellId>> {
    let specimens = source.strings("obs/specimen")?;
    let labels = source.strings("obs/label")?;
    if specimens.len() != labels.len() {
        let found = format!("{} texts for {} specimens", labels.len(), specimens.len());
        return Err(source.malformed("obs/label", found, "one label per cell"));
    }
    // Cells of one specimen share its name in memory.
    let mut shared = BTreeMap::<String, std::sync::Arc<str>>::new();
    let pairs = specimens.into_iter().zip(labels);
    Ok(pairs
        .map(|(specimen, label)| {
            let name = shared.entry(specimen).or_insert_with_key(|name| name.as_str().into());
            CellId::new(name.clone(), label)
        })
        .collect())
}

/// The columns of `obs` that are not who the cell is.
fn own_columns(source: &Source) -> Result<Vec<String>> {
    let order = source.column_order("obs")?;
    Ok(order.into_iter().filter(|name| name != "specimen" && name != "label").collect())
}

fn read_columns(source: &Source) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for name in own_columns(source)? {
        if let Some(values) = source.column(&format!("obs/{name}"))? {
            columns.push(Column { name, values });
        } else {
            tracing::warn!("{}: column {name:?} left out", source.path().display());
        }
    }
    Ok(columns)
}

fn read_shape(source: &Source) -> Result<Vec<ShapeBlock>> {
    let names = source.strings("uns/primordia/shape_names")?;
    let block = |(at, name): (usize, String)| {
        let scores = source.array(&format!("obsm/{}", shape_key(at, &name)))?;
        let fitted = format!("uns/primordia/shape/{name}");
        let space = optional(source, &fitted, |group| read_space(source, group))?;
        Ok(ShapeBlock { name, scores, space })
    };
    names.into_iter().enumerate().map(block).collect()
}

fn read_space(source: &Source, group: &str) -> Result<FittedSpace> {
    let part = |name: &str| format!("{group}/{name}");
    Ok(FittedSpace {
        input_names: source.strings(&part("input_names"))?,
        mean: source.array(&part("mean"))?,
        scale: source.array(&part("scale"))?,
        components: source.array(&part("components"))?,
        explained_variance_ratio: source.array(&part("explained_variance_ratio"))?,
    })
}

fn read_proteins(source: &Source, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Protein>> {
    let names = source.strings("uns/primordia/protein_names")?;
    let wanted = names.into_iter().filter(|name| wanted(name));
    wanted.map(|name| read_protein(source, name)).collect()
}

fn read_protein(source: &Source, name: String) -> Result<Protein> {
    let array = |part: &str| -> Result<Array2<f32>> {
        source.array(&format!("obsm/{}", protein_key(&name, part)))
    };
    Ok(Protein {
        feature_names: source.strings(&format!("uns/primordia/protein_features/{name}"))?,
        measured: array("measured")?,
        predicted: array("predicted")?,
        lower: array("lower")?,
        upper: array("upper")?,
        name,
    })
}

/// A table under `uns/primordia`, whose columns all have as many values as `rows`.
struct Table<'a> {
    source: &'a Source,
    name: &'static str,
    rows: usize,
}

impl Table<'_> {
    fn texts(&self, column: &str) -> Result<Vec<Option<String>>> {
        let name = format!("{}/{column}", self.name);
        let values = self.source.optional_strings(&name)?;
        self.check_rows(&name, values.len())?;
        Ok(values)
    }

    fn numbers(&self, column: &str) -> Result<Array1<f64>> {
        let name = format!("{}/{column}", self.name);
        let values: Array1<f64> = self.source.array(&name)?;
        self.check_rows(&name, values.len())?;
        Ok(values)
    }

    fn counts(&self, column: &str) -> Result<Vec<usize>> {
        // Saturates: a negative count of a damaged file is 0.
        Ok(self.numbers(column)?.iter().map(|&count| count as usize).collect())
    }

    fn check_rows(&self, name: &str, found: usize) -> Result<()> {
        if found == self.rows {
            return Ok(());
        }
        let found = format!("{found} values for {} rows", self.rows);
        Err(self.source.malformed(name, found, "one value per row"))
    }
}

fn read_specimens(source: &Source) -> Result<Vec<Specimen>> {
    let ids = source.index("uns/primordia/specimens")?;
    let table = Table { source, name: "uns/primordia/specimens", rows: ids.len() };
    let [origin, hash] = [table.texts("source")?, table.texts("input_hash")?];
    let n_cells = table.counts("n_cells")?;
    let sides = ["voxel_z_um", "voxel_y_um", "voxel_x_um"].map(|side| table.numbers(side));
    let [z, y, x] = sides;
    let (z, y, x) = (z?, y?, x?);
    let residual_um = table.numbers("residual_um")?;
    let direction = read_decisions(&table, "direction")?;
    let apical = read_decisions(&table, "apical")?;
    let attributes = read_attributes(source, ids.len())?;
    let motions: Array3<f64> = source.array("uns/primordia/image_to_tissue")?;
    if motions.dim() != (ids.len(), 4, 4) {
        let found = format!("of shape {:?}", motions.shape());
        return Err(source.malformed("uns/primordia/image_to_tissue", found, "specimens × 4 × 4"));
    }
    let specimen = |(at, id): (usize, String)| {
        let voxel_um = [z[at], y[at], x[at]];
        let matrix = motions.slice(s![at, .., ..]);
        let matrix = Matrix4::from_fn(|row, column| matrix[[row, column]]);
        Specimen {
            id,
            source: origin[at].clone().unwrap_or_default(),
            input_hash: hash[at].clone().unwrap_or_default(),
            n_cells: n_cells[at],
            voxel_size_um: voxel_um.iter().any(|side| !side.is_nan()).then_some(voxel_um),
            image_to_tissue: matrix.iter().any(|value| !value.is_nan()).then_some(matrix),
            residual_um: Some(residual_um[at]).filter(|residual| !residual.is_nan()),
            direction: direction[at].clone(),
            apical: apical[at].clone(),
            attributes: attributes[at].clone(),
        }
    };
    Ok(ids.into_iter().enumerate().map(specimen).collect())
}

fn read_decisions(table: &Table, name: &str) -> Result<Vec<Option<Decision>>> {
    let confidence = table.numbers(&format!("{name}_confidence"))?;
    let texts = table.texts(name)?.into_iter().zip(confidence);
    Ok(texts.map(|(text, confidence)| text.map(|text| Decision { text, confidence })).collect())
}

fn read_attributes(source: &Source, rows: usize) -> Result<Vec<BTreeMap<String, String>>> {
    let table = Table { source, name: "uns/primordia/specimen_attributes", rows };
    let mut attributes = vec![BTreeMap::new(); rows];
    for key in source.column_order(table.name)? {
        for (row, text) in table.texts(&key)?.into_iter().enumerate() {
            if let Some(text) = text {
                attributes[row].insert(key.clone(), text);
            }
        }
    }
    Ok(attributes)
}

fn read_scores(source: &Source) -> Result<Vec<Score>> {
    let rows = source.index("uns/primordia/scores")?.len();
    let table = Table { source, name: "uns/primordia/scores", rows };
    let [protein, target, model] = ["protein", "target", "model"].map(|name| table.texts(name));
    let (protein, target, model) = (protein?, target?, model?);
    let (r2_mean, r2_sd) = (table.numbers("r2_mean")?, table.numbers("r2_sd")?);
    let folds = table.counts("folds")?;
    let (n_cells, n_specimens) = (table.counts("n_cells")?, table.counts("n_specimens")?);
    let best = table.numbers("best_reachable_r2")?;
    let score = |at: usize| Score {
        protein: protein[at].clone().unwrap_or_default(),
        target: target[at].clone().unwrap_or_default(),
        model: model[at].clone().unwrap_or_default(),
        r2_mean: r2_mean[at],
        r2_sd: r2_sd[at],
        folds: folds[at],
        n_cells: n_cells[at],
        n_specimens: n_specimens[at],
        best_reachable_r2: Some(best[at]).filter(|r2| !r2.is_nan()),
    };
    Ok((0..rows).map(score).collect())
}

/// Every array under `group` by its path.
fn read_tree<T>(
    source: &Source,
    group: &str,
    read: impl Fn(&str) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let paths = source.arrays_under(group)?.into_iter();
    paths.map(|path| Ok((path.clone(), read(&format!("{group}/{path}"))?))).collect()
}

fn read_provenance(source: &Source) -> Result<Provenance> {
    let text = |name: &str| source.string(&format!("uns/primordia/provenance/{name}"));
    let inputs = source.strings("uns/primordia/provenance/inputs")?;
    let hashes = source.strings("uns/primordia/provenance/input_hashes")?;
    if inputs.len() != hashes.len() {
        let found = format!("{} hashes for {} inputs", hashes.len(), inputs.len());
        let object = "uns/primordia/provenance/input_hashes";
        return Err(source.malformed(object, found, "one hash per input"));
    }
    Ok(Provenance {
        primordia_version: text("primordia_version")?,
        experiment: text("experiment")?,
        parameters_json: text("parameters_json")?,
        command: text("command")?,
        seed: source.scalar("uns/primordia/provenance/seed")?,
        input_hashes: inputs.into_iter().zip(hashes).collect(),
    })
}
