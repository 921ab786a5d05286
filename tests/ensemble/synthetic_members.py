"""Predictions of members that err partly together and partly each on its own."""

import numpy as np
from scipy import special


def synthetic_members(members, images, classes, seed=0, noise=1.0, uneven=0.0, sharpness=1.0):
    """(M, N, K) log-probabilities and (N,) labels; `uneven` makes each member worse than the one before."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    together = 2.5 * np.eye(classes)[labels] + generator.normal(0, 0.6, (images, classes))
    noises = noise * (1 + uneven * np.arange(members))[:, None, None]
    logits = sharpness * (together + noises * generator.normal(0, 1, (members, images, classes)))
    return special.log_softmax(logits, axis=-1), labels
