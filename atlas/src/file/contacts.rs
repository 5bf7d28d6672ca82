//! Which cells touch: a symmetric sparse matrix of areas.

/// Contact areas between cells, µm²: a symmetric cells × cells matrix in compressed rows, with
/// ascending columns and an empty diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Contacts {
    /// The contacts of row `i` are at `row_starts[i]..row_starts[i + 1]`.
    pub row_starts: Vec<usize>,
    /// The row of each neighbour.
    pub neighbours: Vec<usize>,
    /// The area shared with each neighbour, µm².
    pub areas_um2: Vec<f64>,
}

impl Contacts {
    /// The contacts between `n_cells` cells, from pairs of rows with their area. Each pair is
    /// given once, in either order; a pair given again adds to its area.
    ///
    /// Pairs of a row with itself or with a row that does not exist are kept for
    /// [`Atlas::check`](super::Atlas::check) to name, as far as a row holds them.
    pub fn from_pairs(
        n_cells: usize,
        pairs: impl IntoIterator<Item = (usize, usize, f64)>,
    ) -> Self {
        let mut entries = Vec::new();
        for (a, b, area_um2) in pairs {
            entries.push((a, b, area_um2));
            if a != b {
                entries.push((b, a, area_um2));
            }
        }
        entries.sort_by_key(|&(row, column, _)| (row, column));
        entries.dedup_by(|next, first| {
            let same = (next.0, next.1) == (first.0, first.1);
            if same {
                first.2 += next.2;
            }
            same
        });
        let mut row_starts = vec![0; n_cells + 1];
        for &(row, ..) in entries.iter().filter(|entry| entry.0 < n_cells) {
            row_starts[row + 1] += 1;
        }
        for row in 0..n_cells {
            row_starts[row + 1] += row_starts[row];
        }
        entries.truncate(row_starts[n_cells]);
        Self {
            row_starts,
            neighbours: entries.iter().map(|entry| entry.1).collect(),
            areas_um2: entries.iter().map(|entry| entry.2).collect(),
        }
    }

    /// The number of cells.
    pub fn n_cells(&self) -> usize {
        self.row_starts.len().saturating_sub(1)
    }

    /// The neighbours of a row and the areas shared with them, µm²; none for a row that is not.
    pub fn of(&self, row: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let start = self.row_starts.get(row).copied().unwrap_or(0);
        let end = self.row_starts.get(row + 1).copied().unwrap_or(start);
        let neighbours = self.neighbours.get(start..end).unwrap_or(&[]);
        let areas_um2 = self.areas_um2.get(start..end).unwrap_or(&[]);
        neighbours.iter().copied().zip(areas_um2.iter().copied())
    }

    /// Every contact once: rows `a < b` and their area, µm².
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        (0..self.n_cells()).flat_map(move |a| {
            self.of(a).filter(move |&(b, _)| a < b).map(move |(b, area_um2)| (a, b, area_um2))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_felt_from_both_sides() {
        let contacts = Contacts::from_pairs(4, [(2, 0, 1.5), (0, 1, 2.0), (0, 2, 0.5)]);
        assert_eq!(contacts.of(0).collect::<Vec<_>>(), [(1, 2.0), (2, 2.0)]);
        assert_eq!(contacts.of(2).collect::<Vec<_>>(), [(0, 2.0)]);
        assert_eq!(contacts.of(3).count(), 0);
        assert_eq!(contacts.pairs().collect::<Vec<_>>(), [(0, 1, 2.0), (0, 2, 2.0)]);
    }
}
