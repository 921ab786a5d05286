"""card.md: what a model is, for whoever finds it."""

from typing import Any


def card(name: str, summary: dict[str, Any], config: dict[str, Any]) -> str:
    """The card as Markdown."""
    recall = "\n".join(
        f"| {label} | {sum(row)} | {'-' if value is None else f'{value:.1%}'} |"
        for (label, value), row in zip(summary["recall"].items(), summary["confusion_matrix"], strict=True)
    )
    data, shape = summary["data"], summary["data"]["image_shape"]
    fields = "\n".join(f"| `{key}` | `{value}` |" for key, value in config.items())
    versions = ", ".join(f"{package} {version}" for package, version in summary["versions"].items())
    return f"""# {name}

`{summary["model"]}`, {summary["parameters"]:,} weights, for {len(summary["class_names"])} classes of \
{shape[0]}x{shape[1]} {"grey" if shape[2] == 1 else "RGB"} images.
Trained on {data["images"]["train"]:,} images of {data["name"]} in {summary["training_seconds"]:.0f} s on \
{summary["device"]}.

On {summary["images"]:,} test images: accuracy **{summary["accuracy"]:.2%}**, balanced accuracy \
{summary["balanced_accuracy"]:.2%}, log-loss {summary["log_loss"]:.3f}.
One run, seed {config["seed"]}: the spread over seeds is not known from it.

![loss and accuracy](curves.png)

| class | test images | recall |
|---|---|---|
{recall}

## Use

```python
import kerastricks, keras

model = keras.models.load_model("model.keras")  # pixels 0-255, {tuple(shape)}, to probabilities
```

`kerastricks predict {name} image.jpg`, or serve this folder with TensorFlow Serving:
`serving_default` takes encoded images (`bytes`), `tensor` takes pixels (`images`).

## How it was made

`kerastricks train` with

| field | value |
|---|---|
{fields}

{data["skipped"]} files were left out. Data fingerprint `{data["fingerprint"]}`. {versions}.
"""
