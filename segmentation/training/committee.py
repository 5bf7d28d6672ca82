"""Makes one perceptron of several that `train_joining` wrote: committee.py OUTPUT.json MEMBER.json MEMBER.json ...

Its logarithm of the odds is the mean of theirs: it has the hidden units of all, and the means and deviations of the first
member. (Features further than 4 of these deviations from the mean count as that far, as for each member by its own.)
"""

import json
import sys

import numpy as np


def main():
    output, *paths = sys.argv[1:]
    members = []
    for path in paths:
        with open(path) as file:
            members.append({name: np.array(values, "f8") for name, values in json.load(file).items()})
    mean, deviation = members[0]["mean"], members[0]["deviation"]
    hidden, hidden_bias = [], []
    for member in members:
        # x = mean + deviation u is, to the member, (x - its mean) / its deviation.
        hidden.append(member["hidden"] * (deviation / member["deviation"])[:, None])
        hidden_bias.append(member["hidden_bias"] + (mean - member["mean"]) / member["deviation"] @ member["hidden"])
    together = {
        "mean": mean,
        "deviation": deviation,
        "hidden": np.concatenate(hidden, axis=1),
        "hidden_bias": np.concatenate(hidden_bias),
        "out": np.concatenate([member["out"] for member in members]) / len(members),
        "out_bias": np.mean([member["out_bias"] for member in members]),
    }
    # The shortest digits that are the same in single precision.
    rounded = lambda values: [rounded(row) for row in values] if values.ndim else float(str(np.float32(values)))
    with open(output, "w") as file:
        json.dump({name: rounded(np.asarray(values)) for name, values in together.items()}, file, separators=(",", ":"))


main()
