//! Images that are alike, and how an experiment file names them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use primordia_data::experiment::stem;

use super::scan::{Scan, label_pattern};
use super::{ImageFacts, Inspect, quoted};

/// Parts of names of channels that show the outlines of cells, likeliest first.
const OUTLINES: [&str; 10] =
    ["membrane", "lyn", "caax", "gap43", "cldn", "cellmask", "wall", "plasma", "mem", "outline"];

/// What the images of a folder say.
pub(super) struct Images {
    groups: Vec<Group>,
    unreadable: Vec<(PathBuf, String)>,
    /// The channel that outlines cells, by its name; `None` if no name says so.
    pub(super) reference: Option<String>,
}

/// Images in one folder that have the same ending and say the same.
struct Group {
    facts: ImageFacts,
    files: Vec<PathBuf>,
}

impl Images {
    /// Looks at every image of `scan` with `inspect`.
    pub(super) fn of(folder: &Path, scan: &Scan, inspect: Inspect<'_>) -> Self {
        let mut groups: BTreeMap<(PathBuf, String), Vec<Group>> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for file in &scan.images {
            match inspect(&folder.join(file)) {
                Err(reason) => unreadable.push((file.clone(), reason)),
                Ok(facts) => {
                    let alike = groups.entry((parent(file), ending(file))).or_default();
                    match alike.iter_mut().find(|group| group.facts == facts) {
                        Some(group) => group.files.push(file.clone()),
                        None => alike.push(Group { facts, files: vec![file.clone()] }),
                    }
                }
            }
        }
        let groups: Vec<_> = groups.into_values().flatten().collect();
        let reference = reference_of(&groups);
        Self { groups, unreadable, reference }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The names of all channels, as the experiment file will have them.
    pub(super) fn channels(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.groups.iter().flat_map(|group| group.channels(self.reference.as_deref())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Appends `[[specimens]]`, or `[[specimen]]` where a pattern would match other files too.
    pub(super) fn write(&self, folder: &Path, labels: &[PathBuf], text: &mut Vec<String>) {
        let mut times: HashMap<String, usize> = HashMap::new();
        for file in self.groups.iter().flat_map(|group| &group.files) {
            *times.entry(id_of(file)).or_default() += 1;
        }
        for group in &self.groups {
            let unique = group.files.iter().all(|file| times[&id_of(file)] == 1);
            let pattern = group.pattern().filter(|pattern| {
                unique && group.files.len() > 1 && matches_only(folder, pattern, &group.files)
            });
            if let Some(pattern) = pattern {
                let n_images = group.files.len();
                text.push(String::new());
                text.push(format!("[[specimens]]  # {n_images} images; the IDs are their names"));
                text.push(format!("images = {}", quoted(&pattern)));
                group.write_facts(self.reference.as_deref(), &group.files, labels, text);
                continue;
            }
            for file in &group.files {
                let id = id_of(file);
                let id = if times[&id] == 1 { id } else { long_id_of(file) };
                text.push(String::new());
                text.push("[[specimen]]".into());
                text.push(format!("id = {}", quoted(&id)));
                text.push(format!("image = {}", quoted(&file.to_string_lossy())));
                let one = std::slice::from_ref(file);
                group.write_facts(self.reference.as_deref(), one, labels, text);
            }
        }
        for (file, reason) in &self.unreadable {
            text.push(format!("# left out: {}: {}", file.display(), one_line(reason)));
        }
    }
}

impl Group {
    /// The names of the channels: their own, made unique, with the one that outlines cells renamed
    /// to `reference`.
    fn channels(&self, reference: Option<&str>) -> Vec<String> {
        let own = &self.facts.channels;
        let mut names: Vec<String> = Vec::new();
        for (at, name) in own.iter().enumerate() {
            let name = name.clone().filter(|name| !name.trim().is_empty() && !names.contains(name));
            names.push(name.unwrap_or_else(|| format!("channel {}", at + 1)));
        }
        if let Some(reference) = reference
            && !names.iter().any(|name| name == reference)
        {
            let best = (0..names.len()).min_by_key(|&at| rank(&names[at]));
            let clear = |at: &usize| names.len() == 1 || rank(&names[*at]) < OUTLINES.len();
            if let Some(at) = best.filter(clear) {
                reference.clone_into(&mut names[at]);
            }
        }
        names
    }

    /// Channels, voxel size and labels, as lines.
    fn write_facts(
        &self,
        reference: Option<&str>,
        files: &[PathBuf],
        labels: &[PathBuf],
        text: &mut Vec<String>,
    ) {
        let names = self.channels(reference);
        let own: Option<Vec<String>> = self.facts.channels.iter().cloned().collect();
        let list: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        let list = list.join(", ");
        if own.as_ref() == Some(&names) {
            text.push(format!("# channels = [{list}]  # as the file says"));
        } else {
            let said = match own {
                Some(own) => format!("the file says {}", own.join(", ")),
                None => "the file does not say: name them, in its order".to_owned(),
            };
            text.push(format!("channels = [{list}]  # {said}"));
        }
        match self.facts.voxel_size {
            Some(size) => {
                let [z, y, x] = size.um();
                text.push(format!("# voxel_size_um = [{z}, {y}, {x}]  # as the file says"));
            }
            None => text.push(
                "# voxel_size_um = [Z, Y, X]  # the file does not say: fill in µm, remove the #"
                    .into(),
            ),
        }
        match label_pattern(files, labels) {
            (Some(pattern), _) if files.len() > 1 => {
                text.push(format!("labels = {}", quoted(&pattern)));
            }
            (Some(pattern), _) => {
                let id = files.first().map(|file| id_of(file)).unwrap_or_default();
                text.push(format!("labels = {}", quoted(&pattern.replace("{id}", &id))));
            }
            (None, 0) => {}
            (None, n) => {
                text.push(format!("# {n} of these images have labels: list them one by one"));
            }
        }
    }

    /// `FOLDER/*.ENDING`
    fn pattern(&self) -> Option<String> {
        let file = self.files.first()?;
        let folder = glob::Pattern::escape(parent(file).to_str()?);
        let pattern = Path::new(&folder).join(format!("*{}", ending(file)));
        pattern.to_str().map(str::to_owned)
    }
}

/// The likeliest name of a channel that outlines cells; "membrane" if all images have one channel
/// without a name.
fn reference_of(groups: &[Group]) -> Option<String> {
    let names = groups.iter().flat_map(|group| group.facts.channels.iter().flatten());
    let best = names.min_by_key(|name| rank(name));
    if let Some(best) = best.filter(|name| rank(name) < OUTLINES.len()) {
        return Some(best.clone());
    }
    let single = !groups.is_empty() && groups.iter().all(|group| group.facts.channels.len() == 1);
    single.then(|| best.cloned().unwrap_or_else(|| "membrane".to_owned()))
}

/// How early a name stands in [`OUTLINES`]; their number if it does not.
fn rank(name: &str) -> usize {
    let name = name.to_lowercase();
    OUTLINES.iter().position(|part| name.contains(part)).unwrap_or(OUTLINES.len())
}

fn parent(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).to_owned()
}

/// The ID that a pattern would give the image.
fn id_of(file: &Path) -> String {
    stem(file).unwrap_or_default().to_owned()
}

/// An ID from the folders too, for images of the same name.
fn long_id_of(file: &Path) -> String {
    parent(file).join(id_of(file)).to_string_lossy().replace(['/', '\\'], "_")
}

/// What follows the ID in the name of the file.
fn ending(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name[stem(file).map_or(0, str::len)..].to_owned()
}

fn matches_only(folder: &Path, pattern: &str, files: &[PathBuf]) -> bool {
    let Some(folder_text) = folder.to_str().map(glob::Pattern::escape) else { return false };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let Some(pattern) = Path::new(&folder_text).join(pattern).to_str().map(str::to_owned) else {
        return false;
    };
    let found = glob::glob_with(&pattern, options);
    let mut found: Vec<_> = found.into_iter().flatten().flatten().collect();
    let mut wanted: Vec<_> = files.iter().map(|file| folder.join(file)).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    found == wanted
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
