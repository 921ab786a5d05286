"""Trainings that differ only in the seed: the same data and splits, a run folder each."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Unpack

import keras

from kerastricks import recipes
from kerastricks.data.image_data import ImageData
from kerastricks.errors import ConfigError, RunFolderError, UsageError
from kerastricks.progress import Progress, in_lines
from kerastricks.runs.beginning import name_parts, start, with_whole_path
from kerastricks.runs.configuration import ConfigFields, Source, as_path, check_early, configure
from kerastricks.runs.folder import RunFolder, check_name, is_taken
from kerastricks.runs.record import RunRecord, SeriesRecord
from kerastricks.runs.resumable import Resumption, Say, carry_out, sigterm_interrupts
from kerastricks.runs.training_run import run_training
from kerastricks.training.config import Config
from kerastricks.training.datasets import load_splits

MOST_SEEDS = 1000
RESUMPTION = Resumption("kerastricks train --resume", "kerastricks.runs.train_series")


@dataclasses.dataclass(frozen=True)
class Series:
    """The run folders OUT/NAME-s0, OUT/NAME-s1, ...; each records the name and all seeds.

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
        """A series of seeds from `config.seed` on, with the splits of the first; makes no folder.

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
                f"{taken[0].path} exists already and nothing is overwritten: choose another --name, or resume with "
                f"--resume {series.path}"
            )
        return series

    @classmethod
    def find(cls, path: Path) -> "Series | None":
        """Find the series that OUT/NAME stands for, from its runs; None where there is none."""
        run = cls._first_at(path)
        if run is None:
            return None
        record = run.read(run.config)
        recipe = recipes.load(run.recipe) if run.recipe.exists() else None
        seeds = tuple(record["series"]["seeds"])
        return cls(path.parent, path.name, Config.from_layers(record["config"]), seeds, recipe)

    @staticmethod
    def _first_at(path: Path) -> RunFolder | None:
        for folder in sorted(path.parent.glob(f"{path.name}-s*")) if path.name else []:
            run = RunFolder(folder)
            if run.config.is_file() and run.read(run.config).get("series", {}).get("name") == path.name:
                return run
        return None

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether there is a series for `find`; its recipe is not run."""
        return cls._first_at(path) is not None

    @property
    def path(self) -> Path:
        """The path for `--resume`; there is no folder of that name."""
        return self.out / self.name

    def folder(self, seed: int) -> RunFolder:
        """The path of a seed's run folder, whether it is there or not."""
        return RunFolder(self.out / f"{self.name}-s{seed}")

    def as_decided(self) -> "Series":
        """Take over the image size and epochs that the first run chose for its `minutes`."""
        first = self.folder(self.seeds[0])
        if self.config.minutes is None or not first.config.is_file():
            return self
        decided = first.read(first.config)["config"]
        fields = {name: decided[name] for name in ("image_size", "epochs", "early_stopping_epochs")}
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **fields))

    def begin(self, seed: int) -> RunFolder:
        """Make the folder of a seed."""
        config = dataclasses.replace(self.config, seed=seed)
        record = {"series": {"name": self.name, "seeds": list(self.seeds)}}
        return start(config, self.out, f"{self.name}-s{seed}", self.recipe, record)


def train_series(
    source: Source | None = None,
    config: Config | None = None,
    *,
    seeds: int | None = None,
    out: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    data_service: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    doctor: bool = False,
    say: Say = print,
    progress: Progress | None = None,
    **fields: Unpack[ConfigFields],
) -> SeriesRecord:
    """Train several times with different seeds, as `kerastricks train --seeds` does: OUT/NAME-s0, OUT/NAME-s1, ...

    The runs have the same splits; images are read once. Ctrl-C and SIGTERM save the state.

    Args:
        source: a folder, zip or table of images, the name of a data set or recipe, or a loaded recipe.
        config: of the trainings; its `seed` is the first. None for that of the recipe, or the defaults.
        seeds: how many there are, 2 or more.
        out: the folder of run folders.
        name: that the runs share; None for MODEL-DATA-NUMBER.
        resume: OUT/NAME of a series that was begun: finished runs are kept, missing ones trained.
        data_service: address of a data service that makes the batches.
        cache_dir: on a local disk; keeps decoded images that a `random_resized_crop` cuts from.
        doctor: see `kerastricks.runs.train`.
        say: gets a line about each thing decided.
        progress: where long work shows how far it is; None for a line to `say` every ten seconds.
        **fields: of the configuration; they replace those of `config` or of the recipe.

    Returns:
        The finished runs, with their mean and standard deviation.

    Raises:
        UsageError: for anything wrong with the arguments, the images or the folders.
        RunFailedError: where training or export fails.
        Interrupted: after Ctrl-C or SIGTERM, when the state has been saved.
    """
    if resume is None:
        whole, recipe = configure(source, config, fields)
        if seeds is None or not 2 <= seeds <= MOST_SEEDS:
            raise ConfigError(f"seeds must be 2 to {MOST_SEEDS:,}. Received: seeds={seeds}")
        check_early(whole, recipe)
        series = Series.new(whole, seeds, as_path(out), name, recipe)
    else:
        if source is not None or config is not None or seeds is not None:
            raise UsageError("source, config and seeds exclude resume: the series knows them")
        found = Series.find(as_path(resume))
        if found is None:
            raise RunFolderError(f"{resume}: no series (no run folder {resume}-sSEED): kerastricks train --seeds")
        if fields:
            raise ConfigError(f"{resume}: a series is resumed as it began: without {', '.join(fields)}")
        series = found
    where: dict[str, Any] = {"data_service": data_service, "cache_dir": None if cache_dir is None else Path(cache_dir)}
    return _trained(series, say, progress or in_lines(say), where, doctor)


def _trained(series: Series, say: Say, progress: Progress, where: dict[str, Any], doctor: bool) -> SeriesRecord:
    """Train the seeds that are not trained yet."""
    images: dict[int | None, ImageData] = {}

    def loaded(config: Config) -> ImageData:
        if config.image_size not in images:  # once for all of them
            data = load_splits(config.data, config, progress, **where)
            images.clear()
            height, width, _ = data.image_shape  # a run that was begun knows the size that the first one chose
            images.update(dict.fromkeys((config.image_size, height if height == width else None), data))
        return images[config.image_size]

    with sigterm_interrupts():
        for number, seed in enumerate(series.seeds, start=1):
            run = series.folder(seed)
            known = run.config.is_file()
            if known and run.summary.exists():
                continue
            if not known:
                series = series.as_decided()
                run = series.begin(seed)
            say(f"seed {seed}, {number} of {len(series.seeds)}")
            keras.backend.clear_session()  # layers are named as in a training by itself, and the last graph is let go
            carry_out(
                run,
                lambda run=run: run_training(run, say, progress, loaded, doctor),  # type: ignore[misc]
                RESUMPTION,
                resumed=known,
                whole=series.path,
                say=say,
            )
    runs = tuple(RunRecord.open(series.folder(seed)) for seed in series.seeds)
    return SeriesRecord(series.path, series.seeds, runs)
