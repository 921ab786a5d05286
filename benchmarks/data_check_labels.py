"""Wrong labels: `kerastricks data --labels` beside cleanlab as its documentation advises, on the same features.

Faults are planted as in data_check.py, 100 labels among them. The features of the check's backbone are computed once;
each program then gets them with the given labels: the check its own cross-validated probe, cleanlab's
`find_label_issues` the `cross_val_predict` of a plain scikit-learn LogisticRegression, as its tutorials have it. All
planted labels are wrong for certain, others may be too: precision is a lower bound.

pip install "kerastricks[labels,weights]"

python benchmarks/data_check_labels.py ZIP... [--images 5000] [--seed 0]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from data_check import planted


def features_of(folder):
    """Features, labels, names and probabilities of the images that the check takes; its suspects; its seconds."""
    from kerastricks.checks import label_check
    from kerastricks.data_check import suspects
    from kerastricks.data_check.checking import check_data

    kept = {}
    real = suspects._features

    def keeping(listing, chosen, progress):
        began = time.perf_counter()
        found = list(real(listing, chosen, progress))
        kept["seconds"] = time.perf_counter() - began
        kept["labels"] = listing.labels[chosen]
        kept["names"] = [listing.names[index] for index in chosen]
        kept["features"] = np.zeros((len(chosen), found[0][1].shape[1]), "float16")
        for places, features in found:
            kept["features"][places] = features
        kept["began"] = time.perf_counter()
        return iter(found)

    def keeping_probabilities(labels, probabilities, names):
        kept["probabilities"] = probabilities
        return check_labels(labels, probabilities, names)

    check_labels = label_check.check_labels
    label_check.check_labels = keeping_probabilities
    suspects._features = keeping
    report = check_data(folder, labels=True)
    ours = [one.files[0] for one in report.of("suspect_label")]
    return kept, ours, time.perf_counter() - kept["began"]


def by_logistic_regression(features, labels, folds, **options):
    """Out-of-fold probabilities of a plain logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    return cross_val_predict(LogisticRegression(**options), features, labels, cv=folds, method="predict_proba")


def scores(ranked, flagged, wrong, names):
    """Recall and precision of what is flagged, of the first 100 and 200, and average precision of the ranking."""
    right = np.isin(ranked, list(wrong))
    precision_at = np.cumsum(right) / np.arange(1, len(right) + 1)
    average = precision_at[right].sum() / len(wrong)
    hits = len(set(flagged) & wrong)
    return (
        hits / len(wrong),
        hits / max(1, len(flagged)),
        len(flagged),
        right[: len(wrong)].sum() / len(wrong),
        right[: 2 * len(wrong)].sum() / len(wrong),
        average,
    )


def compare(archive, images, seed):
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        truth, count = planted(archive, folder, images, seed)
        kept, ours, seconds = features_of(folder)
    names, labels = np.array(kept["names"]), np.unique(kept["labels"], return_inverse=True)[1]
    features, wrong = kept["features"].astype("float32"), set(truth["labels"])
    own = kept["probabilities"]
    order = np.argsort(own[np.arange(len(labels)), labels], kind="stable")
    accuracy = (own.argmax(axis=1) == labels).mean()
    rows = [(f"kerastricks data --labels {accuracy:.1%}", names[order], ours, seconds)]
    for folds, options in ((5, {}), (5, {"C": 0.01}), (5, {"max_iter": 1000})):
        began = time.perf_counter()
        probabilities = by_logistic_regression(features, labels, folds, **options)
        issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")
        took = time.perf_counter() - began
        order = np.argsort(get_label_quality_scores(labels, probabilities), kind="stable")
        accuracy = (probabilities.argmax(axis=1) == labels).mean()
        said = ", ".join(f"{name}={value}" for name, value in options.items())
        rows.append((f"find_label_issues({said}) {accuracy:.1%}", names[order], names[issues], took))
    print(f"\n{Path(archive).name}: {count:,} images, {len(wrong)} wrong labels; features {kept['seconds']:.0f} s")
    heads = {"recall": 8, "precision": 11, "flagged": 9, "first 100": 11, "first 200": 11, "AP": 8, "images/s": 10}
    print(" " * 48 + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for title, ranked, flagged, took in rows:
        recall, precision, had, first, second, average = scores(np.array(ranked), flagged, wrong, names)
        print(
            f"{title:48}{recall:8.2f}{precision:11.3f}{had:9}{first:11.2f}{second:11.2f}{average:8.3f}"
            f"{len(names) / took:10,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="*", metavar="ZIP", help="train/CLASS/*.jpg and test/CLASS/*.jpg inside")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for given_archive in given.archives:
        compare(given_archive, given.images, given.seed)
