//! `[experiment]` and `[segmentation]`.

use super::problem::Problem;
use super::{Direction, Segmentation, direction};
use crate::document::{Document, Table, Value};
use crate::error::Result;

/// What holds for the whole experiment.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) reference: Option<String>,
    pub(super) proteins: Option<Vec<String>>,
    pub(super) segmentation: Segmentation,
    pub(super) seed: u64,
    pub(super) dataset: Option<String>,
    pub(super) unmix: Option<String>,
    pub(super) nuclei: Option<String>,
    pub(super) migration: Option<Direction>,
    pub(super) apical: Option<Direction>,
}

impl Settings {
    pub(super) fn of(document: &Document<'_>, root: &Table<'_>) -> Result<Self> {
        let wanted = "a table, [experiment],";
        let table = root.get("experiment").map(|value| value.table(wanted)).transpose()?;
        if let Some(table) = &table {
            let known = ["name", "reference", "proteins", "segmentation", "dataset", "migration"];
            table.only(&[&known[..], &["apical", "seed", "unmix", "nuclei"]].concat())?;
        }
        let get = |key| table.as_ref().and_then(|table| table.get(key));
        let name = get("name").map(Value::name).transpose()?;
        let reference = get("reference").map(Value::name).transpose()?;
        let other = |key, wanted| {
            get(key).map(|value| other_channel(value, reference.as_deref(), wanted)).transpose()
        };
        Ok(Self {
            name: name.unwrap_or_else(|| name_of_folder(document)),
            unmix: other("unmix", BLEEDS)?,
            nuclei: other("nuclei", SHOWS_NUCLEI)?,
            reference,
            proteins: get("proteins").map(Value::names).transpose()?,
            segmentation: segmentation(get("segmentation"), root.get("segmentation"))?,
            seed: get("seed").map(Value::count).transpose()?.unwrap_or(0),
            dataset: get("dataset").map(Value::name).transpose()?,
            migration: get("migration").map(direction_of).transpose()?,
            apical: get("apical").map(direction_of).transpose()?,
        })
    }
}

/// What `unmix` and `nuclei` name.
pub(super) const BLEEDS: &str = "another channel than the reference, which bleeds into it,";
pub(super) const SHOWS_NUCLEI: &str = "another channel than the reference, which shows the nuclei,";

/// A channel that is `wanted`, another one than the reference.
pub(super) fn other_channel(
    value: &Value<'_>,
    reference: Option<&str>,
    wanted: &'static str,
) -> Result<String> {
    let found = value.name()?;
    if Some(found.as_str()) == reference {
        return Err(value.error(Problem::Value { found, wanted }).into());
    }
    Ok(found)
}

/// The folder that holds the experiment file, or "experiment".
fn name_of_folder(document: &Document<'_>) -> String {
    let folder = document.file.parent().and_then(|folder| folder.file_name());
    folder.map_or("experiment".into(), |name| name.to_string_lossy().into_owned())
}

/// `experiment.segmentation = "METHOD"`, or `[segmentation]` with `method` and its parameters.
fn segmentation(short: Option<&Value<'_>>, long: Option<&Value<'_>>) -> Result<Segmentation> {
    match (short, long) {
        (None, None) => Ok(Segmentation::Automatic),
        (Some(short), None) => method(short),
        (_, Some(long)) => {
            if let Some(short) = short {
                let name = "segmentation".into();
                return Err(short.error(Problem::DuplicateName { name }).into());
            }
            let table = long.table("a table, [segmentation],")?;
            let found = method(table.need("method", METHODS)?)?;
            with_parameters(found, &table)
        }
    }
}

const METHODS: &str = "\"auto\", \"network\" or \"hartmann2020\"";

fn method(value: &Value<'_>) -> Result<Segmentation> {
    match value.text()? {
        "auto" => Ok(Segmentation::Automatic),
        "network" => Ok(Segmentation::Network),
        "hartmann2020" => Ok(Segmentation::Hartmann2020 { max_offset: 10, step: 1 }),
        other => {
            let (found, wanted) = (other.to_owned(), METHODS);
            Err(value.error(Problem::Value { found, wanted }).into())
        }
    }
}

fn with_parameters(found: Segmentation, table: &Table<'_>) -> Result<Segmentation> {
    let Segmentation::Hartmann2020 { max_offset, step } = found else {
        table.only(&["method"])?;
        return Ok(found);
    };
    table.only(&["method", "max_offset", "step"])?;
    let positive = |key, default| table.get(key).map_or(Ok(default), grey_levels);
    Ok(Segmentation::Hartmann2020 {
        max_offset: positive("max_offset", max_offset)?,
        step: positive("step", step)?,
    })
}

fn grey_levels(value: &Value<'_>) -> Result<u32> {
    let number = value.integer()?;
    u32::try_from(number).ok().filter(|&number| number > 0).ok_or_else(|| {
        let wanted = "a positive number of grey levels";
        value.error(Problem::Value { found: number.to_string(), wanted }).into()
    })
}

/// `"+x"`, `"-z"` or `[x, y, z]`.
pub(super) fn direction_of(value: &Value<'_>) -> Result<Direction> {
    const WANTED: &str = "a direction in the image such as \"+x\", \"-z\" or [x, y, z]";
    let wrong = |found| value.error(Problem::Value { found, wanted: WANTED });
    if value.is_array() {
        let parts = value.elements(WANTED)?;
        let parts = parts.iter().map(Value::number).collect::<Result<Vec<_>>>()?;
        let found = match parts[..] {
            [x, y, z] => direction(x, y, z),
            _ => None,
        };
        return Ok(found.ok_or_else(|| wrong(format!("{parts:?}")))?);
    }
    let text = value.text()?;
    let (sign, axis) = match text.strip_prefix('-') {
        Some(axis) => (-1.0, axis),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let found = match axis {
        "x" => direction(sign, 0.0, 0.0),
        "y" => direction(0.0, sign, 0.0),
        "z" => direction(0.0, 0.0, sign),
        _ => None,
    };
    Ok(found.ok_or_else(|| wrong(text.to_owned()))?)
}
