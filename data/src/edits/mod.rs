//! Corrections of a label image as data: a log of edits, replayed in order on labels that never
//! change themselves.
//!
//! [`EditLog::read`] reads a log in TOML or CSV; every error names the file, the line and the edit.
//! What edits do to labels is the business of the segmentation.
//!
//! ```toml
//! [[edit]]
//! action = "split"
//! cell = [31.5, 12.0, 6.2]                 # a point inside the cell, x, y, z in µm, or its number
//! seeds_um = [[29.0, 12.0, 6.0], [34.0, 12.0, 6.0]]
//!
//! [[edit]]
//! action = "merge"
//! cells = [12, 15]                         # the whole has the number of the first
//!
//! [[edit]]
//! action = "delete"
//! cells = [[3.0, 4.5, 2.0]]
//!
//! [[edit]]
//! action = "relabel"
//! cell = 7
//! label = 100
//!
//! [[edit]]
//! action = "redraw"
//! cells = [20, 21]
//! seeds_um = [[50.0, 8.0, 6.0], [55.0, 9.0, 6.0], [58.0, 4.0, 7.0]]
//! note = "three cells, not two"            # any text
//! ```
//!
//! In CSV an edit is a line, cells and seeds stand between semicolons, and the numbers of a point
//! between blanks:
//!
//! ```csv
//! action,cells,seeds_um,label,note
//! split,31.5 12 6.2,29 12 6; 34 12 6,,
//! merge,12; 15,,,
//! relabel,7,,100,
//! ```

mod csv;
mod from_toml;
mod log;

use std::fmt;
use std::str::FromStr;

use nalgebra::Point3;

pub use self::log::EditLog;

/// One correction.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// One cell becomes as many as there are seeds.
    Split {
        /// The cell.
        cell: CellName,
        /// Points in the cell, one for each part; the first part keeps the number.
        seeds_um: Vec<Point3<f64>>,
    },
    /// Several cells become one, which has the number of the first.
    Merge {
        /// The cells.
        cells: Vec<CellName>,
    },
    /// Cells become background.
    Delete {
        /// The cells.
        cells: Vec<CellName>,
    },
    /// A cell gets another number.
    Relabel {
        /// The cell.
        cell: CellName,
        /// Its new number, which no other cell has.
        label: u32,
    },
    /// The room of some cells is shared out anew among seeds.
    Redraw {
        /// The cells.
        cells: Vec<CellName>,
        /// Points in the cells, one for each new cell.
        seeds_um: Vec<Point3<f64>>,
    },
}

/// Which cell is meant, among the cells as they are when the edit is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellName {
    /// By its number in the label image.
    Label(u32),
    /// By a point inside it, x, y, z in µm in the image: this holds however cells are numbered.
    Inside(Point3<f64>),
}

impl Edit {
    /// What the edit does, in one word, as logs say it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Split { .. } => "split",
            Self::Merge { .. } => "merge",
            Self::Delete { .. } => "delete",
            Self::Relabel { .. } => "relabel",
            Self::Redraw { .. } => "redraw",
        }
    }

    /// The cells that it names, in order.
    pub fn cells(&self) -> &[CellName] {
        match self {
            Self::Split { cell, .. } | Self::Relabel { cell, .. } => std::slice::from_ref(cell),
            Self::Merge { cells } | Self::Delete { cells } | Self::Redraw { cells, .. } => cells,
        }
    }

    /// Its seeds, x, y, z in µm.
    pub fn seeds_um(&self) -> &[Point3<f64>] {
        match self {
            Self::Split { seeds_um, .. } | Self::Redraw { seeds_um, .. } => seeds_um,
            _ => &[],
        }
    }
}

/// As it is typed after `primordia edit LABELS`: `split 12 --at 29,12,6 --at 34,12,6`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action())?;
        self.cells().iter().try_for_each(|cell| write!(f, " {cell}"))?;
        if let Self::Relabel { label, .. } = self {
            write!(f, " {label}")?;
        }
        self.seeds_um()
            .iter()
            .try_for_each(|seed| write!(f, " --at {},{},{}", seed.x, seed.y, seed.z))
    }
}

/// `12`, or `31.5,12,6.2`.
impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "{label}"),
            Self::Inside(point) => write!(f, "{},{},{}", point.x, point.y, point.z),
        }
    }
}

/// What a [`CellName`] looks like.
const CELL_WANTED: &str =
    "a cell's number from 1, or a point inside it, x, y, z in µm (such as 31.5,12,6.2)";
/// What a point looks like.
const POINT_WANTED: &str = "a point x, y, z in µm (such as 31.5,12,6.2)";

impl FromStr for CellName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let label = text.trim().parse().ok().filter(|&label: &u32| label > 0).map(Self::Label);
        label
            .or_else(|| point_of(text).map(Self::Inside))
            .ok_or_else(|| format!("{CELL_WANTED} wanted, got {text:?}"))
    }
}

/// The point x, y, z of `31.5,12,6.2`.
///
/// # Errors
/// What was found and what was wanted, in words.
pub fn parse_point_um(text: &str) -> Result<Point3<f64>, String> {
    point_of(text).ok_or_else(|| format!("{POINT_WANTED} wanted, got {text:?}"))
}

/// Three finite numbers between commas or blanks.
fn point_of(text: &str) -> Option<Point3<f64>> {
    let parts = text.split([',', ' ', '\t']).filter(|part| !part.is_empty());
    let parts: Option<Vec<f64>> = parts.map(|part| part.parse().ok()).collect();
    let [x, y, z] = parts?[..] else { return None };
    [x, y, z].iter().all(|part| part.is_finite()).then(|| Point3::new(x, y, z))
}

#[cfg(test)]
mod tests;
