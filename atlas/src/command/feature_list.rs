//! The features there are, and in which groups they are measured, as a table to be read at 100 columns, or as JSON.

use std::io::{Result, Write};

use primordia_features::registry::{CONTEXT, Description, Feature, INTENSITY, LANDMARKS, SHAPE};
use serde_json::json;

/// Characters across.
const WIDTH: usize = 100;
/// What stands before the names of features that every channel has.
const CHANNEL: &str = "CHANNEL_";

/// Features with a title.
struct Part {
    title: &'static str,
    features: Vec<(String, Description)>,
    per_channel: bool,
}

/// All features, in the order of their columns.
fn parts() -> [Part; 4] {
    [
        Part { title: "Shape", features: described(SHAPE, ""), per_channel: false },
        Part {
            title: "Place among the other cells",
            features: described(CONTEXT, ""),
            per_channel: false,
        },
        Part {
            title: "Landmarks of the shape and, after its name, of every channel; with --landmarks",
            features: described(LANDMARKS, ""),
            per_channel: false,
        },
        Part {
            title: "Brightness, of every channel of the image",
            features: described(INTENSITY, CHANNEL),
            per_channel: true,
        },
    ]
}

/// Writes every feature of a cell and its place, of its landmarks and of every channel, with unit, definition and source.
pub(super) fn write_features(out: &mut impl Write) -> Result<()> {
    let parts = parts();
    let all = || parts.iter().flat_map(|part| &part.features);
    let mut sources: Vec<&str> = Vec::new();
    for (_, feature) in all() {
        if !sources.contains(&feature.citation) {
            sources.push(feature.citation);
        }
    }
    let width = |text: fn(&(String, Description)) -> usize| all().map(text).max().unwrap_or(0);
    let widths = [
        width(|(name, _)| name.chars().count()),
        width(|(_, feature)| feature.unit.chars().count()),
    ];
    for Part { title, features, .. } in &parts {
        writeln!(out, "{title}\n{}", "─".repeat(WIDTH))?;
        let mut group = None;
        for (name, feature) in features {
            if group.replace(feature.group) != Some(feature.group) {
                writeln!(out, "({})", feature.group.name())?;
            }
            let source = sources.iter().position(|source| *source == feature.citation);
            let source = source.map_or(0, |at| at + 1);
            write_feature(out, name, feature, source, widths)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Sources")?;
    for (at, source) in sources.iter().enumerate() {
        writeln!(out, "[{}] {source}", at + 1)?;
    }
    Ok(())
}

/// Writes the same as a JSON list, an object per line.
pub(super) fn write_features_json(out: &mut impl Write) -> Result<()> {
    let object = |(name, feature): &(String, Description), per_channel: bool| {
        let Description { unit, definition, citation, group, .. } = feature;
        json!({
            "name": name, "unit": unit, "definition": definition, "citation": citation,
            "group": group.name(), "per_channel": per_channel,
        })
    };
    let parts = parts();
    let all = parts.iter().flat_map(|part| part.features.iter().map(|f| (f, part.per_channel)));
    let objects: Vec<String> =
        all.map(|(feature, per_channel)| format!("  {}", object(feature, per_channel))).collect();
    writeln!(out, "[\n{}\n]", objects.join(",\n"))
}

/// Features with the names of their columns.
fn described<T>(features: &[Feature<T>], prefix: &str) -> Vec<(String, Description)> {
    let named = |feature: &Feature<T>| (format!("{prefix}{}", feature.name), feature.description());
    features.iter().map(named).collect()
}

/// Name, unit, and the definition beside them, over as many lines as it takes.
fn write_feature(
    out: &mut impl Write,
    name: &str,
    feature: &Description,
    source: usize,
    [name_width, unit_width]: [usize; 2],
) -> Result<()> {
    let before = name_width + unit_width + 4;
    let definition = format!("{} [{source}]", feature.definition);
    for (at, line) in wrapped(&definition, WIDTH - before).iter().enumerate() {
        let (name, unit) = if at == 0 { (name, feature.unit) } else { ("", "") };
        writeln!(out, "{name:<name_width$}  {unit:<unit_width$}  {line}")?;
    }
    Ok(())
}

/// The words of `text` in lines of at most `width` characters; a longer word has its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use primordia_features::registry;

    use super::*;

    fn written(write: fn(&mut Vec<u8>) -> Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_list_holds_every_feature_and_fits() {
        let text = written(write_features);
        for feature in registry::all() {
            assert!(text.contains(feature.name) && text.contains(feature.citation), "{text}");
            assert!(text.contains(&format!("({})", feature.group.name())), "{text}");
        }
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(WIDTH), "{text}");
    }

    #[test]
    fn json_holds_every_feature() {
        let list: serde_json::Value = serde_json::from_str(&written(write_features_json)).unwrap();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), registry::all().count());
        assert_eq!(list[0]["name"], "volume_um3");
        assert_eq!(list[list.len() - 1]["name"], "CHANNEL_texture_correlation");
        assert_eq!(list[list.len() - 1]["per_channel"], true);
    }

    #[test]
    fn long_words_stand_alone() {
        assert_eq!(wrapped("a bc defgh i", 4), ["a bc", "defgh", "i"]);
    }
}
