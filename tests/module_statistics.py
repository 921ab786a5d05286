"""How large the modules of a tree are: python tests/module_statistics.py [PATH ...] [--json].

Every `.py` file below PATH counts, `__init__.py` among them, and every line of it, empty ones and docstrings too. The
90th percentile is the smallest size that nine in ten modules do not exceed.
"""

import argparse
import json
import math
import statistics
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "kerastricks"
SHORT = 60  # lines: up to here a module is a sliver


def module_lines(root):
    """Lines of each module, by its path below `root`."""
    paths = sorted(Path(root).rglob("*.py"))
    return {path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def module_statistics(root):
    """The table's figures for a tree.

    Raises:
        FileNotFoundError: for a folder without modules.
    """
    lines = module_lines(root)
    if not lines:
        raise FileNotFoundError(f"{root}: no modules (*.py) below: give the folder of a package")
    sizes = sorted(lines.values())
    largest = max(lines, key=lines.__getitem__)
    return {
        "modules": len(sizes),
        "lines": sum(sizes),
        "median": statistics.median(sizes),
        "percentile_90": sizes[math.ceil(0.9 * len(sizes)) - 1],
        "short_fraction": round(sum(size <= SHORT for size in sizes) / len(sizes), 4),
        "largest": {"module": largest, "lines": lines[largest]},
    }


def format_table(rows):
    """Markdown, a row per tree."""
    lines = [
        f"| | modules | lines | median | 90 % up to | share up to {SHORT} lines | largest |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        largest = f"{row['largest']['module']}, {row['largest']['lines']:,}"
        lines.append(
            f"| {name} | {row['modules']:,} | {row['lines']:,} | {row['median']:g} | {row['percentile_90']:,} "
            f"| {row['short_fraction']:.0%} | {largest} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="Folder of a package. [default: kerastricks]"
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    arguments = parser.parse_args()
    rows = {}
    for path in arguments.paths or [PACKAGE]:
        try:
            rows[path.name if path.name not in rows else str(path)] = module_statistics(path)
        except FileNotFoundError as error:
            parser.error(str(error))
    print(json.dumps(rows, indent=2) if arguments.json else format_table(rows))


if __name__ == "__main__":
    main()
