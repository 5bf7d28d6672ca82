//! `[[specimen]]` and `[[specimens]]`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::paths::stem;
use super::problem::Problem;
use super::settings::{BLEEDS, SHOWS_NUCLEI, Settings, direction_of, other_channel};
use super::{Annotation, Attribute, Attributes, Specimen};
use crate::document::{Table, Value};
use crate::error::Result;
use crate::volume::VoxelSize;

/// Keys that `[[specimen]]` and `[[specimens]]` share.
const SHARED: [&str; 10] = [
    "channels",
    "voxel_size_um",
    "labels",
    "labels_dataset",
    "edits",
    "unmix",
    "nuclei",
    "dataset",
    "migration",
    "apical",
];

/// The specimens with images, and the columns of those without, in the order of the file.
pub(super) fn specimens(
    root: &Table<'_>,
    settings: &Settings,
) -> Result<(Vec<Specimen>, Vec<Annotation>)> {
    let tables = |key, wanted| root.get(key).map_or(Ok(Vec::new()), |value| value.tables(wanted));
    let one = tables("specimen", "[[specimen]]")?.into_iter().map(|table| (table, false));
    let many = tables("specimens", "[[specimens]]")?.into_iter().map(|table| (table, true));
    let mut all: Vec<_> = one.chain(many).collect();
    all.sort_by_key(|(table, _)| table.at());

    let mut found =
        Found { settings, lines: HashMap::new(), specimens: vec![], annotations: vec![] };
    for (table, many) in &all {
        if *many { found.add_many(table)? } else { found.add_one(table)? }
    }
    Ok((found.specimens, found.annotations))
}

struct Found<'s> {
    settings: &'s Settings,
    lines: HashMap<Arc<str>, usize>,
    specimens: Vec<Specimen>,
    annotations: Vec<Annotation>,
}

impl Found<'_> {
    fn add_one(&mut self, table: &Table<'_>) -> Result<()> {
        let further = table.beyond(&[&SHARED[..], &["id", "image"]].concat())?;
        let attributes = attributes(&further)?;
        let id = self.new_id(table.need("id", "the specimen's name")?)?;
        let Some(image) = table.get("image") else {
            if let Some(value) = table.values().find(|value| SHARED.contains(&value.key)) {
                let (missing, meaning) = ("image", "this key belongs to an image");
                return Err(value.error(Problem::MissingKey { missing, meaning }).into());
            }
            self.annotations.push(Annotation { id, attributes });
            return Ok(());
        };
        let labels = table.get("labels").map(Value::existing).transpose()?;
        let edits = table.get("edits").map(Value::existing).transpose()?;
        let image = image.existing()?;
        let specimen = self.specimen(table, id, &image, attributes)?;
        self.specimens.push(Specimen { labels, edits, ..specimen });
        Ok(())
    }

    fn add_many(&mut self, table: &Table<'_>) -> Result<()> {
        if let Some(id) = table.get("id") {
            let (found, wanted) = ("id".into(), "no id here, the names of the files are the IDs,");
            return Err(id.error(Problem::Value { found, wanted }).into());
        }
        let further = table.beyond(&[&SHARED[..], &["images"]].concat())?;
        let attributes = attributes(&further)?;
        let images = table.need("images", "a pattern such as \"raw/*.ome.tif\"")?;
        let first = self.specimens.len();
        for image in images.matching()? {
            let id = stem(&image).ok_or_else(|| images.file_name(&image))?;
            let id = self.add_id(id, images)?;
            let labels = table.get("labels").map(|value| value.existing_of(&id)).transpose()?;
            let edits = table.get("edits").map(|value| value.path_of(&id)).transpose()?;
            let edits = edits.filter(|path| path.exists());
            let specimen = self.specimen(table, id, &image, attributes.clone())?;
            self.specimens.push(Specimen { labels, edits, ..specimen });
        }
        // Not every specimen needs to be corrected, but logs of which none is there are a mistake.
        match table.get("edits") {
            Some(value) if self.specimens[first..].iter().all(|found| found.edits.is_none()) => {
                Err(value.error(Problem::NoMatch { pattern: value.text()?.to_owned() }).into())
            }
            _ => Ok(()),
        }
    }

    /// What both tables say of a specimen; the rest comes from the whole experiment.
    fn specimen(
        &self,
        table: &Table<'_>,
        id: Arc<str>,
        image: &Path,
        attributes: Attributes,
    ) -> Result<Specimen> {
        let direction = |key| table.get(key).map(direction_of).transpose();
        let dataset = table.get("dataset").map(Value::name).transpose()?;
        let reference = self.settings.reference.as_deref();
        let other = |key, wanted| {
            table.get(key).map(|value| other_channel(value, reference, wanted)).transpose()
        };
        let (unmix, nuclei) = (other("unmix", BLEEDS)?, other("nuclei", SHOWS_NUCLEI)?);
        Ok(Specimen {
            id,
            image: image.to_owned(),
            dataset: dataset.or_else(|| self.settings.dataset.clone()),
            channels: table.get("channels").map(|value| self.channels(value)).transpose()?,
            voxel_size: table.get("voxel_size_um").map(voxel_size).transpose()?,
            labels: None,
            edits: None,
            unmix: unmix.or_else(|| self.settings.unmix.clone()),
            nuclei: nuclei.or_else(|| self.settings.nuclei.clone()),
            labels_dataset: table.get("labels_dataset").map(Value::name).transpose()?,
            migration: direction("migration")?.or(self.settings.migration),
            apical: direction("apical")?.or(self.settings.apical),
            attributes,
        })
    }

    /// Channel names, of which one is the reference if the experiment names it.
    fn channels(&self, value: &Value<'_>) -> Result<Vec<String>> {
        let channels = value.names()?;
        if let Some(reference) = &self.settings.reference
            && !channels.contains(reference)
        {
            let (reference, channels) = (reference.clone(), channels.join(", "));
            return Err(value.error(Problem::NoSuchReference { reference, channels }).into());
        }
        Ok(channels)
    }

    fn new_id(&mut self, value: &Value<'_>) -> Result<Arc<str>> {
        if let Some(text) = value.number_as_written() {
            return Err(value.error(Problem::UnquotedId { text: text.to_owned() }).into());
        }
        self.add_id(value.text()?, value)
    }

    fn add_id(&mut self, id: &str, value: &Value<'_>) -> Result<Arc<str>> {
        let control = id.chars().any(char::is_control);
        let bad = id.is_empty() || id != id.trim() || id.contains(['/', '\\']) || control;
        if bad || id == "." || id == ".." {
            return Err(value.error(Problem::BadId { id: id.to_owned() }).into());
        }
        if let Some(&first_line) = self.lines.get(id) {
            let id = id.to_owned();
            return Err(value.error(Problem::DuplicateId { id, first_line }).into());
        }
        let id: Arc<str> = id.into();
        self.lines.insert(id.clone(), value.document.line(value.at()));
        Ok(id)
    }
}

fn voxel_size(value: &Value<'_>) -> Result<VoxelSize> {
    let um = value.elements("[z, y, x] in µm")?;
    let um = um.iter().map(Value::number).collect::<Result<Vec<_>>>()?;
    let size = <[f64; 3]>::try_from(um.as_slice()).ok().map(VoxelSize::from_um);
    match size {
        Some(Ok(size)) => Ok(size),
        _ => Err(value.error(Problem::VoxelSize { um }).into()),
    }
}

/// Further keys, as columns of a specimen.
pub(super) fn attributes(values: &[&Value<'_>]) -> Result<Attributes> {
    let attribute = |value: &&Value<'_>| {
        let attribute = if let Some(truth) = value.truth() {
            Attribute::Text(truth.to_string())
        } else if value.number_as_written().is_some() {
            Attribute::Number(value.number()?)
        } else {
            Attribute::Text(text_of_attribute(value)?)
        };
        Ok((value.key.to_owned(), attribute))
    };
    values.iter().map(attribute).collect()
}

fn text_of_attribute(value: &Value<'_>) -> Result<String> {
    if value.is_array() || value.is_table() {
        let found = if value.is_array() { "a list" } else { "a table" };
        let wanted = "text, a number, true or false (a column of specimens)";
        return Err(value.error(Problem::WrongType { found, wanted }).into());
    }
    value.text().map(str::to_owned)
}
