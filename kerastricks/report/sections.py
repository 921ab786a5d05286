"""Parts of a report's page about one run: tiles, findings, confusions, classes, pictures, configuration."""

from collections.abc import Sequence
from html import escape
from typing import Any

from kerastricks.charts.matrix import matrix_svg
from kerastricks.charts.page import fact_list, plain_text, tile
from kerastricks.charts.table import Cell, html_table, number
from kerastricks.doctor.finding import Finding
from kerastricks.metrics.class_balance import imbalance_ratio, is_uneven, shot_rows
from kerastricks.metrics.confusions import confusion_order, most_confused_classes
from kerastricks.progress import duration
from kerastricks.report.figures import MOST_PAIRS, Picture, RunFigures

MOST_CLASSES = 40  # in the matrix
_MOST_BESIDE = 20  # classes of a matrix that leaves room beside it
_MOST_ROWS = 500  # of the table of classes
# Name of a score, what it is called, how it is printed.
SCORES = (
    ("accuracy", "test accuracy", "{:.2%}"),
    ("balanced_accuracy", "balanced accuracy", "{:.2%}"),
    ("macro_f1", "macro F1", "{:.2%}"),
    ("log_loss", "log-loss (nats)", "{:.3f}"),
    ("calibration_error", "calibration error", "{:.3f}"),
    ("images", "test images", "{:,}"),
    ("parameters", "parameters", "{:,}"),
    ("epochs", "epochs", "{:,}"),
    ("training_seconds", "training time", "{}"),
)


def score_text(run: RunFigures, name: str, form: str) -> str:
    """A score as it is printed; a dash where it is not known."""
    value = run.score(name)
    if value is None:
        return "-"
    return duration(value) if name == "training_seconds" else form.format(value)


def tiles(run: RunFigures) -> str:
    """The scores in large type, those that are known."""
    found = [
        tile(score_text(run, name, form), label, "best" if name == "accuracy" else "")
        for name, label, form in SCORES
        if run.score(name) is not None
    ]
    return f'<div class="tiles">{"".join(found)}</div>'


def finding_cards(findings: Sequence[Finding]) -> str:
    """A card for each finding, numbered as the shaded parts of the curves."""
    cards = []
    for index, one in enumerate(findings, start=1):
        confidence = "" if one.confidence >= 1 else f", confidence {one.confidence:.0%}"
        where = "" if one.span is None else f", epochs {one.span[0]:.3g} to {one.span[1]:.3g}"
        advice = f"<p><strong>Next:</strong> {_text(one.advice)}</p>" if one.advice else ""
        cards.append(
            f'<li class="finding {one.severity}"><h3>{index}. {_text(one.title)}</h3>'
            f"<p>{_text(f'{one.severity} ({one.code}){where}{confidence}')}</p>"
            f"<p>{_text(one.evidence)}</p>{advice}<p>{_text(one.source)}</p></li>"
        )
    return f'<ol class="findings">{"".join(cards)}</ol>'


def confusions(run: RunFigures) -> str:
    """The matrix with neighbours that are confused, and the most confused pairs."""
    pairs = run.pairs()
    names = [_named(name) for name in run.class_names]
    if not pairs:
        return "<p>No test image is confused.</p>"
    classes = most_confused_classes(pairs, len(names), MOST_CLASSES)
    counts = run.counts(classes)
    order = confusion_order(counts)
    shown = [names[classes[index]] for index in order]
    part = "" if len(shown) == len(names) else f"The {len(shown)} most confused of {len(names):,} classes. "
    label = f"confusion matrix of {len(shown)} classes; the table lists the most confused pairs"
    svg = matrix_svg(counts[order][:, order], shown, label)
    rows = [
        [
            Cell(names[pair.true], names[pair.true]),
            Cell(names[pair.predicted], names[pair.predicted]),
            number(pair.images, f"{pair.images:,}"),
            number(pair.share, f"{pair.share:.1%}"),
        ]
        for pair in pairs[:MOST_PAIRS]
    ]
    kind = "columns" if len(shown) <= _MOST_BESIDE else ""
    caption = f"Most confused pairs, {len(rows)} of {len(pairs):,}"
    return (
        f"<p>{part}Classes that are confused with each other are neighbours. Blue is right, orange is wrong; strong "
        "colours are large shares of the row.</p>\n"
        f'<div class="{kind}"><div class="wide" role="region" tabindex="0" aria-label="confusion matrix">{svg}</div>'
        f"<div>{html_table(caption, ['true', 'predicted', 'images', 'of the class'], rows)}</div></div>"
    )


def class_table(run: RunFigures) -> str:
    """Recall, precision and images of each class, worst recall first; above it the few-shot classes by themselves."""
    names = [_named(name) for name in run.class_names]
    images, trained = run.images(), run.training_images
    predicted = [0] * len(names)
    most: dict[int, tuple[str, int]] = {}
    for pair in run.pairs():
        predicted[pair.predicted] += pair.images
        most.setdefault(pair.true, (names[pair.predicted], pair.images))
    rows = []
    known = zip(names, images, run.recall, strict=True)
    lowest = sorted(enumerate(known), key=lambda row: (row[1][2] is None, row[1][2] or 0))[:_MOST_ROWS]
    for index, (name, count, recall) in lowest:
        right = round((recall or 0) * count)
        said = predicted[index] + right
        precision = right / said if said else None
        mistaken = most.get(index, ("", 0))
        rows.append(
            [
                Cell(name, name),
                *([] if trained is None else [number(trained[index], f"{trained[index]:,}")]),
                number(count, f"{count:,}"),
                number(recall, f"{recall or 0:.1%}"),
                number(precision, f"{precision or 0:.1%}"),
                Cell(f"{mistaken[0]} ({mistaken[1]})" if mistaken[1] else "", mistaken[0]),
            ]
        )
    heads = ["class", "test images", "recall", "precision", "most often taken for"]
    if trained is not None:
        heads.insert(1, "training images")
    shown = f"{len(rows):,} of {len(names):,}" if len(rows) < len(names) else f"{len(rows):,}"
    return shot_table(run) + html_table(f"Recall of each class, {shown} classes, lowest first", heads, rows)


def shot_table(run: RunFigures) -> str:
    """Mean recall of many-shot, medium-shot and few-shot classes; nothing where classes are evenly filled."""
    if run.shots is None or run.training_images is None or not is_uneven(run.training_images):
        return ""
    rows = [
        [
            Cell(name, name),
            Cell(words, words),
            number(classes, f"{classes:,}"),
            number(accuracy, "-" if accuracy is None else f"{accuracy:.1%}"),
        ]
        for name, words, classes, accuracy in shot_rows(run.shots, run.training_images)
    ]
    caption = f"Mean recall by training images, imbalance {imbalance_ratio(run.training_images):.3g}"
    return html_table(caption, ["classes", "training images", "how many", "mean recall"], rows)


def pictures(found: Sequence[Picture], mapped: str) -> str:
    """Images beside the map of what speaks for the predicted class.

    Args:
        found: the images.
        mapped: what the second picture shows.
    """
    shown = []
    for one in found:
        true, predicted = _named(one.true), _named(one.predicted)
        alt = f"{plain_text(one.file)}, a {true} predicted as {predicted}"
        second = f'<img src="{one.heat}" alt="{escape(mapped)} {escape(predicted)}">' if one.heat else ""
        right = one.true == one.predicted
        said = f"<b>{escape(predicted)}</b> {one.probability:.1%}"
        if not right:
            said += f"; true: <b>{escape(true)}</b> {one.true_probability:.1%}"
        shown.append(
            f'<figure><div class="pair"><img src="{one.image}" alt="{escape(alt)}">{second}</div>'
            f"<figcaption>{said}<br>{escape(plain_text(one.file))}</figcaption></figure>"
        )
    return f'<div class="pictures">{"".join(shown)}</div>'


def configuration(run: RunFigures) -> str:
    """Facts about the run, and the fields of its configuration."""
    fields = {name: _value(value) for name, value in run.config.items()}
    facts = {name: plain_text(text) for name, text in run.facts.items()}
    return f"{fact_list(facts)}\n<h3>Configuration</h3>\n{fact_list(fields)}"


def comparison(runs: Sequence[RunFigures]) -> str:
    """Tables of the scores of several runs, and of the fields in which they differ."""
    heads = ["run", *(label for _, label, _ in SCORES)]
    rows = [
        [Cell(run.name, run.name), *(number(run.score(name), score_text(run, name, form)) for name, _, form in SCORES)]
        for run in runs
    ]
    parts = [html_table(f"Scores of {len(runs)} runs", heads, rows)]
    fields = dict.fromkeys(name for run in runs for name in run.config)
    differ = [name for name in fields if len({_value(run.config.get(name, "")) for run in runs}) > 1]
    if differ:
        rows = [
            [Cell(name, name), *(Cell(_value(run.config.get(name, ""))) for run in runs)] for name in sorted(differ)
        ]
        parts.append(
            html_table("Fields of the configuration that differ", ["field", *(run.name for run in runs)], rows)
        )
    else:
        parts.append("<p>Their configurations are equal.</p>")
    return "\n".join(parts)


def _value(value: Any) -> str:
    return "-" if value is None or value == "" else plain_text(value)


def _named(name: object) -> str:
    return plain_text(name)


def _text(value: object) -> str:
    return escape(plain_text(value))
