"""Reads the recorded .npz files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def cases(name: str, folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The cases of NAME.npz: inputs, arguments and outputs of each, by name."""
    result: dict[str, dict[str, Any]] = {}
    with np.load(folder / f"{name}.npz", allow_pickle=False) as entries:
        for key in entries.files:
            case, slash, what = key.partition("/")
            if what == "scalars":
                result.setdefault(case, {}).update(json.loads(str(entries[key])))
            elif slash:
                result.setdefault(case, {})[what] = entries[key]
    return result
