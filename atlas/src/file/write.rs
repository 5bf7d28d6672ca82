//! From the atlas in memory to the file.

use std::collections::BTreeSet;
use std::path::Path;

use hdf5_metno::plist::file_access::LibraryVersion;
use hdf5_metno::{Error, File, Group};
use nalgebra::Matrix4;
use ndarray::{Array3, ArrayView1, s};

use super::model::{Atlas, Decision, Provenance, Score, ShapeBlock, Specimen};
use super::replace::replace;
use super::{FORMAT, FORMAT_VERSION, PART_VERSIONS, encode, row_name};
use crate::error::{AtlasError, Result};

type Stored = std::result::Result<(), Error>;

/// Writes `atlas` to `path`, whole or not at all: the file appears under its name when all of it
/// is on the disk. The same atlas gives the same bytes.
///
/// # Errors
/// [`AtlasError::Inconsistent`] if the atlas does not hold together, [`AtlasError::Write`] and
/// [`AtlasError::WriteHdf5`] if the disk refuses.
pub fn write(path: impl AsRef<Path>, atlas: &Atlas) -> Result<()> {
    atlas.check()?;
    let path = path.as_ref();
    replace(path, |partial| {
        store(partial, atlas)
            .map_err(|source| AtlasError::WriteHdf5 { path: path.to_owned(), source })
    })
}

fn store(path: &Path, atlas: &Atlas) -> Stored {
    let file = File::with_options()
        .with_fcpl(|file| file.obj_track_times(false))
        // Metadata with checksums, which every HDF5 since 1.10 reads.
        .with_fapl(|file| file.libver_bounds(LibraryVersion::V110, LibraryVersion::V110))
        .create(path)?;
    encode::anndata(&file)?;
    encode::array(&file, "X", &atlas.features.values.view())?;
    store_obs(&file, atlas)?;
    encode::dataframe(&file, "var", atlas.features.names.iter().map(String::as_str), &[])?;
    store_obsm(&encode::dict(&file, "obsm")?, atlas)?;
    let obsp = encode::dict(&file, "obsp")?;
    if let Some(contacts) = &atlas.contacts {
        encode::csr(&obsp, "contact_area_um2", contacts)?;
    }
    for empty in ["varm", "varp", "layers"] {
        encode::dict(&file, empty)?;
    }
    let uns = encode::dict(&file, "uns")?;
    store_primordia(&encode::dict(&uns, "primordia")?, atlas)?;
    file.flush()?;
    file.close()
}

fn store_obs(file: &Group, atlas: &Atlas) -> Stored {
    let own = atlas.columns.iter().map(|column| &*column.name);
    let order: Vec<&str> = ["specimen", "label"].into_iter().chain(own).collect();
    let rows: Vec<String> = atlas.cells.iter().map(row_name).collect();
    let obs = encode::dataframe(file, "obs", rows.iter().map(String::as_str), &order)?;
    encode::categorical(&obs, "specimen", atlas.cells.iter().map(|cell| Some(&*cell.specimen)))?;
    encode::strings(&obs, "label", atlas.cells.iter().map(|cell| &*cell.cell))?;
    atlas.columns.iter().try_for_each(|column| encode::column(&obs, &column.name, &column.values))
}

fn store_obsm(obsm: &Group, atlas: &Atlas) -> Stored {
    encode::array(obsm, "spatial", &atlas.spatial_um.view())?;
    if let Some(image_um) = &atlas.image_um {
        encode::array(obsm, "image_um", &image_um.view())?;
    }
    for (at, block) in atlas.shape.iter().enumerate() {
        encode::array(obsm, &super::shape_key(at, &block.name), &block.scores.view())?;
    }
    for protein in &atlas.proteins {
        for (part, values) in protein.parts() {
            encode::array(obsm, &super::protein_key(&protein.name, part), &values.view())?;
        }
    }
    Ok(())
}

fn store_primordia(group: &Group, atlas: &Atlas) -> Stored {
    encode::string(group, "format", FORMAT)?;
    encode::scalar(group, "format_version", &FORMAT_VERSION)?;
    let versions = encode::dict(group, "versions")?;
    for (part, version) in PART_VERSIONS {
        encode::scalar(&versions, part, &version)?;
    }
    encode::string(group, "name", &atlas.name)?;
    store_provenance(&encode::dict(group, "provenance")?, &atlas.provenance)?;
    store_specimens(group, &atlas.specimens)?;
    store_scores(group, &atlas.scores)?;
    store_shape(group, &atlas.shape)?;
    store_proteins(group, atlas)?;
    let arrays = encode::dict(group, "arrays")?;
    for (path, values) in &atlas.arrays {
        let (folder, name) = folder_of(&arrays, path)?;
        encode::array(&folder, name, &values.view())?;
    }
    let texts = encode::dict(group, "texts")?;
    for (path, values) in &atlas.texts {
        let (folder, name) = folder_of(&texts, path)?;
        encode::strings(&folder, name, values.iter().map(String::as_str))?;
    }
    Ok(())
}

fn store_provenance(group: &Group, provenance: &Provenance) -> Stored {
    encode::string(group, "primordia_version", &provenance.primordia_version)?;
    encode::string(group, "experiment", &provenance.experiment)?;
    encode::string(group, "parameters_json", &provenance.parameters_json)?;
    encode::string(group, "command", &provenance.command)?;
    encode::scalar(group, "seed", &provenance.seed)?;
    let hashes = &provenance.input_hashes;
    encode::strings(group, "inputs", hashes.keys().map(String::as_str))?;
    encode::strings(group, "input_hashes", hashes.values().map(String::as_str))
}

/// A column of a table under `uns/primordia`.
enum Values<'a> {
    Texts(Vec<Option<&'a str>>),
    Numbers(Vec<f64>),
    Counts(Vec<i64>),
}

impl Values<'_> {
    /// Numbers of which some are not known.
    fn known(values: impl Iterator<Item = Option<f64>>) -> Self {
        Self::Numbers(values.map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    fn counts(values: impl Iterator<Item = usize>) -> Self {
        Self::Counts(values.map(|count| count as i64).collect())
    }
}

fn store_specimens(group: &Group, specimens: &[Specimen]) -> Stored {
    let all = || specimens.iter();
    let confidence = |decision: &Option<Decision>| decision.as_ref().map(|d| d.confidence);
    let side = |axis: usize| Values::known(all().map(|s| s.voxel_size_um.map(|um| um[axis])));
    let columns = [
        ("source", Values::Texts(all().map(|s| Some(&*s.source)).collect())),
        ("input_hash", Values::Texts(all().map(|s| Some(&*s.input_hash)).collect())),
        ("n_cells", Values::counts(all().map(|s| s.n_cells))),
        ("voxel_z_um", side(0)),
        ("voxel_y_um", side(1)),
        ("voxel_x_um", side(2)),
        ("residual_um", Values::known(all().map(|s| s.residual_um))),
        ("direction", Values::Texts(all().map(|s| said(s.direction.as_ref())).collect())),
        ("direction_confidence", Values::known(all().map(|s| confidence(&s.direction)))),
        ("apical", Values::Texts(all().map(|s| said(s.apical.as_ref())).collect())),
        ("apical_confidence", Values::known(all().map(|s| confidence(&s.apical)))),
    ];
    store_table(group, "specimens", all().map(|s| &*s.id), &columns)?;

    let keys: BTreeSet<&str> =
        all().flat_map(|s| s.attributes.keys()).map(String::as_str).collect();
    let attribute =
        |key| Values::Texts(all().map(|s| s.attributes.get(key).map(|t| &**t)).collect());
    let attributes: Vec<_> = keys.into_iter().map(|key| (key, attribute(key))).collect();
    store_table(group, "specimen_attributes", all().map(|s| &*s.id), &attributes)?;

    let forward = matrices(specimens, |matrix| Some(*matrix));
    let inverse = matrices(specimens, |matrix| matrix.try_inverse());
    encode::array(group, "image_to_tissue", &forward.view())?;
    encode::array(group, "tissue_to_image", &inverse.view())
}

fn said(decision: Option<&Decision>) -> Option<&str> {
    decision.map(|decision| &*decision.text)
}

/// Specimens × 4 × 4; NaN where a specimen has no transform.
fn matrices(
    specimens: &[Specimen],
    f: impl Fn(&Matrix4<f64>) -> Option<Matrix4<f64>>,
) -> Array3<f64> {
    let mut all = Array3::from_elem((specimens.len(), 4, 4), f64::NAN);
    for (at, specimen) in specimens.iter().enumerate() {
        if let Some(matrix) = specimen.image_to_tissue.as_ref().and_then(&f) {
            all.slice_mut(s![at, .., ..])
                .indexed_iter_mut()
                .for_each(|((row, column), value)| *value = matrix[(row, column)]);
        }
    }
    all
}

fn store_scores(group: &Group, scores: &[Score]) -> Stored {
    let texts = |f: fn(&Score) -> &str| Values::Texts(scores.iter().map(|s| Some(f(s))).collect());
    let numbers = |f: fn(&Score) -> f64| Values::Numbers(scores.iter().map(f).collect());
    let counts = |f: fn(&Score) -> usize| Values::counts(scores.iter().map(f));
    let columns = [
        ("protein", texts(|score| &score.protein)),
        ("target", texts(|score| &score.target)),
        ("model", texts(|score| &score.model)),
        ("r2_mean", numbers(|score| score.r2_mean)),
        ("r2_sd", numbers(|score| score.r2_sd)),
        ("folds", counts(|score| score.folds)),
        ("n_cells", counts(|score| score.n_cells)),
        ("n_specimens", counts(|score| score.n_specimens)),
        ("best_reachable_r2", Values::known(scores.iter().map(|score| score.best_reachable_r2))),
    ];
    let index: Vec<String> = (0..scores.len()).map(|row| row.to_string()).collect();
    store_table(group, "scores", index.iter().map(String::as_str), &columns)
}

fn store_shape(group: &Group, blocks: &[ShapeBlock]) -> Stored {
    encode::strings(group, "shape_names", blocks.iter().map(|block| &*block.name))?;
    let spaces = encode::dict(group, "shape")?;
    for block in blocks {
        let Some(space) = &block.space else { continue };
        let fitted = encode::dict(&spaces, &block.name)?;
        encode::strings(&fitted, "input_names", space.input_names.iter().map(String::as_str))?;
        encode::array(&fitted, "mean", &space.mean.view())?;
        encode::array(&fitted, "scale", &space.scale.view())?;
        encode::array(&fitted, "components", &space.components.view())?;
        let ratio = space.explained_variance_ratio.view();
        encode::array(&fitted, "explained_variance_ratio", &ratio)?;
    }
    Ok(())
}

fn store_proteins(group: &Group, atlas: &Atlas) -> Stored {
    let names = atlas.proteins.iter().map(|protein| &*protein.name);
    encode::strings(group, "protein_names", names)?;
    let features = encode::dict(group, "protein_features")?;
    for protein in &atlas.proteins {
        let names = protein.feature_names.iter().map(String::as_str);
        encode::strings(&features, &protein.name, names)?;
    }
    Ok(())
}

fn store_table<'a>(
    group: &Group,
    name: &str,
    index: impl IntoIterator<Item = &'a str>,
    columns: &[(&str, Values)],
) -> Stored {
    let order: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let table = encode::dataframe(group, name, index, &order)?;
    columns.iter().try_for_each(|(name, values)| match values {
        Values::Texts(texts) => encode::categorical(&table, name, texts.iter().copied()),
        Values::Numbers(values) => encode::array(&table, name, &ArrayView1::from(values)),
        Values::Counts(values) => encode::array(&table, name, &ArrayView1::from(values)),
    })
}

/// The group that an array's path lies in, made where it is not there yet, and the last name.
fn folder_of<'a>(root: &Group, path: &'a str) -> std::result::Result<(Group, &'a str), Error> {
    let mut folder = root.clone();
    let mut rest = path;
    while let Some((first, after)) = rest.split_once('/') {
        folder = if folder.link_exists(first) {
            folder.group(first)?
        } else {
            encode::dict(&folder, first)?
        };
        rest = after;
    }
    Ok((folder, rest))
}
