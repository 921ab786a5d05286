"""The plans, and where the table draws its lines. Plain data: a name is checked before Keras is imported."""

PLANS = ("linear", "last", "all", "earlier", "small", "scratch")
# Images of the middle class from which there is much data.
MUCH = 100
# From this share of a pixel probe's errors, and of its log-loss, that the top features take away, images are similar.
# ImageNet features, 60 draws: photographs of clothes and CIFAR-10 0.25 or more, fashion-mnist and digits at most 0.16.
SIMILAR = 0.2
# Minutes of measuring and training together, where the plan is chosen.
MINUTES = 5.0
# What the small network sees, as `kerastricks train --image-size 32` would.
SMALL_SIDE_PX = 32

WHAT = {
    "linear": "a linear classifier on the top features",
    "last": "the last two levels at a small rate, the early ones stay as they are",
    "all": "the whole network at a rate that moves it",
    "earlier": "a linear classifier on an earlier level's features",
    "small": f"plain_cnn from random weights at {SMALL_SIDE_PX} pixels or fewer, as `kerastricks train` trains it",
    "scratch": "the same network from random weights",
}
