"""The folder of a comparison: its plan, a line per finished run, and the result."""

import json
from pathlib import Path
from typing import Any

from kerastricks.errors import RunFolderError, WriteError
from kerastricks.files import append_line, begun_folder, read_json, take_name, write_json, write_text
from kerastricks.runs.folder import is_taken


class ComparisonFolder:
    """Paths and records of one comparison.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.runs = path / "runs.jsonl"
        self.result = path / "comparison.json"
        self.plot = path / "comparison.png"

    def begin(self, plan: dict[str, Any]) -> None:
        """Creates the folder, or checks that it holds this comparison.

        Args:
            plan: of the comparison. It may have seeds that the folder lacks.

        Raises:
            RunFolderError: where the folder holds something else, or cannot be written to.
        """
        other = RunFolderError(f"{self.path}: holds something else: choose another folder")
        try:
            if self.plan.exists():
                self._refuse_other(self.read_plan(), plan)
                write_json(self.plan, plan)
                return
            if is_taken(self.path):
                raise other
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with begun_folder(self.path.parent) as begun:  # a process that is killed here leaves nothing
                write_json(begun / self.plan.name, plan)
                take_name(begun, self.path)
        except FileExistsError:
            raise other from None
        except WriteError:
            raise
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written to ({error.strerror})") from None

    def read_plan(self) -> dict[str, Any]:
        """Reads the plan.

        Raises:
            RunFolderError: where no comparison began here.
        """
        try:
            plan = read_json(self.plan)
            if not isinstance(plan, dict) or not {"kind", "arms", "seeds", "config", "data"} <= set(plan):
                raise ValueError("not the plan of a comparison")
            return plan
        except FileNotFoundError:
            raise RunFolderError(
                f"{self.path}: no comparison (no plan.json inside): `kerastricks compare` writes them"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.plan}: cannot be read ({error})") from None

    def read_runs(self) -> list[dict[str, Any]]:
        """Reads the finished runs. A last line that a power failure cut off is dropped.

        Raises:
            RunFolderError: for a damaged line.
        """
        if not self.runs.exists():
            return []
        lines = self.runs.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines = lines[:-1]
            write_text(self.runs, "".join(lines))
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise RunFolderError(f"{self.runs}: cannot be read ({error}): delete the damaged line") from None

    def append(self, run: dict[str, Any]) -> None:
        """Appends a finished run."""
        append_line(self.runs, json.dumps(run), durable=True)

    def _refuse_other(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        flat_before, flat_now = _flatten(before), _flatten(now)
        changes = [
            f"{name}: {flat_before.get(name)!r} in the folder, {value!r} asked for"
            for name, value in flat_now.items()
            if name != "seeds" and flat_before.get(name) != value
        ]
        if not set(before["seeds"]) <= set(now["seeds"]):
            changes.append(f"seeds: {before['seeds']} in the folder, {now['seeds']} asked for, and all must be kept")
        if changes:
            raise RunFolderError(
                f"{self.path}: a comparison is resumed as it began; {'; '.join(changes)}: start a new one for that"
            )


# Where the data lie and on what the runs were made may change; what they are may not.
_FREE = {"config.data", "data.name", "device", "versions"}


def _flatten(plan: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plan.items():
        if name in ("config", "data"):
            flat.update({f"{name}.{inner}": content for inner, content in value.items()})
        else:
            flat[name] = value
    return {name: value for name, value in flat.items() if name not in _FREE}
