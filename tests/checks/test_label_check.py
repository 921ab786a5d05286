"""check_labels against the confident joint of the paper, written in NumPy, and on planted wrong labels."""

import csv
import io
import json
import sys

import numpy as np
import pytest

from kerastricks.checks import check_labels
from kerastricks.errors import MissingExtraError, UsageError

pytestmark = pytest.mark.tensorflow_only

CLASSES = ("cat", "dog", "emu")


def planted(images=240, wrong=18, classes=3, seed=0):
    """Every image is confidently of its true class; some have the label of another one."""
    random = np.random.default_rng(seed)
    true = np.arange(images) % classes
    probabilities = random.uniform(0.5, 1.5, (images, classes))
    probabilities[np.arange(images), true] = 0
    confidence = random.uniform(0.85, 0.86, images)
    probabilities *= ((1 - confidence) / probabilities.sum(axis=1))[:, None]
    probabilities[np.arange(images), true] = confidence
    labels = true.copy()
    flipped = random.choice(images, wrong, replace=False)
    labels[flipped] = (true[flipped] + random.integers(1, classes, wrong)) % classes
    return labels, probabilities, np.sort(flipped)


def confident_joint(labels, probabilities):
    """Northcutt et al., equations 1 and 2: (K, K) counts of given and confidently predicted class."""
    classes = probabilities.shape[1]
    thresholds = np.array([probabilities[labels == j, j].mean() for j in range(classes)])
    counts = np.zeros((classes, classes))
    for given, row in zip(labels, probabilities, strict=True):
        confident = np.flatnonzero(row >= thresholds)
        if len(confident):
            counts[given, confident[row[confident].argmax()]] += 1
    return counts


def calibrated(labels, counts):
    """Equation 3 without its division by N: rows sum to the images of each class."""
    return counts / counts.sum(axis=1, keepdims=True) * np.bincount(labels)[:, None]


def pruned_by_noise_rate(labels, probabilities, joint):
    """Section 3.2: for each pair, as many images as the joint says, of the largest margin."""
    found = set()
    for given, other in zip(*np.nonzero(joint), strict=True):
        if given != other:
            members = np.flatnonzero(labels == given)
            margin = probabilities[members, other] - probabilities[members, given]
            found |= set(members[np.argsort(-margin)[: round(joint[given, other])]].tolist())
    return found


def test_suspects_are_those_of_the_confident_joint():
    labels, probabilities, flipped = planted()
    counts = confident_joint(labels, probabilities)
    assert counts.sum() == len(labels)  # all are confident, so that the joint is of whole numbers
    joint = calibrated(labels, counts)
    expected = pruned_by_noise_rate(labels, probabilities, joint)
    report = check_labels(labels, probabilities)
    assert {one.index for one in report.suspects} == expected == set(flipped.tolist())
    assert report.estimated_share == pytest.approx(1 - np.trace(joint) / len(labels))
    assert report.estimated_share == pytest.approx(18 / 240)
    assert {(pair.given, pair.likely): pair.images for pair in report.pairs} == {
        (str(i), str(j)): joint[i, j] for i, j in zip(*np.nonzero(joint), strict=True) if i != j
    }


def test_the_estimated_share_is_the_calibrated_joints_where_few_are_confident():
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), (50, 80, 120, 150))
    logits = random.normal(size=(400, 4))
    logits[np.arange(400), labels] += random.choice([2.5, -1.0], 400, p=[0.9, 0.1])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    counts = confident_joint(labels, probabilities)
    assert counts.sum() < 400
    joint = calibrated(labels, counts)
    report = check_labels(labels, probabilities)
    # cleanlab rounds each row to whole numbers: its diagonal moves by less than one image.
    assert abs(report.estimated_share - (1 - np.trace(joint) / 400)) < 4 / 400
    assert report.accuracy == np.mean(probabilities.argmax(axis=1) == labels)
    assert all(probabilities[one.index].argmax() != labels[one.index] for one in report.suspects)


def test_a_class_that_is_rarely_confident_is_not_suspected_as_a_whole():
    labels, probabilities, _ = planted(wrong=0)
    unsure = labels == 2
    probabilities[unsure] = np.array([0.4, 0.2, 0.4]) + np.array([1e-3, 0, -1e-3])  # looks a little more like class 0
    report = check_labels(labels, probabilities)
    assert report.accuracy == pytest.approx(2 / 3)
    assert report.suspects == ()
    assert report.next_step == "no label is suspect: nothing to do"


def test_suspects_are_named_and_ranked_by_self_confidence():
    labels, probabilities, flipped = planted()
    names = [f"{CLASSES[label]}/{index:03}.jpg" for index, label in enumerate(labels)]
    report = check_labels(labels, probabilities.astype("float32"), CLASSES, names)
    confidence = [one.self_confidence for one in report.suspects]
    assert confidence == sorted(confidence)
    for one in report.suspects:
        assert one.name == names[one.index]
        assert one.given == CLASSES[labels[one.index]]
        assert one.likely == CLASSES[one.index % 3]
        assert one.self_confidence == pytest.approx(probabilities[one.index, labels[one.index]], rel=1e-5)
        assert one.likely_probability == pytest.approx(probabilities[one.index].max(), rel=1e-5)
    assert sum(pair.images for pair in report.pairs) == len(flipped)
    assert [pair.images for pair in report.pairs] == sorted((pair.images for pair in report.pairs), reverse=True)


def test_text_json_csv_and_plot_say_the_same(tmp_path):
    labels, probabilities, _ = planted()
    report = check_labels(labels, probabilities, CLASSES)
    text = report.to_text(limit=3)
    assert "240 labels of 3 classes; out-of-fold accuracy 92.50%" in text
    assert "18 suspects (7.50%); estimated share of wrong labels 7.50%" in text
    assert "... and 15 more" in text
    assert text.endswith(report.next_step)
    assert "... and" not in report.to_text(limit=None)
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    file = io.StringIO()
    report.write_csv(file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == len(record["suspects"]) == 18
    for row, one in zip(rows, record["suspects"], strict=True):
        assert (row["file"], row["given"], row["looks_like"]) == (one["name"], one["given"], one["likely"])
        assert float(row["given_probability"]) == pytest.approx(one["self_confidence"], abs=1e-6)
        assert float(row["looks_like_probability"]) == pytest.approx(one["likely_probability"], abs=1e-6)
    for number, found in enumerate((report, check_labels(*planted(wrong=0)[:2]))):
        found.plot(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")


GOOD = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])


@pytest.mark.parametrize(
    ("labels", "probabilities", "more", "message"),
    [
        ([0, 1], GOOD, {}, r"probabilities must be \(2, K\), a row per label.*shape \(3, 2\)"),
        ([0, 1, 0], GOOD[:, :1], {}, "two classes or more"),
        ([0, 1, 0], "text", {}, "probabilities must be"),
        ([0, 1, 0], GOOD * [[1], [np.nan], [1]], {}, "1 rows have NaN or infinity, the first is row 1"),
        ([0, 1, 0], GOOD * [[1], [2], [1]], {}, "take a softmax of logits. Received: row 1 .* with sum 2"),
        ([0, 1, 0], GOOD + np.array([0.3, -0.3]), {}, "must be 0 or more and sum to 1.*row 0"),
        ([0, 2, 0], GOOD, {}, "labels must be in 0-1.*Received: 0 to 2"),
        ([0, -1, 0], GOOD, {}, "labels must be in 0-1.*Received: -1 to 0"),
        ([0, 0, 0], GOOD, {}, "there is none of class 1"),
        ([0.0, 1.0, 0.0], GOOD, {}, "class indices.*float64"),
        ([], np.empty((0, 2)), {}, "class indices, one per image"),
        ([0, 1, 0], GOOD, {"class_names": ("a", "b", "c")}, "class_names must be 2, one per class. Received: 3"),
        ([0, 1, 0], GOOD, {"names": ("a", "b")}, "names must be 3, one per label. Received: 2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(labels, probabilities, more, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_labels(labels, probabilities, **more)
    assert "\n" not in str(caught.value)


def test_without_cleanlab_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtraError, match=r"cleanlab is not installed: pip install 'kerastricks\[labels\]'"):
        check_labels([0, 1, 0], GOOD)
