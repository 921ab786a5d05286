"""Random state outside the model.

Keras's layers draw from seed generators, which are variables of the model, except under torch, where dropout draws
from torch's global generators.
"""

import keras
import numpy as np


def seed(value: int) -> None:
    """Starts the global generators that layers draw from."""
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(value)


def get() -> dict[str, np.ndarray]:
    """The state of those generators."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"torch_cpu": torch.get_rng_state().numpy()}
    for device in range(torch.cuda.device_count()):
        states[f"torch_cuda_{device}"] = torch.cuda.get_rng_state(device).numpy()
    return states


def put(states: dict[str, np.ndarray]) -> None:
    """Puts the state back."""
    if keras.backend.backend() != "torch":
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states["torch_cpu"].copy()))
    for device in range(torch.cuda.device_count()):
        if f"torch_cuda_{device}" in states:
            torch.cuda.set_rng_state(torch.from_numpy(states[f"torch_cuda_{device}"].copy()), device)
