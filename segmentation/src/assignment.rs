//! The one-to-one matching with the largest sum of weights.

use std::collections::BTreeMap;

/// Which of `weights` (row, column, weight ≥ 0) to take so that no row and no column is taken
/// twice and the sum is largest: indices into `weights`, ascending.
///
/// Groups of rows and columns that share no weight are solved apart, each by the Hungarian method
/// in its shortest-path form (Jonker & Volgenant 1987, doi:10.1007/BF02278710).
pub(crate) fn best_assignment(weights: &[(usize, usize, f64)]) -> Vec<usize> {
    let mut taken: Vec<usize> =
        connected_groups(weights).iter().flat_map(|group| assign_group(weights, group)).collect();
    taken.sort_unstable();
    taken
}

/// The weights that hang together by shared rows or columns.
fn connected_groups(weights: &[(usize, usize, f64)]) -> Vec<Vec<usize>> {
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, &(row, column, _)) in weights.iter().enumerate() {
        rows.entry(row).or_default().push(index);
        columns.entry(column).or_default().push(index);
    }
    let mut seen = vec![false; weights.len()];
    let mut groups = Vec::new();
    for first in 0..weights.len() {
        if std::mem::replace(&mut seen[first], true) {
            continue;
        }
        let mut group = vec![first];
        let mut next = 0;
        while let Some(&index) = group.get(next) {
            next += 1;
            let (row, column, _) = weights[index];
            for &near in rows[&row].iter().chain(&columns[&column]) {
                if !std::mem::replace(&mut seen[near], true) {
                    group.push(near);
                }
            }
        }
        groups.push(group);
    }
    groups
}

fn assign_group(weights: &[(usize, usize, f64)], group: &[usize]) -> Vec<usize> {
    let number = |of: fn(&(usize, usize, f64)) -> usize| {
        let mut names: Vec<usize> = group.iter().map(|&index| of(&weights[index])).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (rows, columns) = (number(|weight| weight.0), number(|weight| weight.1));
    let wide = rows.len() <= columns.len();
    let (short, long) = if wide { (&rows, &columns) } else { (&columns, &rows) };
    let mut costs = vec![vec![0.0; long.len()]; short.len()];
    let mut indices = BTreeMap::new();
    for &index in group {
        let (row, column, weight) = weights[index];
        let (a, b) = if wide { (row, column) } else { (column, row) };
        // Every name is in its list: the lists were made from this group.
        let at = (short.partition_point(|&name| name < a), long.partition_point(|&name| name < b));
        costs[at.0][at.1] = -weight;
        indices.insert(at, index);
    }
    cheapest_columns(&costs)
        .into_iter()
        .enumerate()
        .filter_map(|at| indices.get(&at).copied())
        .collect()
}

/// The column of each row so that columns differ and the sum of costs is smallest; at least as
/// many columns as rows.
fn cheapest_columns(costs: &[Vec<f64>]) -> Vec<usize> {
    let n_columns = costs.first().map_or(0, Vec::len);
    let free = n_columns; // a column that stands for "none yet"
    let mut row_price = vec![0.0; costs.len()];
    let mut column_price = vec![0.0; n_columns + 1];
    let mut row_of = vec![None; n_columns + 1];
    for row in 0..costs.len() {
        row_of[free] = Some(row);
        let mut at = free;
        let mut distance = vec![f64::INFINITY; n_columns];
        let mut before = vec![free; n_columns];
        let mut done = vec![false; n_columns + 1];
        while let Some(current) = row_of[at] {
            done[at] = true;
            let (mut step, mut nearest) = (f64::INFINITY, free);
            for column in (0..n_columns).filter(|&column| !done[column]) {
                let reduced = costs[current][column] - row_price[current] - column_price[column];
                if reduced < distance[column] {
                    distance[column] = reduced;
                    before[column] = at;
                }
                if distance[column] < step {
                    step = distance[column];
                    nearest = column;
                }
            }
            for column in 0..=n_columns {
                if done[column] {
                    column_price[column] -= step;
                    if let Some(row) = row_of[column] {
                        row_price[row] += step;
                    }
                } else {
                    distance[column] -= step;
                }
            }
            at = nearest;
        }
        while at != free {
            row_of[at] = row_of[before[at]];
            at = before[at];
        }
    }
    let mut columns = vec![0; costs.len()];
    for (column, row) in row_of[..n_columns].iter().enumerate() {
        if let Some(row) = *row {
            columns[row] = column;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn best_sum_by_trying(
        weights: &[(usize, usize, f64)],
        from: usize,
        used: &mut Vec<(usize, usize)>,
    ) -> f64 {
        let Some(&(row, column, weight)) = weights.get(from) else { return 0.0 };
        let without = best_sum_by_trying(weights, from + 1, used);
        if used.iter().any(|&(r, c)| r == row || c == column) {
            return without;
        }
        used.push((row, column));
        let with = weight + best_sum_by_trying(weights, from + 1, used);
        used.pop();
        with.max(without)
    }

    proptest! {
        #[test]
        fn no_other_matching_is_better(
            weights in prop::collection::btree_map((0..5_usize, 0..5_usize), 0.01..1.0_f64, 0..12)
        ) {
            let weights: Vec<_> = weights.into_iter().map(|((row, column), weight)| (row, column, weight)).collect();
            let taken = best_assignment(&weights);
            let sum: f64 = taken.iter().map(|&index| weights[index].2).sum();
            let best = best_sum_by_trying(&weights, 0, &mut Vec::new());
            prop_assert!((sum - best).abs() < 1e-12, "{sum} {best}");
            for (n, &a) in taken.iter().enumerate() {
                for &b in &taken[..n] {
                    prop_assert!(weights[a].0 != weights[b].0 && weights[a].1 != weights[b].1);
                }
            }
        }
    }
}
