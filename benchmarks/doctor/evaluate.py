"""The doctor's figures, on trainings that it was not learned from, beside its peers.

    python benchmarks/doctor/evaluate.py benchmarks/doctor/corpus.npz [--histories histories.zip]

States of the learning rate are held out by data set and by network: tables are learned from the others. The rules of
fit are written by hand; their thresholds were chosen on digits and fashion-mnist, so CIFAR-10 and clothes are held out.
Peers: the largest class, guessing by its frequency, "only what is not finite is wrong", the gap between training and
validation loss against a threshold, a time-series forest (means, deviations and slopes of random intervals, as in the
study of Li et al., arXiv 2401.10359) learned from the same runs, and sk-autod, where it is installed.
"""

import argparse
import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from corpus import Run, advice_steps, fit_states, helped, key, load, rate_groups, rate_states, small_batches
from learn import Learner, fit_batches
from peers import autod, held_out_forest, sk_autod
from sklearn.metrics import confusion_matrix, f1_score

from kerastricks.doctor import Diagnosis, batch_rules, diagnose, rate_rules, read_log
from kerastricks.doctor.failure_rules import divergence_of, first_not_finite
from kerastricks.doctor.finding import SURE
from kerastricks.doctor.measures import measure
from kerastricks.doctor.rate_rules import STATES, rate_values

AUTOD_STATES = {"Exploding gradient": "much_too_high", "LR too high": "too_high", "LR too low": "too_low"}


def f1(truth: Sequence[str], found: Sequence[str]) -> str:
    return f"{f1_score(truth, found, average='macro', zero_division=0):.3f}"


def matrix(truth: np.ndarray, found: np.ndarray, labels: Sequence[str]) -> str:
    counts = confusion_matrix(truth, found, labels=labels)
    head = f"| is \\ found | {' | '.join(labels)} |\n|---|{'---|' * len(labels)}"
    rows = [
        f"| {label} | {' | '.join(str(count) for count in row)} |" for label, row in zip(labels, counts, strict=True)
    ]
    return "\n".join([head, *rows])


def rates(runs: Sequence[Run]) -> None:
    states = rate_states(runs)
    chosen = sorted(states)
    own = [runs[index] for index in chosen]
    truth = np.array([states[index] for index in chosen])
    data = np.array([run.data for run in own])
    family = np.array([run.family for run in own])
    print(f"\n## Learning-rate state: {len(own)} runs, {dict(Counter(truth.tolist()))}\n")
    print("| macro F1 | data sets held out | networks held out |\n|---|---|---|")
    for knows in (True, False):
        learner = Learner(own, truth.tolist(), knows)
        for place, form in enumerate(("losses of steps and epochs", "losses of epochs")):
            row = [np.array(STATES)[learner.held_out(groups, place).argmax(axis=1)] for groups in (data, family)]
            name = f"kerastricks, {form}, optimizer {'known' if knows else 'not known'}"
            print(f"| {name} | {f1(truth, row[0])} | {f1(truth, row[1])} |")
            if knows and place == 0:
                shown = row
    random = np.random.default_rng(0)
    most = Counter(truth.tolist()).most_common(1)[0][0]
    peers = {
        "the largest class": np.full_like(truth, most),
        "guessing by frequency": random.permutation(truth),
        "only what is not finite is much too high": np.array(
            ["good" if run.finite else "much_too_high" for run in own]
        ),
    }
    if sk_autod is not None:
        peers["sk-autod 0.1.1"] = np.array(
            [next((AUTOD_STATES[name] for name in autod(run) if name in AUTOD_STATES), "good") for run in own]
        )
    for name, found in peers.items():
        print(f"| {name} | {f1(truth, found)} | {f1(truth, found)} |")
    forests = [held_out_forest(own, truth, groups) for groups in (data, family)]
    print(f"| time-series forest | {f1(truth, forests[0])} | {f1(truth, forests[1])} |")
    for name, found in zip(("data sets", "networks"), shown, strict=True):
        print(f"\n{name} held out, optimizer known, losses of steps and epochs:\n\n{matrix(truth, found, STATES)}")
    alarms_and_advice(runs, own, chosen, truth, data)


def held_out_diagnoses(own: Sequence[Run], truth: np.ndarray, groups: np.ndarray) -> list[Diagnosis]:
    """Whole diagnoses, each with a table that was learned without the run's group."""
    learner = Learner(own, truth.tolist(), True)
    found: list[Diagnosis] = [None] * len(own)  # type: ignore[list-item]
    for group in np.unique(groups):
        table = learner.fit(np.flatnonzero(groups != group))
        with patch.object(rate_rules, "read_table", lambda name, table=table: table):
            for index in np.flatnonzero(groups == group):
                found[index] = diagnose(own[index].log)
    return found


def alarms_and_advice(
    runs: Sequence[Run], own: Sequence[Run], chosen: Sequence[int], truth: np.ndarray, data: np.ndarray
) -> None:
    diagnoses = held_out_diagnoses(own, truth, data)
    good = truth == "good"
    severe = [[one for one in each.findings if one.severity in ("critical", "warning")] for each in diagnoses]
    of_rate = good & np.array([any(one.code.startswith("lr_") for one in each) for each in severe])
    failed = good & np.array([any(one.severity == "critical" for one in each) for each in severe])
    print(f"\n## Alarms (confidence from {SURE} on), data sets held out\n")
    share = of_rate.mean() / good.mean()
    print(f"- of {good.sum()} runs at a good rate, {of_rate.sum()} get a warning about it: {share:.1%}")
    print(f"- and {failed.sum()} any finding that is critical: {failed.mean() / good.mean():.1%}")
    of_batch = good & np.array([each.find("batch_too_small") is not None for each in diagnoses])
    print(f"- and {of_batch.sum()} the finding, or note, that the batch is too small")
    groups = rate_groups(runs)
    factors = advice_steps(runs, dict(zip(chosen, truth, strict=True)))
    print(f"\n## Advice about the rate followed, data sets held out (factors {factors})\n")
    print("| finding | sure | followed | better |\n|---|---|---|---|")
    total = Counter()
    for code in ("lr_too_low", "lr_too_high", "lr_much_too_high", "diverged", "nan", "class_collapse"):
        for sure in (True, False):
            tried = []
            for index, each in zip(chosen, diagnoses, strict=True):
                one = each.find(code)
                if one is None or (one.confidence >= SURE) != sure or "learning_rate" not in one.change:
                    continue
                better = helped(runs, groups, index, one.change["learning_rate"] / runs[index].meta["rate"])
                tried += [] if better is None else [better]
            if tried:
                total[sure, "tried"] += len(tried)
                total[sure, "better"] += sum(tried)
                print(f"| `{code}` | {'yes' if sure else 'no'} | {len(tried)} | {np.mean(tried):.0%} |")
    for sure in (True, False):
        if total[sure, "tried"]:
            share = total[sure, "better"] / total[sure, "tried"]
            print(f"| all | {'yes' if sure else 'no'} | {total[sure, 'tried']} | {share:.0%} |")


def fit_state(found: Diagnosis) -> str:
    if found.find("overfitting"):
        return "overfitting"
    under = ("underfitting", "stopped_early", "lr_too_low")
    return "underfitting" if any(found.find(code) for code in under) else "neither"


def fits(runs: Sequence[Run]) -> None:
    states = fit_states(runs)
    labels = ["overfitting", "underfitting", "neither"]
    for name, chosen in (
        (
            "digits, fashion-mnist (thresholds were chosen on them)",
            [index for index in states if runs[index].data in ("digits", "fashion")],
        ),
        ("CIFAR-10, clothes (held out)", [index for index in states if runs[index].data in ("cifar10", "clothing")]),
    ):
        if not chosen:
            continue
        truth = np.array([states[index] for index in chosen])
        found = np.array([fit_state(diagnose(runs[index].log)) for index in chosen])
        print(f"\n## Fit: {name}: {len(chosen)} runs\n\nkerastricks: macro F1 {f1(truth, found)}\n")
        print(f"{matrix(truth, found, labels)}\n")
        gap = np.array(
            [
                "overfitting" if runs[index].log.val_loss[-1] > 1.2 * runs[index].log.loss[-1] else "neither"
                for index in chosen
            ]
        )
        most = Counter(truth.tolist()).most_common(1)[0][0]
        print(f"gap of 20 %: {f1(truth, gap)}; the largest class: {f1(truth, np.full_like(truth, most))}")
        if sk_autod is not None:
            names = [autod(runs[index]) for index in chosen]
            peer = np.array(
                [
                    "overfitting"
                    if "Classic overfitting" in one
                    else "underfitting"
                    if "Underfitting" in one
                    else "neither"
                    for one in names
                ]
            )
            print(f"sk-autod: {f1(truth, peer)}")


def fit_advice(runs: Sequence[Run]) -> None:
    """Whether what a finding about fit advises lowers the validation loss, for the run of the same seed."""
    remedies = {"overfitting": ("earlier", "regularized"), "underfitting": ("wider",), "stopped_early": ("longer",)}
    at = {
        (key(run.meta["base"]), run.meta["remedy"], run.meta["seed"]): run.loss
        for run in runs
        if run.meta["part"] == "fit"
    }
    print("\n## Advice about fit followed, all data sets\n")
    print("| finding | advice | followed | better |\n|---|---|---|---|")
    for code, advised in remedies.items():
        for remedy in advised:
            tried = []
            for run in runs:
                if run.meta["part"] != "fit" or run.meta["remedy"] or diagnose(run.log).find(code) is None:
                    continue
                other = at.get((key(run.meta["base"]), remedy, run.meta["seed"]))
                if remedy == "earlier":
                    other = float(run.log.val_loss[int(diagnose(run.log).find(code).span[0]) - 1])
                tried += [] if other is None else [other < run.loss]
            if tried:
                print(f"| `{code}` | {remedy} | {len(tried)} | {np.mean(tried):.0%} |")


def batches(runs: Sequence[Run]) -> None:
    small = small_batches(runs)
    chosen = sorted(small)
    own, truth = [runs[index] for index in chosen], np.array([small[index] for index in chosen])
    data, family = (np.array([getattr(run, name) for run in own]) for name in ("data", "family"))
    sizes = np.array([run.meta["setting"]["batch"] for run in own])
    print(f"\n## Batch too small: {len(own)} runs, {truth.sum()} are\n")
    print("| F1 | data sets held out | networks held out |\n|---|---|---|")
    of_rates = rate_states(runs)
    rated = [runs[index] for index in sorted(of_rates)]
    learner = Learner(rated, [of_rates[index] for index in sorted(of_rates)])
    shown = [
        held_out_batches(own, truth, groups, learner, np.array([getattr(run, name) for run in rated]))
        for name, groups in (("data", data), ("family", family))
    ]
    for variant, name in enumerate(("batch known", "batch not known")):
        print(f"| kerastricks, {name} | {' | '.join(f'{f1_score(truth, one[variant]):.3f}' for one in shown)} |")
    bands = np.array([measure(run.log).band for run in own])
    peers = {
        "widest bands, the threshold chosen on the others": [
            held_out_threshold(bands, truth, one) for one in (data, family)
        ],
        "batches of 2, the smallest": [sizes == 2] * 2,
        "all": [np.ones(len(own), bool)] * 2,
    }
    for name, (by_data, by_family) in peers.items():
        print(f"| {name} | {f1_score(truth, by_data):.3f} | {f1_score(truth, by_family):.3f} |")
    answers = np.array(["large enough", "too small"])
    print(f"\ndata sets held out:\n\n{matrix(answers[truth * 1], answers[shown[0][0] * 1], answers)}")


def held_out_batches(
    own: Sequence[Run], truth: np.ndarray, groups: np.ndarray, learner: Learner, of_rates: np.ndarray
) -> np.ndarray:
    """(2, runs) whether the batch, known and not, is found to be too small; learned without the run's group."""
    found = np.zeros((2, len(own)), bool)
    for group in np.unique(groups):
        table = learner.fit(np.flatnonzero(of_rates != group))
        others, inside = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        fitted = fit_batches([own[index] for index in others], truth[others], table)
        with patch.object(batch_rules, "tables_record", lambda fitted=fitted: fitted):
            for index in inside:
                log = own[index].log
                probabilities = table.probabilities(rate_values(log, measure(log)))
                for variant, one in enumerate((log, replace(log, batch_size=None))):
                    evidence = batch_rules.batch_evidence(one, probabilities)
                    found[variant, index] = batch_rules.probability_too_small(evidence) >= 0.5
    return found


def held_out_threshold(values: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Whether a value is above the threshold of the best F1 on the other groups."""
    values = np.nan_to_num(values)
    found = np.zeros(len(values), bool)
    for group in np.unique(groups):
        others = groups != group
        best = max(np.unique(values[others]), key=lambda cut: f1_score(truth[others], values[others] >= cut))
        found[~others] = values[~others] >= best
    return found


def divergences(runs: Sequence[Run]) -> None:
    """How long after a loss left for good the log up to there says so, as a share of the planned steps.

    A run diverged if it was not finite, or ended at more than 1.5 times the loss of its first step or of guessing. It
    began with the first of the steps from which on the mean of ten stays above that.
    """
    late, missed, false, early = [], 0, 0, 0
    for run in runs:
        losses = run.log.step_loss
        level = 1.5 * max(losses[0], np.log(run.meta["classes"]))
        tail = losses[-max(len(losses) // 10, 1) :]
        divergence, _ = divergence_of(run.log)
        if run.finite and tail.mean() <= level:
            learned = run.finite and tail.mean() < 0.7 * level / 1.5
            false += learned and diagnose(run.log).find("diverged") is not None
            early += learned and divergence is not None
            continue
        broken = first_not_finite(run.log)
        ends = ([divergence.seen] if divergence else []) + ([broken[0]] if broken and broken[1] else [])
        if not ends:
            missed += 1
            continue
        means = np.convolve(np.where(np.isfinite(losses), losses, 1e9), np.ones(10) / 10)[: len(losses)]
        means[:9] = losses[:9]
        fine = np.flatnonzero(means[: min(ends) + 1] <= level)
        began = int(fine[-1]) + 1 if len(fine) else 0
        planned = len(losses) / max(len(run.log.epochs), 1) * run.meta["setting"]["epochs"]
        late.append(max(min(ends) - began, 0) / planned)
    shares = np.array(late)
    within = (shares <= 0.05).sum() / max(len(late) + missed, 1)
    print(f"\n## Divergence: {len(late) + missed} runs\n")
    print(
        f"- recognised within 5 % of the run after it began: {within:.1%} (median {np.median(shares):.1%} of the run)"
    )
    print(f"- not recognised: {missed}; runs that learned and are called diverged: {false}; while they ran: {early}")


def histories(path: Path) -> None:
    truth, found, gap, peer = [], [], [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".csv"):
                continue
            rows = np.genfromtxt(io.BytesIO(archive.read(name)), delimiter=",", names=True)
            log = read_log({"loss": rows["loss"].tolist(), "val_loss": rows["val_loss"].tolist()})
            truth.append("not_overfitting" not in name)
            found.append(diagnose(log).find("overfitting") is not None)
            gap.append(log.val_loss[-1] > 1.2 * log.loss[-1])
            if sk_autod is not None:
                peer.append(
                    "Classic overfitting"
                    in [
                        one.detector_name
                        for one in sk_autod.diagnose(log.loss.tolist(), log.val_loss.tolist()).findings
                    ]
                )
    print(f"\n## Overfitting on {len(truth)} histories of the study\n")
    print(f"F1 {f1_score(truth, found):.3f}; gap of 20 %: {f1_score(truth, gap):.3f}")
    if peer:
        print(f"sk-autod: {f1_score(truth, peer):.3f}")
    print(confusion_matrix(truth, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--histories", type=Path)
    arguments = parser.parse_args()
    runs = load(arguments.corpus)
    parts, sets = Counter(run.meta["part"] for run in runs), Counter(run.data for run in runs)
    print(f"{len(runs)} runs: {dict(parts)}, {dict(sets)}")
    rates(runs)
    fits(runs)
    fit_advice(runs)
    batches(runs)
    divergences(runs)
    if arguments.histories:
        histories(arguments.histories)


if __name__ == "__main__":
    main()
