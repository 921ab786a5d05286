"""The folder of models: which there are, and which versions of each are to be served.

The layout is TensorFlow Serving's, MODEL/VERSION/saved_model.pb, and so is the file that says more about it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kerastricks.errors import UsageError, first_line
from kerastricks.serving.server.options import ServeOptions
from kerastricks.serving.server.status import ServingError

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:]{1,200}")  # ":" would end it in an address
_MAX_VERSION = 2**63 - 1


@dataclass(frozen=True)
class ModelSource:
    """A model of the repository.

    Args:
        name: that requests say.
        folder: with its versions.
        latest: how many of the newest versions are served.
        specific: the versions that are served instead; None for the newest.
        every: whether all versions are served instead.
        labels: label to version.
    """

    name: str
    folder: Path
    latest: int = 1
    specific: tuple[int, ...] | None = None
    every: bool = False
    labels: Mapping[str, int] = field(default_factory=dict)

    def wanted(self, repository: Path) -> dict[int, Path]:
        """Folders of the versions to serve, by number, the newest first."""
        found = versions(self.folder, repository)
        if self.every:
            return found
        if self.specific is not None:
            return {number: path for number, path in found.items() if number in self.specific}
        return dict(list(found.items())[: self.latest])


def versions(folder: Path, repository: Path) -> dict[int, Path]:
    """Versions of a model, the newest first: numbered folders with a SavedModel that are inside the repository."""
    found: dict[int, Path] = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    for name in names:
        path = folder / name
        if not re.fullmatch("[0-9]{1,19}", name) or int(name) > _MAX_VERSION or not _inside(path, repository):
            continue
        if (path / "saved_model.pb").is_file() and _inside(path / "saved_model.pb", repository):
            # 1 and 001 are one version: the first name in the order of texts is taken, whatever the disk's order is.
            number = int(name)
            if number not in found or name < found[number].name:
                found[number] = path
    return dict(sorted(found.items(), reverse=True))


def discover(options: ServeOptions) -> dict[str, ModelSource]:
    """Models in a folder: each folder in it that has versions, or the folder itself, by its name."""
    repository = options.repository
    if versions(repository, repository):
        return {repository.name: ModelSource(repository.name, repository, options.latest)}
    found = {}
    try:
        names = sorted(os.listdir(repository))
    except OSError:
        return {}
    for name in names:
        folder = repository / name
        if name.startswith(".") or not _NAME.fullmatch(name) or not _inside(folder, repository):
            continue
        if versions(folder, repository):
            found[name] = ModelSource(name, folder, options.latest)
    return found


def read_config(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """TensorFlow Serving's file of models, a ModelServerConfig in protobuf's text format.

    Raises:
        UsageError: where it cannot be read.
    """
    try:
        return text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    except (OSError, ValueError, text_format.ParseError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UsageError(f"{path}: no model_config_list in protobuf's text format ({reason})") from None


def configured(config: model_server_config_pb2.ModelServerConfig, repository: Path) -> dict[str, ModelSource]:
    """Models that a configuration names.

    Raises:
        ServingError: where a base path is outside of the repository, or a name is taken twice.
    """
    found: dict[str, ModelSource] = {}
    for one in config.model_config_list.config:
        # Paths of a container, such as /models/digits, are read as those in the repository.
        given = Path(one.base_path or one.name)
        folder = given if given.is_absolute() and _inside(given, repository) else repository / given.name
        if not given.is_absolute():
            folder = repository / given
        if not _NAME.fullmatch(one.name) or one.name in found:
            raise ServingError("INVALID_ARGUMENT", f"model {one.name!r}: a name is given once, without slash and colon")
        if not _inside(folder, repository):
            raise ServingError("INVALID_ARGUMENT", f"model {one.name}: base_path must be inside the repository")
        policy = one.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        found[one.name] = ModelSource(
            one.name,
            folder,
            latest=max(1, policy.latest.num_versions) if kind == "latest" else 1,
            specific=tuple(policy.specific.versions) if kind == "specific" else None,
            every=kind == "all",
            labels=dict(one.version_labels),
        )
    return found


def _inside(path: Path, repository: Path) -> bool:
    """Whether a path, links in it followed, is in the repository."""
    real = os.path.realpath(path)
    root = os.path.realpath(repository)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
