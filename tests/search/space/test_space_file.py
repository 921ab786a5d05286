"""Space files: read strictly, and each mistake in one line with file, table and way out."""

import pytest

from kerastricks.errors import SpaceError
from kerastricks.search import DataFacts, load_space
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only

FACTS = DataFacts(5000, (8, 8, 1), 10, "pad_crop(1)")
BASE = Config(model="plain_cnn(widths=(4,))", learning_rate=0.05)


def read(tmp_path, text, base=BASE, facts=FACTS, **more):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_space(path, base, facts, **more)


def test_all_forms_are_read(tmp_path):
    space = read(
        tmp_path,
        """
        label_smoothing = 0.05
        clip_norm = "none"
        model.initializer = "lsuv"

        [learning_rate]
        min = 1e-4
        max = 1
        sampling = "log"

        [batch_size]
        values = [64, 128]
        default = 64

        [optimizer]
        values = ["sgd(momentum=0.9)", "adamw"]

        [weight_decay]
        min = 1e-5
        max = 1e-2
        sampling = "log"
        when = { optimizer = "adamw" }

        ["model.dropout"]
        min = 0
        max = 0.5
        step = 0.1

        [model.widths]
        values = [[4], [4, 8]]

        ["augment.strength"]
        values = [0, 2]

        [schedule]
        value = "cosine"
        when = { optimizer = ["adamw"], model.widths = "(4, 8)" }
        """,
    )
    assert {one.name: str(one) for one in space} == {
        "label_smoothing": "0.05 fixed",
        "clip_norm": "none fixed",
        "model.initializer": "lsuv fixed",
        "learning_rate": "0.0001-1 log",
        "batch_size": "64, 128",
        "optimizer": "sgd(momentum=0.9), adamw",
        "weight_decay": "1e-05-0.01 log when optimizer=adamw",
        "model.dropout": "0-0.5 in steps of 0.1",
        "model.widths": "(4,), (4, 8)",
        "augment.strength": "0, 2",
        "schedule": "cosine fixed when optimizer=adamw and model.widths=(4, 8)",
    }
    assert space["learning_rate"].start == 0.05
    assert space["batch_size"].start == 64
    fixed = {"label_smoothing", "clip_norm", "model.initializer", "schedule"}
    assert {one.name for one in space.searched} == {one.name for one in space} - fixed
    config = space.apply(space.start(), BASE)
    assert config.model == "plain_cnn(widths=(4,), initializer='lsuv', dropout=0.0)"
    assert (config.clip_norm, config.label_smoothing, config.augment) == (None, 0.05, "")


def test_the_default_space_is_extended_in_place(tmp_path):
    text = 'extends = "default"\nschedule = "cosine"\n[batch_size]\nvalues = [32, 64]\n'
    space = read(tmp_path, text + "[label_smoothing]\nmin = 0\nmax = 0.2", lr_interval=(0.03, 0.3))
    names = [one.name for one in space]
    assert names[:4] == ["learning_rate", "batch_size", "weight_decay", "schedule"]
    assert names[-1] == "label_smoothing"
    assert str(space["learning_rate"]) == "0.01-0.9 log"
    assert str(space["batch_size"]) == "32, 64"
    assert str(space["schedule"]) == "cosine fixed"


def test_an_augmentation_of_ones_own_takes_the_place_of_the_strength(tmp_path):
    space = read(tmp_path, 'extends = "default"\n[augment]\nvalues = ["", "flip"]')
    assert "augment.strength" not in space
    assert str(space["augment"]) == ", flip"


def test_it_can_be_checked_before_the_images_are_loaded(tmp_path):
    assert "augment.strength" in read(tmp_path, 'extends = "default"', facts=None)
    with pytest.raises(SpaceError, match="did you mean learning_rate"):
        read(tmp_path, "[lerning_rate]\nmin = 1\nmax = 2", facts=None)


ONE = "[learning_rate]\nmin = 0.1\nmax = 0.2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learning_rate\nmin = 1", r"is not TOML: .*line 1"),
        ("", r"nothing to search"),
        ("batch_size = 64", r"nothing to search: each parameter has only one value"),
        ('extends = "defaults"', r'extends must be "default"'),
        ("[lerning_rate]\nmin = 1\nmax = 2", r"'lerning_rate': did you mean learning_rate"),
        ("[learning_rate]\nmin = 1\nmaks = 2", r"learning_rate: no key is called 'maks': did you mean max"),
        ("[learning_rate]\nmin = 1", r"learning_rate: max is missing"),
        ("[learning_rate]", r"learning_rate: needs min and max, or values, or value"),
        ("[learning_rate]\nmin = 0.1\nmax = 1\nvalues = [1.0]", r"learning_rate: needs min and max, or values"),
        ("[learning_rate]\nmin = 1\nmax = 0.1", r"learning_rate: min must be below max"),
        ('[learning_rate]\nmin = 0\nmax = 0.1\nsampling = "log"', r"learning_rate: min must be above 0"),
        ('[learning_rate]\nmin = "0.1"\nmax = 1', r"learning_rate: min must be a finite number. Received: '0.1'"),
        ("[learning_rate]\nmin = 0.1\nmax = nan", r"learning_rate: max must be a finite number"),
        ("[batch_size]\nvalues = []", r"batch_size: values must hold at least one"),
        ("[batch_size]\nvalues = [64, 128, 64]", r"batch_size: values must differ, and one is there twice"),
        ("[batch_size]\nvalues = 64", r"batch_size: values must be a list"),
        ("batch_size = [64, 128]", r"batch_size: expected a value or a table. .* write values = \[...\]"),
        ("[batch_size]\nvalues = [64, 128.5]", r"batch_size: batch_size must be int"),
        ("[batch_size]\nmin = 1.5\nmax = 64", r"batch_size: min must be an integer"),
        ("[batch_size]\nvalues = [64, 8000]", r"batch_size: must be at most the 5,000 training images"),
        ("[label_smoothing]\nvalues = [0.1, 1.0]", r"label_smoothing: label_smoothing must be in \[0, 1\)"),
        ('[optimizer]\nvalues = ["sgd", "adamv"]', r"optimizer: no optimizer is called 'adamv': did you mean adam"),
        ('[optimizer]\nvalues = ["sgd", "sgd(speed=1)"]', r"optimizer: sgd\(speed=1\): .*speed"),
        ('[schedule]\nvalues = ["linear", "cosin"]', r"schedule: .*'cosin': did you mean cosine"),
        ('[augment]\nvalues = ["flip", "pad_corp(4)"]', r"augment: .*'pad_corp': did you mean pad_crop"),
        ('[augment]\nvalues = ["flip", "flip(7)"]', r"augment: flip"),
        (
            '[model]\nvalues = ["plain_cnn", "resnet_21"]',
            r"model: no model is called 'resnet_21': did you mean resnet_",
        ),
        (
            "[model.dropuot]\nvalues = [0.1, 0.2]",
            r"model.dropuot: plain_cnn has no option .*did you mean model.dropout",
        ),
        ("[model.dropout]\nmin = 0\nmax = 1", r"model.dropout: dropout must be a number in \[0, 1\)"),
        ('[model.activation]\nvalues = ["relu", "rellu"]', r"model.activation: .*'rellu'.* did you mean"),
        ('[model.initializer]\nvalues = ["auto", "he_normall"]', r"model.initializer: .*did you mean he_normal"),
        ("[model.widths]\nvalues = [[4], [4, 8, 8, 8, 8, 8]]", r"model.widths: plain_cnn"),
        (
            '[model]\nvalues = ["plain_cnn", "nin"]\n[model.widths]\nvalues = [[4], [8]]',
            r"model.widths: nin has no option 'widths'",
        ),
        ("[augment.strength]\nmin = 0\nmax = 7", r"augment.strength: must be in 0-3. Received: 7"),
        (ONE + "when = 3", r"learning_rate: when must be a table"),
        (ONE + 'when = { optimiser = "sgd" }', r"learning_rate: when: no parameter is called 'optimiser'"),
        (
            ONE + 'when = { optimizer = "adam" }\n[optimizer]\nvalues = ["sgd", "adamw"]',
            r"learning_rate: when: optimizer never takes 'adam': did you mean adamw",
        ),
        ("[seed]\nvalues = [1, 2]", r"seed: cannot be searched"),
        ("[learning_rate]\nvalues = [0.1, [0.2]]", r"learning_rate: values must be a number, text, true or false"),
    ],
)
def test_mistakes_are_one_line_with_file_and_table(tmp_path, text, message):
    with pytest.raises(SpaceError, match=message) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert "\n" not in str(raised.value)


def test_options_that_only_one_model_has_need_a_condition(tmp_path):
    text = '[model]\nvalues = ["plain_cnn(widths=(4,))", "nin"]\n[model.convs_per_stage]\nvalues = [1, 2]\n'
    space = read(tmp_path, text + 'when = { model = "plain_cnn" }')
    assert space.active({"model": "nin"}) == {"model": "nin"}


def test_a_recipe_with_its_own_model_has_no_options(tmp_path):
    assert all(not one.name.startswith("model") for one in read(tmp_path, 'extends = "default"', own_model=True))
    with pytest.raises(SpaceError, match=r"model\.dropout: the recipe creates its own model"):
        read(tmp_path, "[model.dropout]\nvalues = [0.1, 0.2]", own_model=True)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(SpaceError, match=r"no.toml: cannot be read: No such file"):
        load_space(tmp_path / "no.toml", BASE, FACTS)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(SpaceError, match=r"latin.toml: is not UTF-8 text"):
        load_space(tmp_path / "latin.toml", BASE, FACTS)
