//! What the axes of an array mean.

use super::problem::{ImageProblem, Result};

/// The meaning of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Time,
    Channel,
    Z,
    Y,
    X,
    /// The numbers of one pixel, such as red, green, blue.
    Sample,
    /// Of length 1 and without meaning.
    Single,
}

/// The axes of an array from slowest to fastest, and what was assumed about them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axes {
    pub(super) axes: Vec<Axis>,
    pub(super) warning: Option<String>,
}

/// An unnamed first axis this short is channels, not slices.
const MOST_UNNAMED_CHANNELS: u64 = 16;

impl Axes {
    /// Axes named by letters, such as `"CZYX"`. An unknown letter is z if nothing else is.
    pub(super) fn named(letters: &str, shape: &[u64]) -> Result<Self> {
        let unknown = || ImageProblem::Axes { axes: letters.to_owned() };
        if letters.chars().count() != shape.len() {
            return Err(unknown());
        }
        let letters_upper = letters.to_uppercase();
        let has_z = letters_upper.contains('Z');
        let mut axes = Vec::new();
        for (letter, &length) in letters_upper.chars().zip(shape) {
            axes.push(match letter {
                'T' => Axis::Time,
                'C' => Axis::Channel,
                'Z' => Axis::Z,
                'Y' => Axis::Y,
                'X' => Axis::X,
                'S' => Axis::Sample,
                _ if length == 1 => Axis::Single,
                'I' | 'Q' if !has_z => Axis::Z,
                _ => return Err(unknown()),
            });
        }
        let count = |wanted: Axis| axes.iter().filter(|&&axis| axis == wanted).count();
        let at_most_once = [Axis::Time, Axis::Channel, Axis::Z, Axis::Sample];
        let is_image = count(Axis::Y) == 1 && count(Axis::X) == 1;
        if !is_image || at_most_once.into_iter().any(|axis| count(axis) > 1) {
            return Err(unknown());
        }
        Ok(Self { axes, warning: None })
    }

    /// Axes that nothing names: y, x; z, y, x; and with a warning c, z, y, x or z, y, x, c.
    pub(super) fn unnamed(shape: &[u64]) -> Result<Self> {
        let unclear = || ImageProblem::UnnamedAxes { shape: shape.to_vec() };
        let singles = shape.len().saturating_sub(4);
        let (leading, rest) = shape.split_at(singles);
        if leading.iter().any(|&length| length != 1) {
            return Err(unclear());
        }
        let volume = [Axis::Z, Axis::Y, Axis::X];
        let (mut axes, letters) = match rest {
            [_, _] => (vec![Axis::Y, Axis::X], None),
            [_, _, _] => (volume.to_vec(), None),
            [1, ..] => ([&[Axis::Channel], &volume[..]].concat(), None),
            [c, ..] if *c <= MOST_UNNAMED_CHANNELS => {
                ([&[Axis::Channel], &volume[..]].concat(), Some("c, z, y, x"))
            }
            [.., c] if *c <= 4 => ([&volume[..], &[Axis::Channel]].concat(), Some("z, y, x, c")),
            _ => return Err(unclear()),
        };
        axes.splice(0..0, std::iter::repeat_n(Axis::Single, singles));
        let warning =
            letters.map(|letters| format!("the axes {shape:?} are not named; taken as {letters}"));
        Ok(Self { axes, warning })
    }

    /// The length of `axis` in an array of `shape`; 1 where it has none.
    pub(super) fn length(&self, axis: Axis, shape: &[u64]) -> u64 {
        self.place(axis).map_or(1, |place| shape[place])
    }

    /// Where `axis` stands.
    pub(super) fn place(&self, axis: Axis) -> Option<usize> {
        self.axes.iter().position(|&found| found == axis)
    }

    /// The axes by their letters, those without meaning left out.
    pub(super) fn letters(&self) -> String {
        self.axes
            .iter()
            .filter_map(|axis| match axis {
                Axis::Time => Some('T'),
                Axis::Channel => Some('C'),
                Axis::Z => Some('Z'),
                Axis::Y => Some('Y'),
                Axis::X => Some('X'),
                Axis::Sample => Some('S'),
                Axis::Single => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        let axes = Axes::named("tczyx", &[1, 2, 9, 64, 64]).unwrap();
        assert_eq!(axes.letters(), "TCZYX");
        assert_eq!(axes.length(Axis::Channel, &[1, 2, 9, 64, 64]), 2);
        assert_eq!(Axes::named("QYX", &[9, 64, 64]).unwrap().letters(), "ZYX");
        for (letters, shape) in
            [("ZZYX", &[2, 2, 9, 9][..]), ("ZYX", &[9, 9][..]), ("HYX", &[3, 9, 9][..])]
        {
            assert!(Axes::named(letters, shape).is_err(), "{letters}");
        }
    }

    #[test]
    fn unnamed_axes_are_guessed_only_where_that_is_safe() {
        assert_eq!(Axes::unnamed(&[64, 64]).unwrap().letters(), "YX");
        assert_eq!(Axes::unnamed(&[9, 64, 64]).unwrap().letters(), "ZYX");
        assert_eq!(Axes::unnamed(&[1, 1, 9, 64, 64]).unwrap().letters(), "CZYX");
        let guessed = Axes::unnamed(&[2, 40, 64, 64]).unwrap();
        assert_eq!((guessed.letters().as_str(), guessed.warning.is_some()), ("CZYX", true));
        assert_eq!(Axes::unnamed(&[40, 64, 64, 3]).unwrap().letters(), "ZYXC");
        for unclear in [&[40, 64, 64, 64][..], &[3, 2, 9, 64, 64][..], &[64][..], &[][..]] {
            assert!(Axes::unnamed(unclear).is_err(), "{unclear:?}");
        }
    }
}
