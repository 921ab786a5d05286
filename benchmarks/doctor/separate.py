"""How well measures of a log tell the states of the learning rate apart, on data sets that were not used to learn it.

    python benchmarks/doctor/separate.py benchmarks/doctor/corpus.npz

Prints the runs of each state, and the macro F1 of a decision tree and of a random forest over the measures, with each
data set and each setting held out in turn: what rules can reach with these measures, before any is written.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from corpus import key, load, rate_states
from measures import measure
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.tree import DecisionTreeClassifier

STATES = ["too_low", "good", "too_high", "much_too_high"]


def main() -> None:
    runs = load(Path(sys.argv[1]))
    states = rate_states(runs)
    chosen = sorted(states)
    rows = [measure(runs[index].log).to_json() for index in chosen]
    values = np.array([[np.nan if value is None else value for value in row.values()] for row in rows])
    values = np.where(np.isfinite(values), values, -1)
    truth = np.array([states[index] for index in chosen])
    print("runs:", dict(Counter(truth.tolist())))
    groups = {
        "data set": np.array([runs[index].data for index in chosen]),
        "setting": np.array([key(runs[index].meta["setting"]) for index in chosen]),
    }
    for name, make in (
        ("tree of depth 5", lambda: DecisionTreeClassifier(max_depth=5, min_samples_leaf=5, class_weight="balanced")),
        (
            "forest",
            lambda: RandomForestClassifier(300, min_samples_leaf=2, class_weight="balanced", random_state=0),
        ),
    ):
        for held_out, group in groups.items():
            found = np.empty_like(truth)
            for one in set(group):
                found[group == one] = (
                    make().fit(values[group != one], truth[group != one]).predict(values[group == one])
                )
            print(f"{name}, {held_out} held out: macro F1 {f1_score(truth, found, average='macro'):.3f}")
            print(confusion_matrix(truth, found, labels=STATES))


if __name__ == "__main__":
    main()
