import dataclasses
import json

import pytest
from made_runs import classifier, write_run

import kerastricks
from kerastricks.errors import EnsembleError
from kerastricks.runs.folder import RunFolder
from kerastricks.runs.members import open_members
from kerastricks.runs.seen_images import pooled_fingerprint, refuse_seen_images
from kerastricks.training import Config
from kerastricks.training.datasets import load_data

pytestmark = pytest.mark.tensorflow_only


def checked(tmp_path, *changes, ours=None):
    """Members whose runs differ in `changes`, held against digits divided by seed 0."""
    config = ours or Config(data="digits", split_seed=0)
    data = load_data("digits", config)
    paths = []
    for number, change in enumerate(({}, *changes)):
        paths.append(write_run(tmp_path / f"r{number}", classifier(number), **change).path)
    members, _ = open_members(paths, print)
    return refuse_seen_images(members, data, config)


def test_members_of_one_split_have_seen_nothing(tmp_path):
    assert checked(tmp_path, {"seed": 5}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split_seed": 1}, "split_seed is 1 there and 0 here"),
        ({"split_seed": None, "seed": 3}, "split_seed is 3 there and 0 here"),
        ({"test": 0.3}, "test is 0.3 there and 0.1 here"),
    ],
)
def test_another_split_of_the_same_images_is_refused(tmp_path, change, words):
    with pytest.raises(EnsembleError, match=rf"r1: was trained on images that .*{words}.*--seeds"):
        checked(tmp_path, change)


def test_a_refit_has_seen_the_validation_images(tmp_path):
    data = kerastricks.data.pooled(load_data("digits", Config(data="digits", split_seed=0)))
    assert data.fingerprint == pooled_fingerprint(load_data("digits", Config(data="digits", split_seed=0)))
    with pytest.raises(EnsembleError, match="r1: was trained on the validation images too"):
        checked(tmp_path, {"data": data})


def test_of_other_data_it_is_not_known(tmp_path):
    data = load_data("digits", Config(data="digits", split_seed=0))
    other = dataclasses.replace(data, name="more digits", fingerprint="another")
    assert checked(tmp_path, {"data": other}) == [
        "r1: was trained on more digits, other data than these: whether some of these images are in it is not known"
    ]


def test_an_ensemble_that_these_images_chose_is_said(tmp_path):
    config = Config(data="digits", split_seed=0)
    data = load_data("digits", config)
    runs = [write_run(tmp_path / f"r{number}", classifier(number)) for number in range(2)]
    record = json.loads(runs[1].summary.read_text())
    runs[1].write(runs[1].summary, {**record, "ensemble": {"chosen_on": data.describe()}})
    members, _ = open_members([run.path for run in runs], print)
    (line,) = refuse_seen_images(members, data, config)
    assert line.startswith("r1: is an ensemble chosen by these validation images")


def test_a_member_of_some_classes_is_looked_up_by_names(tmp_path, image_folder):
    """The split of some classes is another one than that of all: its training images are in the others' validation."""
    whole = Config(data=str(image_folder), split_seed=0)
    data = load_data(whole.data, whole)
    runs = []
    for number, classes in enumerate((None, ",".join(data.class_names[1:]))):
        config = dataclasses.replace(whole, classes=classes)
        own = load_data(config.data, config)
        run = write_run(tmp_path / f"r{number}", classifier(number, len(own.class_names)), data=own)
        run.write(run.config, {"config": config.as_dict(), "resolved": True, "data": own.describe()})
        runs.append(run.path)
        names = set(own.files("train"))
    members, _ = open_members(runs, print)
    seen = names & {*data.files("validation"), *data.files("test")}
    assert seen
    with pytest.raises(EnsembleError, match=f"r1: was trained on images .*{len(seen)} of them"):
        refuse_seen_images(members, data, whole)


def test_splits_that_come_with_the_data_cannot_differ(tmp_path, split_folder):
    config = Config(data=str(split_folder), seed=0)
    data = load_data(config.data, config)
    paths = []
    for seed in (0, 1):
        run = write_run(tmp_path / f"r{seed}", classifier(seed, len(data.class_names)), data=data)
        record = json.loads(run.config.read_text())
        record["config"] = dataclasses.replace(config, seed=seed).as_dict()
        RunFolder(run.path).write(run.config, record)
        paths.append(run.path)
    members, _ = open_members(paths, print)
    assert refuse_seen_images(members, data, config) == []
