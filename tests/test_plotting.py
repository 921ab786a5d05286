"""Figures show names as they are."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from kerastricks.plotting import save_figure

pytestmark = pytest.mark.tensorflow_only
NAMES = ["bills_$5_$", "$\\frac$", "a_b", "\u4e2d"]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_dollars_are_no_formulas(name, tmp_path, recwarn):
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 10], [1, 1000], label=name)
    axes.set(title=name, xlabel=name, yscale="log")
    axes.set_xticks([1, 10], [name, name])
    axes.legend(title=name)
    axes.annotate(name, (1, 10))
    figure.suptitle(name)
    save_figure(figure, tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert (plt.imread(tmp_path / "figure.png") < 0.5).any()
    assert axes.get_yticklabels()[0].get_parse_math()  # a power of ten is one
    assert not recwarn.list
