"""Cluster-based embedding by scikit-learn, step by step as published: what `features/tests/cbe.rs` compares with.

The clouds are given by a formula, the same in both languages. Writes tests/reference/features_cbe_{tissue,cell}.csv:
means and standard deviations of the standardisation (rows named m, s), reference centres (c), then one row per cell: of
500 landmarks, which need no presampling (f), and of 2,000 landmarks, presampled with seed 42 (p) and with seed 7 (q).
Made with the versions that the first line of each file names.
"""
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.spatial import cKDTree
from sklearn.cluster import MiniBatchKMeans

CELLS, PRESAMPLED, CENTRES, POOLED = 40, 500, 20, 20_000


def cloud(cell, n):
    """A turned ellipsoid with bumps, its points spread by the golden angle."""
    k = np.arange(n)
    z = 1 - (2 * k + 1) / n
    angle = 2.399963229728653 * k
    ring = np.sqrt(1 - z * z)
    direction = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], 1)
    axes = 4.5 + 1.5 * np.sin(np.array([1.3, 2.7, 4.1]) * (cell + 1))
    bump = 1 + 0.15 * np.sin(0.9 * cell) * direction[:, 0] * direction[:, 2] + 0.2 * np.cos(1.7 * cell) * direction[:, 2] ** 3
    a, b = 0.8 * np.sin(2.3 * cell), 0.8 * np.cos(3.1 * cell)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return (direction * axes * bump[:, None]) @ (about_x @ about_z).T


def presampled(points, seed):
    means = MiniBatchKMeans(PRESAMPLED, batch_size=500, init_size=1500, n_init=3, random_state=seed)
    return means.fit(points).cluster_centers_


def distances(points):
    pairs = np.linalg.norm(points[:, None] - points[None], axis=2)
    return np.percentile(pairs, [10, 50, 90], axis=1).T


def thinned_out(pool, rng):
    subset = pool[rng.permutation(len(pool))[:POOLED]]
    nearest = cKDTree(subset).query(subset, k=2)[0][:, 1]
    tree = cKDTree(pool)
    density = tree.query_ball_point(pool, 5 * np.median(nearest), return_length=True)
    kept = pool[rng.random(len(pool)) < np.minimum(1, np.percentile(density, 3) / density)]
    return kept[rng.permutation(len(kept))[:POOLED]]


def embedded(points, centres):
    nearest = cKDTree(points).query(centres, k=PRESAMPLED // CENTRES)[1]
    return (points[nearest].mean(1) - centres).ravel()


def described(points, frame, seed):
    if frame == "cell":
        points = points / np.linalg.norm(points, axis=1).sum()
    if len(points) > PRESAMPLED:
        points = presampled(points, seed)
    return distances(points) if frame == "cell" else points


for frame in ["tissue", "cell"]:
    cells = [described(cloud(cell, PRESAMPLED), frame, 42) for cell in range(CELLS)]
    mean, deviation = np.zeros(3), np.ones(3)
    if frame == "cell":
        mean, deviation = np.concatenate(cells).mean(0), np.concatenate(cells).std(0)
    cells = [(points - mean) / deviation for points in cells]
    pool = thinned_out(np.concatenate(cells), np.random.RandomState(42))
    centres = MiniBatchKMeans(CENTRES, batch_size=1024, n_init=10, random_state=42).fit(pool).cluster_centers_
    rows = [("m", mean), ("s", deviation)] + [("c", centre) for centre in centres]
    rows += [("f", embedded(points, centres)) for points in cells]
    for name, seed in [("p", 42), ("q", 7)]:
        for cell in range(CELLS):
            points = described(cloud(cell, 2000), frame, seed)
            rows.append((name, embedded((points - mean) / deviation, centres)))
    with open(Path(__file__).parent / f"features_cbe_{frame}.csv", "w") as out:
        print(f"# scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, numpy {np.__version__}", file=out)
        for name, row in rows:
            print(",".join([name] + [f"{value:.5g}" for value in row]), file=out)
