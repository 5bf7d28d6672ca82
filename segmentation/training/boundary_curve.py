"""Draws the losses that `primordia train boundary` writes: boundary_curve.py OUTPUT.csv [FURTHER.csv ...] CURVE.svg

Of several trainings each went on from the weights of the one before. Needs nothing but Python 3.
"""

import csv
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 300, 56, 40, 14, 150
SERIES = [("loss", "#999999", "training"), ("validation_loss", "#1f5fa8", "phantoms never seen")]


def read(sources):
    """The rows of each table; steps are counted over all."""
    tables, done = [], 0
    for source in sources:
        with open(source) as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        tables.append([{**row, "step": row["step"] + done} for row in rows])
        done = tables[-1][-1]["step"]
    return tables


def main(*sources, target):
    tables = read(sources)
    rows = [row for table in tables for row in table]
    steps = rows[-1]["step"]
    values = [row[name] for row in rows for name, _, _ in SERIES]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05

    def place(step, loss):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / steps
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(loss)) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for loss in [0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3]:
        if low <= math.log10(loss) <= high:
            start, end = place(0, loss), place(steps, loss)
            parts.append(f'<path d="M{start} L{end}" stroke="#dddddd"/>')
            y = float(start.split(",")[1])
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:g}</text>')
    for quarter in range(5):
        step = steps * quarter / 4
        x = float(place(step, 10**low).split(",")[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{step:g}</text>')
    for begun in [table[-1]["step"] for table in tables[:-1]]:
        start, end = place(begun, 10**low), place(begun, 10**high)
        parts.append(f'<path d="M{start} L{end}" stroke="#aaaaaa" stroke-dasharray="3 3"/>')
    name_y = math.inf  # names stand one above the other, the lowest line's at the bottom
    for name, colour, label in sorted(SERIES, key=lambda series: rows[-1][series[0]]):
        lines = " ".join("M" + " L".join(place(row["step"], row[name]) for row in table) for table in tables)
        parts.append(f'<path d="{lines}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x, y = map(float, place(steps, rows[-1][name]).split(","))
        name_y = min(y + 4, name_y - 14)
        parts.append(f'<text x="{x + 6:.1f}" y="{name_y:.1f}" fill="{colour}">{label}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">steps</text>')
    parts.append(f'<text x="12" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 12 {HEIGHT / 2})">loss</text>')
    with open(target, "w") as file:
        file.write("\n".join([*parts, "</svg>", ""]))


main(*sys.argv[1:-1], target=sys.argv[-1])
