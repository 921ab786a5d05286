"""The loaded members of an ensemble: runs, the models that a run kept, `.keras` files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastricks import recipes
from kerastricks.classifier_file import load_model_file
from kerastricks.data.image_data import ImageData
from kerastricks.ensemble.build import EnsembleSettings
from kerastricks.ensemble.combining import combine
from kerastricks.ensemble.member import Member
from kerastricks.ensemble.outputs import member_features
from kerastricks.errors import ConfigError, EnsembleError, RunFolderError
from kerastricks.files import read_json
from kerastricks.runs.folder import RunFolder, check_room
from kerastricks.runs.own_model import check_export, check_recipes
from kerastricks.training.config import FIELDS, Config

Say = Callable[[str], None]
KEPT = "members.json"  # in the folder `members` of a run: what it kept


@dataclass(frozen=True, eq=False)
class RunMember:
    """A member and its origin.

    Args:
        member: the model, its classes and how its images are cut.
        path: of the `.keras` file.
        config: that it was trained with; None for a file that is in no run.
        data: what the run says of its data.
        training_seconds: of its run; of one that kept several models, a share.
        chosen_on: fingerprint of the data whose validation images made it one of several; None for a single model.
    """

    member: Member
    path: Path
    config: Config | None = None
    data: dict[str, Any] | None = None
    training_seconds: float = 0.0
    chosen_on: str | None = None


def open_members(paths: Sequence[Path], say: Say) -> tuple[list[RunMember], list[str]]:
    """Load the members of the paths; damaged ones are reported and left out.

    Args:
        paths: run folders, or `.keras` files. A run that kept several models (snapshots, its best or last epochs)
            stands for all of these.
        say: gets a line about each that is left out.

    Returns:
        The members, and a line for each that was left out.

    Raises:
        RunFolderError: for a path that is neither, or a run that is not finished.
        EnsembleError: where fewer than two are left, or two have one name.
    """
    sources = [source for path in paths for source in _expand(path)]
    seen: set[Path] = set()
    for source in sources:
        if source.path.resolve() in seen:
            raise EnsembleError(f"{source.path}: given twice: a greedy ensemble weighs members by itself")
        seen.add(source.path.resolve())
    members, left_out = [], []
    for source, name in zip(sources, _names([source.path for source in sources]), strict=True):
        try:
            members.append(source.load(name))
        except RunFolderError as error:
            left_out.append(str(error))
            say(f"left out: {error}")
    if len(members) < 2:
        only = f"only {members[0].path} is left" if members else "none is left"
        some = "; ".join(left_out) or "one run was given"
        raise EnsembleError(f"an ensemble needs two members or more, {only} ({some}): name another run")
    return members, left_out


@dataclass(frozen=True)
class _Source:
    """A file and the run it belongs to."""

    path: Path
    run: RunFolder | None
    share: int = 1

    def load(self, name: str) -> RunMember:
        model = load_model_file(self.path)
        if self.run is None:
            return RunMember(Member(model, name), self.path)
        record, summary = self.run.read(self.run.config), self.run.read(self.run.summary)
        try:
            config = Config(**{field: value for field, value in record["config"].items() if field in FIELDS})
        except ConfigError as error:
            raise RunFolderError(f"{self.run.config}: {error}") from None
        return RunMember(
            member=Member(model, name, tuple(summary["class_names"]), config.fitting),
            path=self.path,
            config=config,
            data=summary["data"],
            training_seconds=summary["training_seconds"] / self.share,
            chosen_on=summary.get("ensemble", {}).get("chosen_on", {}).get("fingerprint"),
        )


def _expand(path: Path) -> list[_Source]:
    """The files of a run, or the file itself."""
    if path.is_dir():
        run = RunFolder.open(path)
        if not run.summary.is_file():
            run.read(run.summary)  # refuses; one that is there and damaged is left out when it is loaded
        kept = kept_models(run)
        return [_Source(file, run, len(kept)) for file in kept] or [_Source(run.model, run)]
    if not path.is_file():
        raise RunFolderError(f"{path}: no such run folder or .keras file")
    return [_Source(path, run_of(path))]


def check_combination(opened: Sequence[RunMember], images: ImageData, settings: EnsembleSettings, out: Path) -> None:
    """Try what the members' one model needs in the end, as far as it is known before their predictions.

    Room on the disk, that recipes do not disagree, and the export of a combination where a recipe registers layers of
    a member, or no run has exported it.

    Args:
        opened: the members, with their classes.
        images: in the members' size.
        settings: how they are combined.
        out: the folder of run folders, which is there.

    Raises:
        EnsembleError: where two recipes register different layers by one name.
        ConfigError: where a model of the members cannot be exported.
        RunFolderError: where the disk has no room for it.
    """
    members = [one.member for one in opened]
    weights = [member.model.count_params() for member in members]
    soup = settings.method in ("soup", "greedy_soup")
    check_room(out, weights[0] if soup else sum(weights), trained=False)
    own = [recipe for one in opened for recipe in recipes.beside(one.path)]
    check_recipes(own)
    untried = own + [one.path for one in opened if one.config is None]
    if not untried:
        return
    if soup:
        model = members[0].model
    elif settings.by_features:
        features = member_features(members)
        head = keras.layers.Dense(len(images.class_names), activation="softmax", dtype="float32")
        model = keras.Model(features.inputs, head(features.outputs[0]), name="ensemble")
    else:
        model = combine(members)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *images.image_shape)).astype("uint8")
    check_export(model, pixels, ", ".join(map(str, untried)), out, own, images)


def kept_models(run: RunFolder) -> list[Path]:
    """The models that a run kept during training, in order; possibly none.

    Raises:
        RunFolderError: where the list of them cannot be read.
    """
    folder = run.path / "members"
    if not (folder / KEPT).is_file():
        return []
    try:
        return [folder / entry["file"] for entry in read_json(folder / KEPT)["members"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{folder / KEPT}: cannot be read ({error})") from None


def run_of(path: Path) -> RunFolder | None:
    """The finished run of `RUN/model.keras` and of `RUN/members/03.keras`; None for any other file."""
    folder = path.resolve().parent
    above = [RunFolder(folder), *([RunFolder(folder.parent)] if folder.name == "members" else [])]
    return next((run for run in above if run.summary.is_file()), None)


def _names(paths: Sequence[Path]) -> list[str]:
    """Shortest distinct names: the run's, the run's and the file's, or the whole path."""
    runs = [path.parent.name or path.stem if path.name == "model.keras" else path.stem for path in paths]
    longer = [
        f"{path.parent.parent.name}/{path.stem}" if path.parent.name == "members" else name
        for path, name in zip(paths, runs, strict=True)
    ]
    return longer if len(set(longer)) == len(longer) else [str(path) for path in paths]
