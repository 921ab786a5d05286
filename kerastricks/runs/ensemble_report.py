"""The report of an ensemble in summary.json, scores and costs of ensemble and members, and its plot, ensemble.png."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.data.image_data import ImageData
from kerastricks.ensemble.build import EnsembleResult, EnsembleSettings
from kerastricks.ensemble.combination import tempered
from kerastricks.ensemble.cost import costs
from kerastricks.ensemble.stacking import fit_temperature
from kerastricks.keras_graph import with_probabilities
from kerastricks.metrics.bootstrap import bootstrap_mean
from kerastricks.metrics.calibration import disagreement, log_losses, mean_disagreement, quality
from kerastricks.plotting import new_figure, save_figure, style_axes
from kerastricks.progress import Progress
from kerastricks.runs.ensemble_data import predict_split
from kerastricks.runs.members import RunMember
from kerastricks.runs.reports import (
    CandidateReport,
    ChosenOn,
    CombinedReport,
    EnsembleReport,
    GainReport,
    MemberReport,
    MemberScores,
    QualityReport,
)


def measured(
    opened: Sequence[RunMember],
    knowing: Sequence[str],
    made: EnsembleResult,
    settings: EnsembleSettings,
    images: ImageData,
    validation: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    progress: Progress,
    *,
    left_out: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> EnsembleReport:
    """Measure scores and costs of the members and of the ensemble on the test images.

    Args:
        opened: the M members.
        knowing: names of those S that tell the classes of the data apart; the others give features alone, and have no
            scores.
        made: of them.
        settings: it was made with. Where they allow temperatures, gains are over members at their own; else over
            members as they are.
        images: what it is measured with.
        validation: (S, N, K) log-probabilities of the validation images.
        labels: (N,) of these.
        test: (S, N_test, K) log-probabilities of the test images.
        progress: where long work shows how far it is.
        left_out: a line for each member that could not be opened.
        unknown: a line for each whose training images are not known.

    Returns:
        The report; what compares is None where S is 0.
    """
    test_labels = images.labels("test")
    combined = predict_split(made.model, images, "test", progress)
    models = {one.member.name: with_probabilities(one.member.model) for one in opened}
    spent = {name: asdict(cost) for name, cost in costs({**models, "": made.model}).items()}
    # A temperature needs no ensemble: what it gains is no gain of combining.
    scaled = [tempered(rows, fit_temperature(own, labels)) for own, rows in zip(validation, test, strict=True)]
    scores = {
        name: MemberScores(
            validation=_quality(np.exp(on_validation), labels),
            test=_quality(np.exp(on_test), test_labels),
            test_at_own_temperature=_quality(np.exp(at_own_temperature), test_labels),
        )
        for name, on_validation, on_test, at_own_temperature in zip(knowing, validation, test, scaled, strict=True)
    }
    members = [
        _member(one, place, made, scores.get(one.member.name), spent[one.member.name])
        for place, one in enumerate(opened)
    ]
    report = EnsembleReport(
        asked=settings.method,
        method=made.method,
        reason=made.reason,
        chosen_on=ChosenOn(data=images.name, fingerprint=images.fingerprint, images=len(labels)),
        temperatures=settings.may_scale,
        members=tuple(members),
        combined=CombinedReport(test=_quality(combined, test_labels), **spent[""]),
        mean_member=None,
        best_member=None,
        gain_over_mean=None,
        gain_over_best=None,
        disagreement=None,
        disagreements=None,
        candidates=tuple(CandidateReport.from_json(one.to_json()) for one in made.candidates),
        left_out=tuple(left_out),
        unknown=tuple(unknown),
    )
    if not scores:
        return report
    losses = np.stack([log_losses(np.exp(one), test_labels) for one in (scaled if settings.may_scale else test)])
    own = log_losses(combined, test_labels)
    best = int(np.argmin([of.validation.log_loss for of in scores.values()]))
    return replace(
        report,
        mean_member=_mean(list(scores.values())),
        best_member=knowing[best],
        gain_over_mean=_gain(losses.mean(axis=0), own),
        gain_over_best=_gain(losses[best], own),
        disagreement=mean_disagreement(test) if len(test) > 1 else None,
        disagreements=tuple(map(tuple, disagreement(test).round(4).tolist())),
    )


def _member(
    one: RunMember, place: int, made: EnsembleResult, scores: MemberScores | None, spent: dict[str, Any]
) -> MemberReport:
    return MemberReport(
        name=one.member.name,
        path=str(one.path),
        weight=None if made.weights is None else made.weights[place],
        temperature=None if made.temperatures is None else made.temperatures[place],
        validation=None if scores is None else scores.validation,
        test=None if scores is None else scores.test,
        test_at_own_temperature=None if scores is None else scores.test_at_own_temperature,
        training_seconds=round(one.training_seconds, 1),
        **spent,
    )


def _quality(probabilities: np.ndarray, labels: np.ndarray) -> QualityReport:
    return QualityReport.from_json(quality(probabilities, labels))


def _mean(scores: Sequence[MemberScores]) -> MemberScores:
    def mean(found: Sequence[QualityReport]) -> QualityReport:
        rows = [one.to_json() for one in found]
        return QualityReport.from_json({name: float(np.mean([row[name] for row in rows])) for name in rows[0]})

    return MemberScores(
        validation=mean([one.validation for one in scores]),
        test=mean([one.test for one in scores]),
        test_at_own_temperature=mean([one.test_at_own_temperature for one in scores]),
    )


def _gain(before: np.ndarray, after: np.ndarray) -> GainReport:
    """Reduction of the log-loss on test, with its 90 % interval over images, and as a share."""
    return GainReport(**asdict(bootstrap_mean(before - after)), share=float(1 - after.mean() / before.mean()))


_MEMBER, _RESULT, _CANDIDATE, _NOISE = "#1f77b4", "#d62728", "0.35", "0.6"


def plot_ensemble(report: EnsembleReport, target: Path, title: str) -> None:
    """Plot quality against latency on the left, and the gain of each combination on validation on the right.

    Args:
        report: of an ensemble.
        target: the PNG.
        title: above it.
    """
    figure = new_figure(10 if report.candidates else 6, 4)
    left, right = figure.subplots(1, 2) if report.candidates else (figure.subplots(), None)
    _quality_against_latency(left, report)
    if right is not None:
        _gains(right, report.candidates, report.method)
    figure.suptitle(title)
    save_figure(figure, target)


def _quality_against_latency(axes: Any, report: EnsembleReport) -> None:
    result = report.combined
    own = " at their own temperatures" if report.at_own_temperature else ""
    found = [(member, _shown(member, report)) for member in report.members]
    members = [(member, shown.log_loss) for member, shown in found if shown is not None]
    if members:
        axes.scatter(
            [member.latency_ms for member, _ in members],
            [log_loss for _, log_loss in members],
            color=_MEMBER,
            label=f"{len(members)} members{own}" if len(members) > 1 else members[0][0].name,
        )
    axes.scatter(result.latency_ms, result.test.log_loss, color=_RESULT, marker="D", label=report.method)
    mean = None if report.mean_member is None else _shown(report.mean_member, report)
    if mean is not None:
        axes.axhline(mean.log_loss, color=_NOISE, ls=":", lw=1, label="mean member")
    axes.set_xscale("log")
    _few_ticks(axes)
    axes.set(xlabel="latency of one image (ms)", ylabel="log-loss on test (nats)", title="quality against latency")
    style_axes(axes)
    latencies = [*(member.latency_ms for member, _ in members), result.latency_ms]
    axes.set_xlim(min(latencies) / 1.7, max(latencies) * 1.7)  # members of one latency are not spread over the axis
    axes.margins(y=0.25)
    # Below: inside it would lie on a point sooner or later.
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=8)


def _shown(scores: MemberReport | MemberScores, report: EnsembleReport) -> QualityReport | None:
    """The test scores that gains are compared with."""
    return scores.test_at_own_temperature if report.at_own_temperature else scores.test


def _few_ticks(axes: Any) -> None:
    """Set ticks of a logarithmic axis: over less than a decade it would have none."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _gains(axes: Any, candidates: Sequence[CandidateReport], chosen: str) -> None:
    for place, candidate in enumerate(reversed(candidates)):
        gain = candidate.gain
        colour = _RESULT if candidate.method == chosen else _CANDIDATE
        axes.plot([gain.low, gain.high], [place, place], color=colour, lw=2)
        axes.plot(gain.value, place, color=colour, marker="o")
    axes.set_yticks(range(len(candidates)), [candidate.method for candidate in reversed(candidates)])
    axes.axvline(0, color=_NOISE, ls=":", lw=1)
    axes.set(
        xlabel="log-loss below the best single member (nats)",
        title="gain on validation, out of fold (90 % interval)",
    )
    style_axes(axes, grid="x")
