//! What `AnnData` encodes in HDF5, read back with distrust: whatever a file claims, an answer is
//! an array or an error that names the file and the object.

use std::io::Read;
use std::path::{Path, PathBuf};

use hdf5_metno::types::{TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5_metno::{Container, Dataset, File, Group, H5Type, LocationType};
use ndarray::{Array, Array1, ArrayD, Dimension};
use primordia_data::hdf5_heap;

use super::contacts::Contacts;
use super::model::ColumnValues;
use super::references::longest_text;
use crate::error::{AtlasError, Result};

/// Deflate makes data at most about 1032 times smaller (zlib's technical notes): what claims to
/// be larger than that times its storage is a lie, and no memory is set aside for it.
const DEFLATE_LIMIT: u128 = 1100;

/// An open file, read only.
pub(super) struct Source {
    file: File,
    /// The same file, for what HDF5 does not tell.
    bytes: std::fs::File,
    path: PathBuf,
    file_bytes: u64,
}

/// Whether a file begins with an HDF5 superblock whose addresses and sizes take eight bytes, as all
/// writers have it.
fn begins_as_hdf5(file: &mut std::fs::File) -> bool {
    const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
    let mut start = [0; 16];
    let sizes = if file.read_exact(&mut start).is_ok() && start[8] <= 1 { 13 } else { 9 };
    start.starts_with(SIGNATURE) && start[sizes] == 8 && start[sizes + 1] == 8
}

impl Source {
    /// Opens an HDF5 file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |source| AtlasError::Read { path: path.to_owned(), source };
        let mut bytes = std::fs::File::open(path).map_err(failed)?; // says why, where HDF5 would not
        let file_bytes = bytes.metadata().map_err(failed)?.len();
        if !begins_as_hdf5(&mut bytes) {
            return Err(AtlasError::NotHdf5 { path: path.to_owned() });
        }
        if hdf5_heap::never_ends(&mut bytes).map_err(failed)? {
            return Err(AtlasError::Malformed {
                path: path.to_owned(),
                object: "a heap of texts".to_owned(),
                found: "damaged: an object in it takes no room".to_owned(),
                wanted: "a sound copy of the file",
            });
        }
        let file = File::open(path).map_err(|_| AtlasError::NotHdf5 { path: path.to_owned() })?;
        Ok(Self { file, bytes, path: path.to_owned(), file_bytes })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        if name == "/" {
            return true;
        }
        let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
        ends.into_iter().all(|end| self.file.link_exists(&name[..end]))
    }

    /// The names in a group, in alphabetical order.
    pub(super) fn names(&self, group: &str) -> Result<Vec<String>> {
        let mut names = self.group(group)?.member_names().map_err(self.unreadable(group))?;
        names.sort_unstable();
        Ok(names)
    }

    /// The paths, from `group` on, of all arrays in it and in the groups within.
    pub(super) fn arrays_under(&self, group: &str) -> Result<Vec<String>> {
        /// Deeper and more than in any atlas: groups of a damaged file may hold one another.
        const LIMITS: (usize, usize) = (32, 100_000);
        let (mut found, mut open, mut n_groups) = (Vec::new(), vec![String::new()], 0);
        while let Some(folder) = open.pop() {
            n_groups += 1;
            if folder.matches('/').count() > LIMITS.0 || n_groups > LIMITS.1 {
                return Err(self.malformed(group, "groups without end", "groups within reason"));
            }
            for name in self.names(join(group, folder.trim_end_matches('/')).as_str())? {
                let path = format!("{folder}{name}");
                if self.is_group(&join(group, &path)) {
                    open.push(path + "/");
                } else {
                    found.push(path);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether this name is a group (and not an array).
    pub(super) fn is_group(&self, name: &str) -> bool {
        matches!(self.file.loc_type_by_name(name), Ok(LocationType::Group))
    }

    /// The group of this name.
    pub(super) fn group(&self, name: &str) -> Result<Group> {
        self.demand(name)?;
        if !self.is_group(name) {
            return Err(self.malformed(name, "no group", "a group"));
        }
        self.file.group(name).map_err(self.unreadable(name))
    }

    /// An array of numbers, converted to `T`.
    pub(super) fn array<T: H5Type, D: Dimension>(&self, name: &str) -> Result<Array<T, D>> {
        let dataset = self.dataset(name)?;
        let is_number = match self.kind(&dataset, name)? {
            TypeDescriptor::Boolean => false,
            kind => matches!(
                kind,
                TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_)
            ),
        };
        if !is_number {
            return Err(self.malformed(name, "not numeric", "numbers"));
        }
        if let Some(wanted) = D::NDIM
            && dataset.ndim() != wanted
        {
            let wanted = ["a number", "a list", "a table (rows × columns)", "a stack of tables"];
            let wanted = wanted.get(D::NDIM.unwrap_or(0)).unwrap_or(&"fewer axes");
            return Err(self.malformed(name, format!("of shape {:?}", dataset.shape()), wanted));
        }
        dataset.read().map_err(self.unreadable(name))
    }

    /// A number.
    pub(super) fn scalar<T: H5Type + Copy>(&self, name: &str) -> Result<T> {
        let values: ArrayD<T> = self.array(name)?;
        match values.first() {
            Some(value) if values.len() == 1 => Ok(*value),
            _ => Err(self.malformed(name, format!("of shape {:?}", values.shape()), "one number")),
        }
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<String> {
        let dataset = self.dataset(name)?;
        let mut texts = self.texts_of(&dataset, name)?;
        match (texts.pop(), texts.is_empty()) {
            (Some(text), true) => Ok(text),
            _ => Err(self.malformed(name, "a list of texts", "one text")),
        }
    }

    /// A list of texts, however it is encoded; missing texts are empty.
    pub(super) fn strings(&self, name: &str) -> Result<Vec<String>> {
        if self.is_group(name) {
            let texts = self.optional_strings(name)?;
            return Ok(texts.into_iter().map(Option::unwrap_or_default).collect());
        }
        let dataset = self.dataset(name)?;
        self.texts_of(&dataset, name)
    }

    /// A list of texts, some of which may be missing: a list, categories, or a masked list.
    pub(super) fn optional_strings(&self, name: &str) -> Result<Vec<Option<String>>> {
        if !self.is_group(name) {
            return Ok(self.strings(name)?.into_iter().map(Some).collect());
        }
        if self.has(&format!("{name}/codes")) {
            let categories = self.strings(&format!("{name}/categories"))?;
            let codes: Array1<i64> = self.array(&format!("{name}/codes"))?;
            let text = |&code: &i64| match usize::try_from(code) {
                Err(_) => Ok(None),
                Ok(code) => match categories.get(code) {
                    Some(text) => Ok(Some(text.clone())),
                    None => Err(self.malformed(name, "a code without category", "categories")),
                },
            };
            return codes.iter().map(text).collect();
        }
        let values = self.strings(&format!("{name}/values"))?;
        let missing = self.flags(&format!("{name}/mask"))?;
        if values.len() != missing.len() {
            return Err(self.malformed(name, "a mask of another length", "one mark per value"));
        }
        let pairs = values.into_iter().zip(missing);
        Ok(pairs.map(|(text, missing)| (!missing).then_some(text)).collect())
    }

    /// A list of yes and no.
    pub(super) fn flags(&self, name: &str) -> Result<Vec<bool>> {
        let dataset = self.dataset(name)?;
        if !matches!(self.kind(&dataset, name)?, TypeDescriptor::Boolean) {
            return Err(self.malformed(name, "not of yes and no", "flags"));
        }
        // As bytes: a damaged file may hold a flag that is neither.
        let bytes = dataset.read_raw::<i8>().map_err(self.unreadable(name))?;
        Ok(bytes.into_iter().map(|byte| byte != 0).collect())
    }

    /// A column of a table; `None` for kinds that an atlas has no place for.
    pub(super) fn column(&self, name: &str) -> Result<Option<ColumnValues>> {
        if self.is_group(name) {
            let parts = ["categories", "values"].map(|part| format!("{name}/{part}"));
            let texts = match parts.iter().find(|part| self.has(part)) {
                Some(part) if self.is_group(part) => true, // masked categories
                Some(part) => is_text(&self.kind(&*self.dataset(part)?, part)?),
                None => false,
            };
            let values = texts.then(|| self.optional_strings(name).map(ColumnValues::Text));
            return values.transpose();
        }
        let dataset = self.dataset(name)?;
        match self.kind(&dataset, name)? {
            kind if is_text(&kind) => Ok(Some(ColumnValues::Text(self.optional_strings(name)?))),
            TypeDescriptor::Boolean => Ok(Some(ColumnValues::Flag(self.flags(name)?))),
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_) => {
                let values: Array1<f64> = self.array(name)?;
                Ok(Some(ColumnValues::Number(values.to_vec())))
            }
            _ => Ok(None),
        }
    }

    /// The index of a table.
    pub(super) fn index(&self, table: &str) -> Result<Vec<String>> {
        let name = self.text_attribute(table, "_index").unwrap_or_else(|| "_index".to_owned());
        self.strings(&format!("{table}/{name}"))
    }

    /// The names of a table's columns, in order.
    pub(super) fn column_order(&self, table: &str) -> Result<Vec<String>> {
        let group = self.group(table)?;
        let object = format!("{table}, column-order");
        let Ok(order) = group.attr("column-order") else {
            return Err(AtlasError::Missing { path: self.path.clone(), object });
        };
        if order.size() == 0 {
            return Ok(Vec::new()); // h5py writes an empty list as numbers
        }
        self.check_claim(&order, &order.shape(), &object)?;
        self.texts_of(&order, &object)
    }

    /// A text attribute of a group or array; `None` if there is none.
    pub(super) fn text_attribute(&self, name: &str, attribute: &str) -> Option<String> {
        let attribute = if self.is_group(name) {
            self.file.group(name).ok()?.attr(attribute).ok()?
        } else {
            self.file.dataset(name).ok()?.attr(attribute).ok()?
        };
        self.check_claim(&attribute, &attribute.shape(), name).ok()?;
        self.texts_of(&attribute, name).ok()?.pop()
    }

    /// A square sparse matrix, compressed by rows.
    pub(super) fn csr(&self, name: &str) -> Result<Contacts> {
        let encoding = self.text_attribute(name, "encoding-type");
        if encoding.as_deref() != Some("csr_matrix") {
            let found = encoding.unwrap_or_else(|| "without encoding".to_owned());
            return Err(self.malformed(name, found, "csr_matrix"));
        }
        Ok(Contacts {
            row_starts: self.positions(&format!("{name}/indptr"))?,
            neighbours: self.positions(&format!("{name}/indices"))?,
            areas_um2: self.array::<f64, ndarray::Ix1>(&format!("{name}/data"))?.to_vec(),
        })
    }

    fn positions(&self, name: &str) -> Result<Vec<usize>> {
        let values: Array1<i64> = self.array(name)?;
        let position = |&value: &i64| {
            usize::try_from(value).map_err(|_| self.malformed(name, "negative", "positions"))
        };
        values.iter().map(position).collect()
    }

    /// The array of this name, which claims no more than the file can hold.
    pub(super) fn dataset(&self, name: &str) -> Result<Dataset> {
        self.demand(name)?;
        if self.is_group(name) {
            return Err(self.malformed(name, "a group", "an array"));
        }
        let dataset = self.file.dataset(name).map_err(self.unreadable(name))?;
        self.check_claim(&dataset, &dataset.shape(), name)?;
        if dataset.size() == 0 {
            return Ok(dataset);
        }
        if let Some(chunk) = dataset.chunk() {
            // HDF5 makes room for a whole chunk, however little of it there is.
            self.check_claim(&dataset, &chunk, name)?;
        }
        if is_text(&self.kind(&dataset, name)?) {
            self.check_texts(&dataset, name)?;
        }
        Ok(dataset)
    }

    /// Checks that what is `of_shape` can come from so many stored bytes, deflated at best.
    fn check_claim(&self, container: &Container, of_shape: &[usize], name: &str) -> Result<()> {
        let element = container.dtype().map_err(self.unreadable(name))?.size();
        let claimed = of_shape
            .iter()
            .try_fold(element as u128, |bytes, &side| bytes.checked_mul(side as u128));
        let stored = container.storage_size().min(self.file_bytes);
        let limit = u128::from(stored) * DEFLATE_LIMIT;
        if claimed.is_none_or(|bytes| bytes > limit) {
            let found = format!("of shape {of_shape:?} in {stored} bytes");
            return Err(self.malformed(name, found, "no more than the file can hold"));
        }
        Ok(())
    }

    /// Checks that no text of an array is longer than the file.
    fn check_texts(&self, dataset: &Dataset, name: &str) -> Result<()> {
        let mut bytes = self.bytes.try_clone().map_err(self.failed())?;
        match longest_text(dataset, &mut bytes).map_err(self.failed())? {
            Some(longest) if longest <= self.file_bytes => Ok(()),
            Some(longest) => {
                let found = format!("a text of {longest} bytes");
                Err(self.malformed(name, found, "no more than the file can hold"))
            }
            None => Err(self.malformed(name, "texts in an unusual layout", "plain or deflated")),
        }
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> AtlasError {
        let path = self.path.clone();
        move |source| AtlasError::Read { path: path.clone(), source }
    }

    /// What an array holds.
    pub(super) fn kind(&self, container: &Container, name: &str) -> Result<TypeDescriptor> {
        let kind = container.dtype().and_then(|kind| kind.to_descriptor());
        kind.map_err(self.unreadable(name))
    }

    /// Whether the values can be read, whatever they are.
    pub(super) fn check_readable(&self, name: &str) -> Result<()> {
        let dataset = self.dataset(name)?;
        match self.kind(&dataset, name)? {
            kind if is_text(&kind) => self.texts_of(&dataset, name).map(|_| ()),
            TypeDescriptor::Boolean => self.flags(name).map(|_| ()),
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_) => {
                dataset.read_raw::<f64>().map(|_| ()).map_err(self.unreadable(name))
            }
            _ => Ok(()), // kinds that no atlas has, put there by others
        }
    }

    fn texts_of(&self, container: &Container, name: &str) -> Result<Vec<String>> {
        let bytes: Vec<Vec<u8>> = match self.kind(container, name)? {
            TypeDescriptor::VarLenUnicode => container
                .read_raw::<VarLenUnicode>()
                .map(|texts| texts.iter().map(|text| text.as_bytes().to_vec()).collect()),
            TypeDescriptor::VarLenAscii => container
                .read_raw::<VarLenAscii>()
                .map(|texts| texts.iter().map(|text| text.as_bytes().to_vec()).collect()),
            _ => return Err(self.malformed(name, "not text", "text of variable length")),
        }
        .map_err(self.unreadable(name))?;
        let text = |bytes| {
            String::from_utf8(bytes).map_err(|_| self.malformed(name, "not UTF-8", "UTF-8"))
        };
        bytes.into_iter().map(text).collect()
    }

    fn demand(&self, name: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(AtlasError::Missing { path: self.path.clone(), object: name.to_owned() })
    }

    fn unreadable(&self, name: &str) -> impl Fn(hdf5_metno::Error) -> AtlasError {
        let (path, object) = (self.path.clone(), name.to_owned());
        move |source| AtlasError::Unreadable { path: path.clone(), object: object.clone(), source }
    }

    /// The error that `object` is `found`, not `wanted`.
    pub(super) fn malformed(
        &self,
        object: &str,
        found: impl Into<String>,
        wanted: &'static str,
    ) -> AtlasError {
        let (path, object, found) = (self.path.clone(), object.to_owned(), found.into());
        AtlasError::Malformed { path, object, found, wanted }
    }
}

/// `path` in `group`, either of which may be the root.
fn join(group: &str, path: &str) -> String {
    let parts = [group.trim_matches('/'), path];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "/".to_owned() } else { parts.join("/") }
}

fn is_text(kind: &TypeDescriptor) -> bool {
    matches!(kind, TypeDescriptor::VarLenUnicode | TypeDescriptor::VarLenAscii)
}
