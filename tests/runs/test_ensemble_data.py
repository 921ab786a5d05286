"""The configuration that loads the images of an ensemble."""

from types import SimpleNamespace

import pytest

from kerastricks.data.fitting import WHOLE
from kerastricks.runs.ensemble_data import shared_config
from kerastricks.training import Config

pytestmark = pytest.mark.tensorflow_only


def test_a_pattern_of_groups_is_of_the_data_it_was_given_for(tmp_path):
    own = str(tmp_path.resolve())
    members = [SimpleNamespace(config=Config(data=own, group="(.*)_"), path=tmp_path)]
    for data, group in ((None, "(.*)_"), (own, "(.*)_"), (f"{own}/../{tmp_path.name}", "(.*)_"), ("digits", None)):
        assert shared_config(members, data, (8, 8, 3), WHOLE).group == group
