"""How the rate follows the batch size."""

import pytest

from kerastricks.errors import ConfigError, UnknownNameError
from kerastricks.schedules import batch_size_rule

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize(
    ("rule", "batch_size", "factor"),
    [("constant", 1024, 1.0), ("linear", 1024, 8.0), ("linear", 32, 0.25), ("sqrt", 512, 2.0), ("sqrt", 32, 0.5)],
)
def test_rules_have_their_values(rule, batch_size, factor):
    assert batch_size_rule(rule, batch_size, 128) == factor


def test_bad_input_is_named():
    with pytest.raises(UnknownNameError, match="no batch-size rule is called 'liner': did you mean linear"):
        batch_size_rule("liner", 128)
    with pytest.raises(ConfigError, match=r"base_batch must be 1 or more\. Received: base_batch=0"):
        batch_size_rule("linear", 128, 0)
