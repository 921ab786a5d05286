"""The ops of an augmentation spec: `OPS` maps the name in a spec to the class, "pad_crop" to `PadCrop`.

A module is a family: flips, crops, geometric (rotation, shear, zoom), colour (linear changes), hue, pixel (nonlinear),
neighbourhood, erasing, mixing, policies, rare (for rare classes). A new op is a frozen dataclass of one of the kinds in
`kerastricks.augment.op`, put into its family's module and entered here; its name is the class's in snake case.
CONTRIBUTING.md has the steps.
"""

from kerastricks.registry import Registry

OPS = Registry(
    "op",
    {
        "alternating_flip": "kerastricks.augment.ops.flips:AlternatingFlip",
        "autocontrast": "kerastricks.augment.ops.neighbourhood:Autocontrast",
        "blur": "kerastricks.augment.ops.neighbourhood:Blur",
        "brightness": "kerastricks.augment.ops.colour:Brightness",
        "color_jitter": "kerastricks.augment.ops.hue:ColorJitter",
        "contrast": "kerastricks.augment.ops.colour:Contrast",
        "cutmix": "kerastricks.augment.ops.mixing:Cutmix",
        "cutout": "kerastricks.augment.ops.erasing:Cutout",
        "equalize": "kerastricks.augment.ops.neighbourhood:Equalize",
        "erase": "kerastricks.augment.ops.erasing:Erase",
        "fancy_pca": "kerastricks.augment.ops.colour:FancyPCA",
        "flip": "kerastricks.augment.ops.flips:Flip",
        "for_rare": "kerastricks.augment.ops.rare:ForRare",
        "gamma": "kerastricks.augment.ops.pixel:Gamma",
        "grayscale": "kerastricks.augment.ops.colour:Grayscale",
        "hsv": "kerastricks.augment.ops.hue:Hsv",
        "hue": "kerastricks.augment.ops.hue:Hue",
        "hue_yiq": "kerastricks.augment.ops.hue:HueYiq",
        "invert": "kerastricks.augment.ops.colour:Invert",
        "mixup": "kerastricks.augment.ops.mixing:Mixup",
        "normalize": "kerastricks.augment.ops.colour:Normalize",
        "pad_crop": "kerastricks.augment.ops.crops:PadCrop",
        "posterize": "kerastricks.augment.ops.pixel:Posterize",
        "randaugment": "kerastricks.augment.ops.policies:Randaugment",
        "random_resized_crop": "kerastricks.augment.ops.crops:RandomResizedCrop",
        "rotate": "kerastricks.augment.ops.geometric:Rotate",
        "saturation": "kerastricks.augment.ops.colour:Saturation",
        "sharpness": "kerastricks.augment.ops.neighbourhood:Sharpness",
        "shear": "kerastricks.augment.ops.geometric:Shear",
        "solarize": "kerastricks.augment.ops.pixel:Solarize",
        "translate": "kerastricks.augment.ops.crops:Translate",
        "trivialaugment": "kerastricks.augment.ops.policies:Trivialaugment",
        "vertical_flip": "kerastricks.augment.ops.flips:VerticalFlip",
        "zoom": "kerastricks.augment.ops.geometric:Zoom",
    },
)
