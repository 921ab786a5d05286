"""Random state outside the model.

Keras's layers draw from seed generators, which are variables of the model and so part of a checkpoint. Under torch
dropout draws from torch's global generator instead, which data loaders and others draw from too.
"""

from typing import Any

import keras


class SeedTorch(keras.callbacks.Callback):
    """Seeds torch's global generators from (seed, step) before every step: nothing to save, nothing to restore.

    Args:
        seed: of the training.
        first_step: where this process begins.
    """

    def __init__(self, seed: int, first_step: int) -> None:
        super().__init__()
        self.seed = seed
        self.step = first_step

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        import torch

        torch.manual_seed((self.seed << 32) + self.step)
        self.step += 1
