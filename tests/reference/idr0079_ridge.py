"""Rewrites idr0079_ridge.csv: how well scikit-learn's ridge predicts proteins of embryos held out.

Runs ../shared/bench/sklearn_idr0079.py on the tables in $PRIMORDIA_DATA/idr0079 and keeps its ridge column (some minutes).
The values kept are those that ../shared/bench/README.md publishes (numpy, polars and scikit-learn 1.9.1, five folds).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared"
TARGETS = {"TFOR": "tissue", "CFOR": "cell"}


def main():
    tables = Path(os.environ.get("PRIMORDIA_DATA", SHARED / "data/real")) / "idr0079"
    peer = SHARED / "bench/sklearn_idr0079.py"
    if not (tables.exists() and peer.exists()):
        print(f"SKIPPED: no {peer} or no {tables}", file=sys.stderr)
        return
    said = subprocess.run([sys.executable, peer, tables], check=True, capture_output=True, text=True).stdout
    scores = re.findall(r"^(\S+) +(TFOR|CFOR) .* ridge (\S+) ", said, re.MULTILINE)
    assert len(scores) == 16, said
    lines = [f"{protein},{TARGETS[frame]},{r2}" for protein, frame, r2 in scores]
    (HERE / "idr0079_ridge.csv").write_text("\n".join(["protein,target,r2", *lines]) + "\n")


if __name__ == "__main__":
    main()
