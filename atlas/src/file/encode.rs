//! Arrays, texts and tables as `AnnData` encodes them in HDF5
//! (<https://anndata.readthedocs.io/en/stable/fileformat-prose.html>).

use std::collections::BTreeSet;

use hdf5_metno::types::VarLenUnicode;
use hdf5_metno::{Dataset, Error, Group, H5Type, Location};
use ndarray::{ArrayView, ArrayView1, Dimension};

use super::contacts::Contacts;
use super::model::ColumnValues;

type Result<T> = std::result::Result<T, Error>;

/// The names and versions of `AnnData`'s encodings.
const DICT: (&str, &str) = ("dict", "0.1.0");
const ARRAY: (&str, &str) = ("array", "0.2.0");
const STRINGS: (&str, &str) = ("string-array", "0.2.0");
const STRING: (&str, &str) = ("string", "0.2.0");
const SCALAR: (&str, &str) = ("numeric-scalar", "0.2.0");
const CATEGORICAL: (&str, &str) = ("categorical", "0.2.0");
const DATAFRAME: (&str, &str) = ("dataframe", "0.2.0");
const CSR: (&str, &str) = ("csr_matrix", "0.1.0");
const ANNDATA: (&str, &str) = ("anndata", "0.1.0");

/// Smaller arrays are stored as they are.
const COMPRESSED_BYTES: usize = 1024;
/// A chunk is read whole: large enough to compress, small enough to skip.
const CHUNK_BYTES: usize = 256 * 1024;
const DEFLATE_LEVEL: u8 = 4;

/// Marks the root group as an `AnnData`.
pub(super) fn anndata(root: &Group) -> Result<()> {
    mark(root, ANNDATA)
}

/// An empty group of named things.
pub(super) fn dict(parent: &Group, name: &str) -> Result<Group> {
    marked_group(parent, name, DICT)
}

/// An array, shuffled and deflated where that pays. Arrays without axes become scalars.
pub(super) fn array<T: H5Type + Clone, D: Dimension>(
    parent: &Group,
    name: &str,
    values: &ArrayView<'_, T, D>,
) -> Result<()> {
    let dataset = compact_array(parent, name, values)?;
    mark(&dataset, if values.ndim() == 0 { SCALAR } else { ARRAY })
}

/// A number.
pub(super) fn scalar<T: H5Type>(parent: &Group, name: &str, value: &T) -> Result<()> {
    let dataset = parent.new_dataset::<T>().create(name)?;
    dataset.write_scalar(value)?;
    mark(&dataset, SCALAR)
}

/// A text.
pub(super) fn string(parent: &Group, name: &str, text: &str) -> Result<()> {
    let dataset = parent.new_dataset::<VarLenUnicode>().create(name)?;
    dataset.write_scalar(&unicode(text)?)?;
    mark(&dataset, STRING)
}

/// A list of texts.
pub(super) fn strings<'a>(
    parent: &Group,
    name: &str,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<()> {
    let texts = texts.into_iter().map(unicode).collect::<Result<Vec<_>>>()?;
    let dataset = plain_array(parent, name, &ArrayView1::from(&texts))?;
    mark(&dataset, STRINGS)
}

/// A table with an index of unique texts and columns written by `column`.
pub(super) fn dataframe<'a>(
    parent: &Group,
    name: &str,
    index: impl IntoIterator<Item = &'a str>,
    column_order: &[&str],
) -> Result<Group> {
    let group = marked_group(parent, name, DATAFRAME)?;
    let order = column_order.iter().map(|column| unicode(column)).collect::<Result<Vec<_>>>()?;
    group.new_attr_builder().with_data(&order).create("column-order")?;
    text_attribute(&group, "_index", "_index")?;
    strings(&group, "_index", index)?;
    Ok(group)
}

/// A column of a table.
pub(super) fn column(parent: &Group, name: &str, values: &ColumnValues) -> Result<()> {
    match values {
        ColumnValues::Number(values) => array(parent, name, &ArrayView1::from(values)),
        ColumnValues::Flag(values) => array(parent, name, &ArrayView1::from(values)),
        ColumnValues::Text(values) => {
            categorical(parent, name, values.iter().map(Option::as_deref))
        }
    }
}

/// Texts that repeat: the distinct ones in order, and which one each is; −1 for none.
pub(super) fn categorical<'a>(
    parent: &Group,
    name: &str,
    values: impl Iterator<Item = Option<&'a str>> + Clone,
) -> Result<()> {
    let group = marked_group(parent, name, CATEGORICAL)?;
    let distinct: BTreeSet<&str> = values.clone().flatten().collect();
    let categories: Vec<&str> = distinct.into_iter().collect();
    let codes = values.map(|text| {
        text.and_then(|text| categories.binary_search(&text).ok()).map_or(-1, |code| code as i64)
    });
    if i8::try_from(categories.len()).is_ok() {
        array(
            &group,
            "codes",
            &ArrayView1::from(&codes.map(|code| code as i8).collect::<Vec<_>>()),
        )?;
    } else {
        let codes: Vec<_> = codes.map(|code| code as i32).collect();
        array(&group, "codes", &ArrayView1::from(&codes))?;
    }
    strings(&group, "categories", categories.iter().copied())?;
    group.new_attr::<bool>().create("ordered")?.write_scalar(&false)
}

/// A sparse matrix, compressed by rows.
pub(super) fn csr(parent: &Group, name: &str, matrix: &Contacts) -> Result<()> {
    let group = marked_group(parent, name, CSR)?;
    let side = matrix.n_cells() as i64;
    group.new_attr_builder().with_data(&[side, side]).create("shape")?;
    let wide = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
    compact_array(&group, "indptr", &ArrayView1::from(&wide(&matrix.row_starts)))?;
    compact_array(&group, "indices", &ArrayView1::from(&wide(&matrix.neighbours)))?;
    compact_array(&group, "data", &ArrayView1::from(&matrix.areas_um2))?;
    Ok(())
}

fn marked_group(parent: &Group, name: &str, encoding: (&str, &str)) -> Result<Group> {
    let group = parent.create_group_builder().obj_track_times(false).create(name)?;
    mark(&group, encoding)?;
    Ok(group)
}

fn mark(location: &Location, (encoding, version): (&str, &str)) -> Result<()> {
    text_attribute(location, "encoding-type", encoding)?;
    text_attribute(location, "encoding-version", version)
}

fn text_attribute(location: &Location, name: &str, text: &str) -> Result<()> {
    location.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&unicode(text)?)
}

fn unicode(text: &str) -> Result<VarLenUnicode> {
    text.parse().map_err(|_| Error::from("a text holds a NUL character"))
}

/// Small arrays as they are, large ones in chunks of whole rows, shuffled and deflated.
fn compact_array<T: H5Type + Clone, D: Dimension>(
    parent: &Group,
    name: &str,
    values: &ArrayView<'_, T, D>,
) -> Result<Dataset> {
    let n_bytes = values.len() * size_of::<T>();
    if n_bytes < COMPRESSED_BYTES || values.ndim() == 0 {
        return plain_array(parent, name, values);
    }
    let row_bytes = n_bytes / values.shape()[0];
    let mut chunk = values.shape().to_vec();
    chunk[0] = (CHUNK_BYTES / row_bytes).clamp(1, chunk[0]);
    let builder = parent.new_dataset_builder().chunk(chunk).shuffle().deflate(DEFLATE_LEVEL);
    builder.with_data(values.as_standard_layout().view()).create(name)
}

fn plain_array<T: H5Type + Clone, D: Dimension>(
    parent: &Group,
    name: &str,
    values: &ArrayView<'_, T, D>,
) -> Result<Dataset> {
    let builder = parent.new_dataset_builder().no_chunk();
    builder.with_data(values.as_standard_layout().view()).create(name)
}
