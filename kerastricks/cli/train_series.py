"""kerastricks train --seeds"""

import json
from typing import Any

import click

from kerastricks.cli.carry_out import carry_out


def train_series(series: Any, resumed: bool, as_json: bool, **where: Any) -> None:
    """Trains what is not trained yet of a series, and shows all of it.

    Args:
        series: a `kerastricks.runs.series.Series`.
        resumed: whether some of it was there before.
        as_json: print the summary as JSON.
        **where: `data_service` and `cache_dir` of `kerastricks.data.load`.
    """
    import keras

    from kerastricks.cli import screen
    from kerastricks.runs.series import summarize
    from kerastricks.runs.train import train
    from kerastricks.training.datasets import load_splits

    images: dict[int | None, Any] = {}

    def loaded(config: Any) -> Any:
        if config.image_size not in images:  # once for all of them
            data = load_splits(config.data, config, screen.bar, **where)
            images.clear()
            height, width, _ = data.image_shape  # a run that was begun knows the size that the first one chose
            images.update(dict.fromkeys((config.image_size, height if height == width else None), data))
        return images[config.image_size]

    for number, seed in enumerate(series.seeds, start=1):
        run = series.folder(seed)
        known = run.config.is_file()
        if known and run.summary.exists():
            continue
        if not known:
            series = series.as_decided()
            run = series.begin(seed)
        screen.say(f"seed {seed}, {number} of {len(series.seeds)}")
        keras.backend.clear_session()  # layers are named as in a training by itself, and the last graph is let go
        carry_out(
            run,
            lambda run=run: train(run, screen.say, screen.bar, loaded=loaded),  # type: ignore[misc]
            "kerastricks train --resume",
            resumed=known,
            whole=series.path,
        )
    _report(series, summarize(series), as_json)


def _report(series: Any, summary: dict[str, Any], as_json: bool) -> None:
    from kerastricks.cli import screen

    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    width = max(len(row["run"]) for row in summary["runs"])
    screen.output.print(f"{'run':{width}}  test accuracy  balanced  log-loss", soft_wrap=True)
    for row in summary["runs"]:
        screen.output.print(
            f"{row['run']:{width}}  {row['accuracy']:13.2%}  {row['balanced_accuracy']:8.2%}  {row['log_loss']:8.4f}",
            soft_wrap=True,
        )
    mean, spread = summary["mean"], summary["standard_deviation"]
    screen.output.print(
        f"mean of {len(summary['runs'])} seeds, ± standard deviation: test accuracy {mean['accuracy']:.2%} ± "
        f"{spread['accuracy']:.2%}, balanced {mean['balanced_accuracy']:.2%} ± {spread['balanced_accuracy']:.2%}, "
        f"log-loss {mean['log_loss']:.4f} ± {spread['log_loss']:.4f}",
        soft_wrap=True,
    )
    screen.output.print(f"  make one of them  kerastricks ensemble {series.path}-s*", soft_wrap=True)
