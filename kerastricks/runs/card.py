"""card.md, the description of a trained model, and curves.png, its loss and accuracy."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from kerastricks.files import read_json_lines
from kerastricks.metrics.class_balance import describe_shots, is_uneven
from kerastricks.plotting import new_figure, save_figure, style_axes
from kerastricks.runs.finetuning_report import FinetuningReport
from kerastricks.runs.rebalancing_report import RebalancingReport
from kerastricks.runs.record import Summary
from kerastricks.runs.reports import EnsembleReport, QualityReport


def card(name: str, summary: Summary, config: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        name: of the run.
        summary: of the run.
        config: fields of its configuration that are shown.
    """
    trained = summary.training_counts()
    recall = "\n".join(
        f"| {_text(label)} |{'' if trained is None else f' {trained[index]} |'} {images} "
        f"| {'-' if value is None else f'{value:.1%}'} |"
        for index, ((label, value), images) in enumerate(
            zip(summary.recall.items(), summary.images_by_class(), strict=True)
        )
    )
    data, shape = summary.data, summary.data["image_shape"]
    fields = "\n".join(f"| `{key}` | {_code(value)} |" for key, value in config.items())
    versions = ", ".join(f"{package} {version}" for package, version in summary.versions.items())
    return f"""# {_text(name)}

{_code(summary.model)}, {summary.parameters:,} weights, for {len(summary.class_names)} classes of \
{shape[0]}x{shape[1]} {"grey" if shape[2] == 1 else "RGB"} images.
Trained on {data["images"]["train"]:,} images of {_text(data["name"])} in {summary.training_seconds:.0f} s on \
{summary.device}.

On {summary.images:,} test images: accuracy **{summary.accuracy:.2%}**, balanced accuracy \
{summary.balanced_accuracy:.2%}, {_macro_f1(summary)}log-loss {summary.log_loss:.3f}.
{_shots(summary)}One run, seed {config["seed"]}: the spread over seeds is not known from it.

{_pictures(summary)}

| class |{"" if trained is None else " training images |"} test images | recall |
|---|{"" if trained is None else "---|"}---|---|
{recall}

## Use

```python
import kerastricks, keras

model = keras.models.load_model("model.keras")  # pixels 0-255, {tuple(shape)}, to probabilities
```

{_code(f"kerastricks predict {shlex.quote(name)} image.jpg")}, or serve this folder with TensorFlow Serving:
`serving_default` takes encoded images (`bytes`), `tensor` takes pixels (`images`), and
`classify` serves the Classify API.

## How it was made

{_how(summary)}

| field | value |
|---|---|
{fields}

{data["skipped"]} files were left out. Data fingerprint `{data["fingerprint"]}`. {versions}.
"""


def _text(name: object) -> str:
    """Escape a name of any characters for Markdown, also inside a line or a cell of a table."""
    text = str(name).encode(errors="backslashreplace").decode()
    text = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"([\\`*\[\]<>#|$~]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _code(value: object) -> str:
    """Format a span of code for a cell of a table."""
    text = str(value).encode(errors="backslashreplace").decode()
    text = "".join(character if character.isprintable() else " " for character in text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


def _macro_f1(summary: Summary) -> str:
    return "" if summary.macro_f1 is None else f"macro F1 {summary.macro_f1:.2%}, "


def _shots(summary: Summary) -> str:
    """The line about many-shot, medium-shot and few-shot classes, where the classes are unevenly filled."""
    trained = summary.training_counts()
    if trained is None or summary.shots is None or not is_uneven(trained):
        return ""
    return f"Mean recall by training images: {describe_shots(summary.shots, trained)}.\n"


def _pictures(summary: Summary) -> str:
    pictures = ["![loss and accuracy](curves.png)"] if summary.epochs else []
    if summary.finetuning is not None:
        pictures.append("![features of each level, and the stages](finetune.png)")
    if summary.ensemble is not None:
        pictures.append("![quality against latency, and what each way of combining gains](ensemble.png)")
    return "\n\n".join(pictures)


def _how(summary: Summary) -> str:
    if summary.ensemble is not None:
        return _how_combined(summary.ensemble)
    if summary.rebalancing is not None:
        return _how_rebalanced(summary.rebalancing)
    report = summary.finetuning
    if report is None:
        return "`kerastricks train` with"
    choice = report.choice
    reasons = "\n".join(f"- {reason}" for reason in choice.reasons)
    changes = "\n".join(f"- {change}" for change in choice.would_change)
    by_class = report.validation_balanced_accuracy is not None
    stages = "\n".join(
        f"| {stage.name} | {stage.parameters:,} | {stage.epochs} | {stage.seconds:.0f} "
        f"| {stage.validation_accuracy:.1%} |"
        + (f" {stage.validation_balanced_accuracy or 0:.1%} |" if by_class else "")
        for stage in report.stages
    )
    given = " (given)" if choice.given else ""
    tried = _tried(report)
    column, line = (" balanced |", "---|") if by_class else ("", "")
    return f"""`kerastricks finetune`: {report.backbone} with weights from {report.weights}, \
plan **{choice.strategy}**{given}:

{reasons}

The table of amount and similarity would say another plan with

{changes}
{tried}
| stage | weights that learned | epochs | s | validation accuracy |{column}
|---|---|---|---|---|{line}
{stages}

Linear probe on the top features: {report.linear_probe_validation_accuracy:.1%} on validation. \
Kept: {report.kept}, {report.validation_accuracy:.1%}.{_by_class(report)}

The configuration was"""


def _by_class(report: FinetuningReport) -> str:
    """The balanced accuracies, and which classes are well-filled and rare, where epochs were compared by them."""
    if report.validation_balanced_accuracy is None:
        return ""
    probe = report.linear_probe_validation_balanced_accuracy or 0.0
    lines = [
        f" Epochs were compared by balanced accuracy: {report.validation_balanced_accuracy:.1%} was kept, the linear "
        f"probe has {probe:.1%}."
    ]
    for part, names in (report.parts or {}).items():
        lines.append(f"\n\n{part.replace('_', '-').capitalize()} classes: {', '.join(map(_text, names))}.")
    return "".join(lines)


def _tried(report: FinetuningReport) -> str:
    """The table of strategies compared on validation, where one was chosen."""
    if not report.tried or report.budget_seconds is None:
        return ""
    rows = "\n".join(
        f"| {one.strategy} | {one.rung} | {one.steps:,} | {one.seconds:.0f} | {{:.1%}} ({{:.1%}} to {{:.1%}}) |".format(
            *one.validation_accuracy
        )
        for one in report.tried
    )
    verdicts = "\n".join(f"- {name}: {verdict}" for name, verdict in (report.verdicts or {}).items())
    return f"""
Chosen by validation within {report.budget_seconds:.0f} s, of which {report.seconds:.0f} s were used:

| plan | | steps | s | validation accuracy (90 % interval) |
|---|---|---|---|---|
{rows}

{verdicts}
"""


def _how_combined(report: EnsembleReport) -> str:
    rows = "\n".join(
        f"| {_text(member.name)} | {'-' if member.weight is None else format(member.weight, '.3f')} "
        f"| {'features | alone' if member.test is None else _quality(member.test)} |"
        for member in report.members
    )
    unknown = "".join(f"\n- {_text(line)}" for line in report.unknown)
    return f"""`kerastricks ensemble`, method **{report.method}**: {report.reason}

| member | weight | test accuracy | test log-loss |
|---|---|---|---|
{rows}

{_compared(report)}
{unknown}

The images were loaded with"""


def _how_rebalanced(report: RebalancingReport) -> str:
    metric = report.metric.replace("_", " ")
    candidates = "\n".join(
        f"| {one.method} | {'-' if one.tau is None else format(one.tau, 'g')} | {one.cross_fitted:.2%} "
        f"| {one.gain.value:.2%} ({one.gain.low:.2%} to {one.gain.high:.2%}) |"
        for one in report.candidates
    )
    recall = "\n".join(
        f"| {_text(name)} | {images:,} | {_share(report.test_before.recall[name])} "
        f"| {_share(report.test_after.recall[name])} |"
        for name, images in report.training_images.items()
    )
    before, after = report.test_before, report.test_after
    return f"""{_code(f"kerastricks rebalance {shlex.quote(report.run)}")}, method **{report.method}**: {report.reason}.

| method | tau | {metric} on validation, cross-fitted | gain (90 % interval) |
|---|---|---|---|
{candidates}

On test, before and after: balanced accuracy {before.balanced_accuracy:.2%}, {after.balanced_accuracy:.2%}; \
accuracy {before.accuracy:.2%}, {after.accuracy:.2%}; macro F1 {before.macro_f1:.2%}, {after.macro_f1:.2%}.

| class | training images | recall before | after |
|---|---|---|---|
{recall}

The images were loaded with"""


def _share(recall: float | None) -> str:
    return "-" if recall is None else f"{recall:.1%}"


def _quality(test: QualityReport) -> str:
    return f"{test.accuracy:.2%} | {test.log_loss:.3f}"


def _compared(report: EnsembleReport) -> str:
    gain = report.gain_over_best
    if gain is None:
        return "No member tells these classes apart by itself."
    disagree = "" if report.disagreement is None else f" Members disagree on {report.disagreement:.1%} of the images."
    best = _text(report.best_member)
    own = ", at its own temperature" if report.at_own_temperature else ""
    return f"""Log-loss on test below that of {best}, the best member on validation{own}: \
{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f}, 90 % interval over images).{disagree}"""


_TRAINING, _VALIDATION, _BATCH = "#1f77b4", "#d62728", "#b5cfe8"


def plot_curves(metrics: Path, batch_loss: Path, target: Path, title: str) -> None:
    """Plot the loss of every batch and epoch on the left, accuracy and learning rate on the right.

    Args:
        metrics: metrics.jsonl.
        batch_loss: batch_loss.f32.
        target: the PNG.
        title: above it.
    """
    lines = read_json_lines(metrics)
    epochs = [line["epoch"] for line in lines]
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)

    losses = np.fromfile(batch_loss, "<f4")
    if len(losses) and lines:
        steps_per_epoch = lines[-1]["step"] / lines[-1]["epoch"]
        left.plot(np.arange(1, len(losses) + 1) / steps_per_epoch, losses, color=_BATCH, lw=0.6, label="each batch")
    marker = "o" if len(epochs) < 30 else None
    # The mean over an epoch belongs to its middle, a validation to its end.
    middles = [epoch - 0.5 for epoch in epochs]
    left.plot(middles, [line["loss"] for line in lines], color=_TRAINING, marker=marker, ms=3, label="training")
    left.plot(epochs, [line["val_loss"] for line in lines], color=_VALIDATION, marker=marker, ms=3, label="validation")
    left.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, _loss_limit(losses, lines)))
    left.legend(frameon=False)

    right.plot(middles, [line["accuracy"] for line in lines], color=_TRAINING, marker=marker, ms=3, label="training")
    right.plot(
        epochs, [line["val_accuracy"] for line in lines], color=_VALIDATION, marker=marker, ms=3, label="validation"
    )
    right.set(xlabel="epoch", ylabel="accuracy", ylim=(None, 1.02))
    rate = right.twinx()
    rate.plot(epochs, [line["learning_rate"] for line in lines], color="0.6", ls=":", label="learning rate")
    rate.set_ylabel("learning rate", color="0.5")
    rate.set_ylim(bottom=0)
    right.legend(frameon=False, loc="best")
    for axes in (left, right):
        style_axes(axes, hidden=["top"])
    style_axes(rate, grid=None, hidden=["top"])
    figure.suptitle(title)
    save_figure(figure, target)


def _loss_limit(losses: np.ndarray, lines: list[dict]) -> float:
    """The upper limit of the axis: above all but the first few batches, which may be far higher."""
    seen = [line[name] for line in lines for name in ("loss", "val_loss")]
    if len(losses):
        seen.append(float(np.percentile(losses, 99.5)))
    return 1.05 * max(seen, default=1.0)
