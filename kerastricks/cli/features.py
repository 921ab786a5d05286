"""kerastricks features"""

import json
from pathlib import Path
from typing import Any

import click

from kerastricks.cli import job_options, options
from kerastricks.cli.job_options import find_recipe
from kerastricks.cli.quiet import import_keras
from kerastricks.data.sources.names import check_source
from kerastricks.errors import UsageError

_SPLITS = ("train", "validation", "test")


@click.command()
@job_options.source("data", required=True)
@click.option(
    "--model",
    required=True,
    type=options.MODEL,
    metavar="M",
    help="A run folder, a .keras file, or a model with weights.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    type=options.TEXT,
    metavar="L",
    help='"list" prints them.  [default: the last one]',
)
@click.option("--out", type=options.PATH, metavar="FOLDER", help="Folder to write.")
@job_options.image_size("Side of the images.  [default: the model's]")
@click.option("--no-pool", is_flag=True, help="Keep height and width of maps.")
@click.option("--split", "splits", multiple=True, type=options.Choice(_SPLITS), help="[default: all three]")
@job_options.seed("Seed of the splits.")
@options.assignments
@job_options.as_json()
def features(
    data: str,
    model: str,
    layers: tuple[str, ...],
    out: Path | None,
    image_size: int | None,
    no_pool: bool,
    splits: tuple[str, ...],
    seed: int | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Extract features: write layer activations of the model M on DATA to memory-mapped arrays.

    DATA is what `kerastricks train` takes. FOLDER/SPLIT/LAYER.npy has a row for each image, FOLDER/SPLIT/labels.npy its
    class and FOLDER/SPLIT/files.txt its name. Images are cut and resized as the model is used to.

    \b
    kerastricks features path/to/images/ --model efficientnet_lite0 --out features/images
    kerastricks features digits --model saved_models/RUN --layer list
    """
    from kerastricks.files import check_new_folder
    from kerastricks.training.config import Config

    wants_list = "list" in layers
    flags = job_options.given_fields(assignments)
    flags |= {"seed": seed} if seed is not None else {}
    if image_size is not None:
        flags["image_size"] = image_size
    recipe = find_recipe(data)
    base = dict(recipe.config) if recipe is not None else {"data": data}
    config = Config.from_layers(base, flags)
    if config.data is None:
        raise UsageError(f"{data}: CONFIG names no data: give it on the command line, --set data=PATH")
    if recipe is None:
        check_source(str(config.data))
    if out is None and not wants_list:
        raise UsageError("--out is missing: the folder to make")
    if out is not None and not wants_list:
        check_new_folder(out.expanduser())

    import_keras()
    from kerastricks.cli import screen
    from kerastricks.data.sources.reading import find_source
    from kerastricks.data.sources.source import Arrays
    from kerastricks.features.extraction import compute
    from kerastricks.features.extractor import Extractor, layer_names
    from kerastricks.finetuning.backbone import open_backbone
    from kerastricks.training.datasets import load_data

    backbone = open_backbone(model, image_size=flags.get("image_size"))
    if wants_list:
        _list(backbone, layer_names(backbone.model), as_json)
        return
    chosen = list(layers) or [backbone.top]
    Extractor(backbone.model, chosen, not no_pool)  # a wrong name is refused before any image is read
    source = find_source(config.data)
    # A recipe's own size and augmentation are those of its training.
    used_to: dict[str, Any] = {"image_size": None, "augment": ""}
    if not any(isinstance(examples, Arrays) for examples in source.splits.values()):
        used_to |= {
            "image_size": backbone.image_size,
            "crop_fraction": backbone.crop_fraction,
            "interpolation": backbone.interpolation,
        }
    elif image_size is not None:
        flags.pop("image_size")  # of the network: it resizes arrays itself
    config = Config.from_layers(base, used_to, flags)
    loaded = load_data(source, config, screen.bar)
    for line in loaded.left_out():
        screen.say(line)
    assert out is not None
    network = _for_images(backbone, loaded.image_shape)
    found = compute(network, chosen, loaded, out, splits or _SPLITS, not no_pool, progress=screen.bar)
    if as_json:
        click.echo(json.dumps({"path": str(found.path), **found.record}, indent=2))
        return
    height, width, _ = loaded.image_shape
    resized = "" if network is backbone.model else f" resized to {'x'.join(map(str, backbone.image_shape[:2]))}"
    kept = "whole" if config.crop_fraction == 1 else f"{config.crop_fraction:.1%} of their sides"
    screen.say(f"{backbone.name}: images of {height}x{width}{resized}, {kept}, {config.interpolation}")
    for split in found.splits:
        for layer in found.layers:
            array = found.of(split, layer)
            shape = " x ".join(f"{size:,}" for size in array.shape)
            screen.output.print(f"{found.path / split / f'{layer}.npy'}  {shape}", soft_wrap=True)


def _for_images(backbone: Any, image_shape: tuple[int, int, int]) -> Any:
    """Prepend a resizing to the network for images of another size."""
    import keras

    from kerastricks.finetuning.backbone import graft
    from kerastricks.models.head import adapt_pixels

    if image_shape[:2] == backbone.image_shape[:2]:
        return backbone.model
    pixels = keras.Input(image_shape, dtype="float32", name="pixels")
    taken = {operation.name for operation in backbone.model.operations}
    return graft(backbone.model, pixels, adapt_pixels(pixels, backbone.image_shape, taken))


def _list(backbone: Any, names: list[str], as_json: bool) -> None:
    """List the layers, with the ends of the network's levels marked."""
    if as_json:
        click.echo(json.dumps({"layers": names, "levels": list(backbone.layers), "top": backbone.top}, indent=2))
        return
    for name in names:
        click.echo(f"{name}  *" if name in backbone.layers else name)
