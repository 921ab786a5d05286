"""The plans, and where the table draws its lines. Plain data: a name is checked before Keras is imported."""

PLANS = ("linear", "last", "all", "earlier", "scratch")
# Images of the middle class from which there is much data.
MUCH = 100
# From this share of a pixel probe's errors, and of its log-loss, that the top features take away, images are similar.
# ImageNet features, 60 draws: photographs of clothes and CIFAR-10 0.25 or more, fashion-mnist and digits at most 0.16.
SIMILAR = 0.2

WHAT = {
    "linear": "a linear classifier on the top features",
    "last": "the last layers at a small rate, the early ones stay as they are",
    "all": "the whole network at a small rate, from the last level to the first",
    "earlier": "a linear classifier on an earlier level's features",
    "scratch": "the same network from random weights",
}
