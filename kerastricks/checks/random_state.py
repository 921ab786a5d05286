"""The random state of the process, left as it was."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import keras


@contextmanager
def random_state_kept(seed: int) -> Iterator[None]:
    """Draws from `seed` inside, and puts the global generators back afterwards.

    Keras seeds a new layer from Python's generator; under torch, dropout draws from torch's.
    """
    before = random.getstate()
    with ExitStack() as stack:
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng())
            torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
