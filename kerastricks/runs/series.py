"""Trainings that differ by seed alone: same data, same splits, a run folder each."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

from kerastricks import recipes
from kerastricks.errors import RunFolderError
from kerastricks.runs.folder import RunFolder, check_name, is_taken
from kerastricks.runs.train import name_parts, start, with_whole_path
from kerastricks.training.config import Config

SCORES = ("accuracy", "balanced_accuracy", "log_loss")


@dataclasses.dataclass(frozen=True)
class Series:
    """The run folders OUT/NAME-s0, OUT/NAME-s1, ...; each knows the name and all of the seeds.

    Args:
        out: the folder they are in.
        name: that they share.
        config: of all of them, but for `seed`.
        seeds: of the runs, in their order.
        recipe: that the configuration came from, or None.
    """

    out: Path
    name: str
    config: Config
    seeds: tuple[int, ...]
    recipe: recipes.Recipe | None = None

    @classmethod
    def new(cls, config: Config, count: int, out: Path, name: str | None, recipe: recipes.Recipe | None) -> "Series":
        """Of seeds from `config.seed` on, with the splits of the first; makes no folder.

        Raises:
            RunFolderError: where one of the folders is there already.
        """
        config = with_whole_path(config)
        config = dataclasses.replace(config, split_seed=config.seed_of_splits)
        seeds = tuple(range(config.seed, config.seed + count))
        if name is None:
            name = RunFolder.free_name(out, *name_parts(config, recipe))
        series = cls(out, name, config, seeds, recipe)
        check_name(out, f"{name}-s{seeds[-1]}")
        taken = [run for run in (series.folder(seed) for seed in seeds) if is_taken(run.path)]
        if taken:
            raise RunFolderError(
                f"{taken[0].path} exists already and nothing is overwritten: choose another --name, or go on with "
                f"--resume {series.path}"
            )
        return series

    @classmethod
    def find(cls, path: Path) -> "Series | None":
        """The series that OUT/NAME stands for, from what its runs know; None where there is none."""
        for folder in sorted(path.parent.glob(f"{path.name}-s*")) if path.name else []:
            run = RunFolder(folder)
            if not run.config.is_file():
                continue
            record = run.read(run.config)
            found = record.get("series")
            if found is not None and found["name"] == path.name:
                recipe = recipes.load(run.recipe) if run.recipe.exists() else None
                return cls(path.parent, path.name, Config.from_layers(record["config"]), tuple(found["seeds"]), recipe)
        return None

    @property
    def path(self) -> Path:
        """What `--resume` goes on with; there is no folder of that name."""
        return self.out / self.name

    def folder(self, seed: int) -> RunFolder:
        """Of a seed, whether it is there or not."""
        return RunFolder(self.out / f"{self.name}-s{seed}")

    def as_decided(self) -> "Series":
        """With the image size and the epochs that the first run chose for its `minutes`: all have the same."""
        first = self.folder(self.seeds[0])
        if self.config.minutes is None or not first.config.is_file():
            return self
        decided = first.read(first.config)["config"]
        fields = {name: decided[name] for name in ("image_size", "epochs", "early_stopping_epochs")}
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **fields))

    def begin(self, seed: int) -> RunFolder:
        """Makes the folder of a seed."""
        config = dataclasses.replace(self.config, seed=seed)
        record = {"series": {"name": self.name, "seeds": list(self.seeds)}}
        return start(config, self.out, f"{self.name}-s{seed}", self.recipe, record)


def summarize(series: Series) -> dict[str, Any]:
    """The scores of each run, their mean, and their standard deviation (of the sample)."""
    runs = [series.folder(seed) for seed in series.seeds]
    summaries = [run.read(run.summary) for run in runs]
    rows = [
        {"run": str(run.path), "seed": seed, **{name: summary[name] for name in (*SCORES, "training_seconds")}}
        for run, seed, summary in zip(runs, series.seeds, summaries, strict=True)
    ]
    return {
        "series": str(series.path),
        "runs": rows,
        "mean": {name: statistics.mean(row[name] for row in rows) for name in SCORES},
        "standard_deviation": {name: statistics.stdev(row[name] for row in rows) for name in SCORES},
    }
