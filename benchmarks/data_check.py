"""The check of images beside CleanVision and cleanlab: planted faults found, speed and memory, in one run.

A part of the images is written to a folder and faults are planted: exact copies, near copies (recompressed, resized,
cropped by 5 %, brightened), blurred, black and truncated images, wrong labels. Each program then looks at the folder in
a process of its own. Images/s are those of the whole call, without imports; memory is the peak of the process and its
children. Precision counts whatever was not planted as wrong, also what is at fault in the untouched images: it is a
lower bound for both. cleanlab is given the out-of-fold probabilities that the check of images computes.

pip install "kerastricks[labels,weights]" cleanvision==0.3.7

python benchmarks/data_check.py ZIP... [--images 5000] [--labels] [--seed 0]
"""

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path, PurePosixPath

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
from PIL import Image, ImageEnhance, ImageFilter

NEAR = ("recompressed", "resized", "cropped", "brightened")
COUNTS = {"exact": 200, "near": 200, "labels": 100, "blurred": 50, "black": 50, "truncated": 30}
PROGRAMS = ("kerastricks", "cleanvision")


def planted(archive, folder, images, seed):
    """Writes images of a zip with planted faults; gives pairs and names by fault."""
    generator = np.random.default_rng(seed)
    with zipfile.ZipFile(archive) as zipped:
        names = sorted(name for name in zipped.namelist() if name.endswith((".jpg", ".png")))
        names = [names[i] for i in np.sort(generator.permutation(len(names))[:images])]
        contents = {name: zipped.read(name) for name in names}
    scale = min(1.0, len(names) / 5000)
    counts = {fault: max(4, round(count * scale)) for fault, count in COUNTS.items()}
    classes = sorted({PurePosixPath(name).parent.name for name in names})
    chosen = iter(generator.permutation(names).tolist())
    truth = {fault: [] for fault in (*COUNTS, *NEAR)}
    for number, fault in enumerate(fault for fault, count in counts.items() for _ in range(count)):
        name = next(chosen)
        path = PurePosixPath(name)
        if fault == "labels":
            other = classes[(classes.index(path.parent.name) + 1 + number % (len(classes) - 1)) % len(classes)]
            moved = str(path.parent.parent / other / f"moved-{number}{path.suffix}")
            contents[moved] = contents.pop(name)
            truth[fault].append(moved)
        elif fault in ("exact", "near"):
            kind = NEAR[number % len(NEAR)] if fault == "near" else ""
            # Copies of the classes' own images, in either split.
            split = path.parts[0] if number % 3 else ("test" if path.parts[0] == "train" else "train")
            copy = str(PurePosixPath(split, *path.parts[1:-1], f"{fault}{kind}-{number}{path.suffix}"))
            contents[copy] = changed(contents[name], kind, generator) if kind else contents[name]
            for one in (fault, kind) if kind else (fault,):
                truth[one].append(tuple(sorted((name, copy))))
        else:
            contents[name] = changed(contents[name], fault, generator)
            truth[fault].append(name)
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return truth, len(contents)


def changed(data, how, generator):
    """An image file with one fault."""
    if how == "truncated":
        return data[: int(len(data) * generator.uniform(0.3, 0.8))]
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    quality = 90
    if how == "recompressed":
        quality = int(generator.choice([50, 60, 70]))
    elif how == "resized":
        factor = generator.uniform(0.6, 1.5)
        image = image.resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    elif how == "cropped":
        wide, high = round(width * 0.95), round(height * 0.95)
        left, top = generator.integers(width - wide + 1), generator.integers(height - high + 1)
        image = image.crop((left, top, left + wide, top + high))
    elif how == "brightened":
        image = ImageEnhance.Brightness(image).enhance(float(generator.choice([0.75, 1.25])))
    elif how == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(max(1.5, min(width, height) / 64)))
    elif how == "black":
        image = Image.fromarray(generator.integers(0, 4, (height, width, 3), "uint8"))  # no two are the same
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def run_kerastricks(folder, labels):
    """Groups and names that the check finds, and its seconds."""
    from kerastricks.data_check import check_data

    began = time.perf_counter()
    report = check_data(folder)
    seconds = time.perf_counter() - began

    def names(*kinds):
        return sorted({name for kind in kinds for one in report.of(kind) for name in one.files})

    def groups(prefix):
        return [one.files for kind in ("leak", "conflict", "duplicate") for one in report.of(f"{prefix}_{kind}")]

    found = {
        "exact": groups("exact"),
        "near": groups("near"),
        "blurred": names("blurred"),
        "black": names("blank", "dark"),
        "truncated": names("unreadable"),
    }
    if labels:
        began = time.perf_counter()
        report = check_data(folder, labels=True)
        seconds_of_labels = time.perf_counter() - began
        found["labels"] = names("suspect_label")
        print(f"with labels: {seconds_of_labels:.1f} s; {report.notes[0]}", file=sys.stderr)
    return found, seconds


def run_cleanvision(folder, labels):
    """The same of CleanVision; cleanlab's suspects are the check's own, which it computes."""
    from cleanvision import Imagelab

    began = time.perf_counter()
    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues(n_jobs=os.cpu_count(), verbose=False)
    seconds = time.perf_counter() - began

    def inside(name):
        return os.path.relpath(name, folder)

    def names(*issues):
        return sorted({inside(one) for issue in issues for one in lab.issues.index[lab.issues[f"is_{issue}_issue"]]})

    def groups(kind):
        return [[inside(one) for one in group] for group in lab.info[kind].get("sets", [])]

    return {
        "exact": groups("exact_duplicates"),
        "near": groups("near_duplicates"),
        "blurred": names("blurry"),
        "black": names("dark", "low_information"),
        "truncated": [],
    }, seconds


def measured(program, folder, labels):
    """Runs a program in a process of its own: what it found, seconds, and peak memory in MB."""
    result = folder.parent / f"{program}.json"
    command = [sys.executable, __file__, "--program", program, "--folder", str(folder), "--result", str(result)]
    process = subprocess.Popen([*command, *(["--labels"] if labels else [])], stderr=subprocess.PIPE, text=True)
    peak = [0]

    def watch():
        root = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                processes = [root, *root.children(recursive=True)]
                peak[0] = max(peak[0], sum(one.memory_info().rss for one in processes))
            except psutil.Error:
                pass
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    watcher.join()
    if process.returncode:
        return None, errors.strip().splitlines()[-1], peak[0] / 1e6
    said = [line for line in errors.splitlines() if line.startswith("with labels")]
    if said:
        print("\n".join(said), flush=True)
    found = json.loads(result.read_text())
    return found["found"], found["seconds"], peak[0] / 1e6


def scores(fault, truth, found):
    """Recall and precision: of pairs where copies are grouped, else of names."""
    wanted = {tuple(one) if isinstance(one, list | tuple) else one for one in truth}
    if fault in ("exact", "near"):
        had = {pair for group in found for pair in itertools.combinations(sorted(group), 2)}
    else:
        had = set(found)
    right = len(wanted & had)
    return right / len(wanted), right / len(had) if had else float("nan"), len(had)


def compare(archive, images, labels, seed):
    """Plants, runs both programs and prints a table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        truth, count = planted(archive, folder, images, seed)
        said = ", ".join(f"{name} {len(found)}" for name, found in truth.items() if name in COUNTS)
        print(f"\n{Path(archive).name}: {count:,} images, planted: {said}")
        rows = {program: measured(program, folder, labels) for program in PROGRAMS}
        if rows["cleanvision"][0] is None:
            # It stops at a file that cannot be decoded: once more without them.
            print(f"CleanVision stops at truncated files ({rows['cleanvision'][1]}); without them:")
            for name in truth["truncated"]:
                (folder / name).unlink()
            rows["cleanvision"] = measured("cleanvision", folder, labels)
        print(f"{'':22}" + "".join(f"{program:>36}" for program in PROGRAMS))
        for fault in COUNTS:
            cells = []
            for found, _, _ in rows.values():
                if found is None or fault not in found:
                    cells.append(f"{'-':>36}")
                    continue
                recall, precision, had = scores(fault, truth[fault], found[fault])
                cells.append(f"{f'recall {recall:.3f}, precision {precision:.3f} ({had})':>36}")
            print(f"{fault:22}{''.join(cells)}")
        for kind in NEAR:
            cells = [
                "-" if found is None else f"recall {scores('near', truth[kind], found['near'])[0]:.3f}"
                for found, _, _ in rows.values()
            ]
            print(f"  {kind:20}" + "".join(f"{cell:>36}" for cell in cells))
        rates = [count / seconds if found else float("nan") for found, seconds, _ in rows.values()]
        print(f"{'images/s':22}" + "".join(f"{rate:>36,.0f}" for rate in rates))
        print(f"{'peak memory, MB':22}" + "".join(f"{memory:>36,.0f}" for _, _, memory in rows.values()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="*", metavar="ZIP", help="train/CLASS/*.jpg and test/CLASS/*.jpg inside")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--labels", action="store_true", help="wrong labels too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.program is None:
        for archive in given.archives:
            compare(archive, given.images, given.labels, given.seed)
        return
    if given.program == "kerastricks":
        import kerastricks.data_check.checking
        import kerastricks.data_check.near_pairs  # noqa: F401  its time is not that of the check

        found, seconds = run_kerastricks(given.folder, given.labels)
    else:
        found, seconds = run_cleanvision(given.folder, given.labels)
    given.result.write_text(json.dumps({"found": found, "seconds": seconds}))


if __name__ == "__main__":
    main()
