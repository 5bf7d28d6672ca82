"""Learns the probability that a segmented cell is one whole cell: the numbers in `segmentation/src/confidence.rs`.

    bench() {  # SEED WORD: the microscopes of that name
      for METHOD in sheets network; do
        PRIMORDIA_SEED=$1 PRIMORDIA_METHOD=$METHOD PRIMORDIA_CELLS=$METHOD$1$2.csv \
          cargo bench --package primordia-segmentation --bench phantoms -- $2
      done
    }
    bench 60
    for SEED in 61 62; do bench $SEED part; bench $SEED small; done
    python segmentation/training/confidence.py "$(ls sheets6*.csv network6*.csv | paste -sd,)" [UNSEEN.csv ...]

Prints the coefficients of a logistic regression (scikit-learn 1.9.1, C = 10) in the order in which `CellEvidence::probability`
adds them, and how well the probabilities of the unseen tables (of another seed) agree with the truth.
"""

import csv
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

FACES = ["around", "weakest"]
NAMES = [*FACES, "doubt of joining", "doubt of parting", "log larger", "log smaller", "log smaller, cut"]


def read(paths):
    rows = []
    for path in paths.split(","):
        with open(path, newline="") as file:
            rows += csv.DictReader(file)
    column = lambda name: np.array([float(row[name]) for row in rows])
    # Odds say more than probabilities near 0 and 1.
    logit = lambda p: np.log(np.clip(p, 1e-3, 1 - 1e-3) / np.clip(1 - p, 1e-3, 1 - 1e-3))
    is_cut = column("is_cut")
    log_volume = np.log(np.maximum(column("relative_volume"), 1e-3))
    x = np.column_stack(
        [
            *[column(name) for name in FACES],
            logit(column("most_joined")),
            logit(1 - column("least_parted")),
            np.maximum(log_volume, 0),
            np.maximum(-log_volume, 0) * (1 - is_cut),
            np.maximum(-log_volume, 0) * is_cut,
        ]
    )
    return x, column("iou") >= 0.5


def calibration_error(p, right, bins=10):
    which = np.minimum((p * bins).astype(int), bins - 1)
    return sum(abs(p[which == b].sum() - right[which == b].sum()) for b in range(bins)) / len(p)


def least_sure(p, right):
    order = np.argsort(p)[: len(p) // 10]
    return (~right[order]).sum()


x, right = read(sys.argv[1])
model = LogisticRegression(C=10, max_iter=5000).fit(x, right)
print(f"{len(right)} cells, {(~right).sum()} wrong")
print(f"{'constant':18} {model.intercept_[0]:8.3f}")
for name, coefficient in zip(NAMES, model.coef_[0]):
    print(f"{name:18} {coefficient:8.3f}")
for path in sys.argv[2:]:
    x, right = read(path)
    p = model.predict_proba(x)[:, 1]
    print(
        f"{path}: {len(right)} cells, expected calibration error {calibration_error(p, right):.3f}, "
        f"{least_sure(p, right)} of {(~right).sum()} wrong ones among the least sure tenth"
    )
