"""How several members' distributions over the classes become one: late fusion in NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastricks.metrics.calibration import member_rows

METHODS = ("mean", "geometric", "vote", "stack", "best")
# exp(-80) is 1.8e-35: far below any probability that matters, and a normal number in float32.
LOWEST = -80.0


def tempered(logits: np.ndarray, temperatures: np.ndarray | float = 1.0) -> np.ndarray:
    """Log-softmax of logits divided by temperatures, none below `LOWEST`.

    Args:
        logits: (..., N, K) logits or log-probabilities; minus infinity is a probability of zero.
        temperatures: a number, or (M,) for (M, N, K).

    Returns:
        float64 of the shape of `logits`, from `LOWEST` to 0.
    """
    exact = np.asarray(logits, "float64")
    scale = np.asarray(temperatures, "float64")
    if scale.ndim:
        scale = scale[:, None, None]
    # The largest goes first: differences cannot overflow into NaN, and minus infinity stays what it is.
    exact = (exact - exact.max(axis=-1, keepdims=True)) / scale
    exact -= np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    return np.maximum(exact, LOWEST, out=exact)


@dataclass(frozen=True, eq=False)
class Combination:
    """Combine the distributions of several members into one.

    Each member's logits or log-probabilities l_m become q_m = softmax(l_m / T_m). Then, with weights w_m:

    - `mean`: p = sum_m w_m q_m. Late fusion as it is usually meant; an unsure member has little weight.
    - `geometric`: p = softmax(sum_m w_m log q_m). The mean of logits is the same, since logits differ from
      log-probabilities by a number per image, which softmax ignores: `logits` is another name of it. Sharper than the
      mean; one member that excludes a class excludes it for all.
    - `vote`: each member has one vote for its largest class, v = sum_m w_m votes_m, and
      p = (v + a sum_m w_m q_m) / (1 + a) with a = 1 / (M + 1). With equal weights the added part breaks ties and
      decides nothing else: votes differ by 1/M or not at all, and the mean's differences are below 1. With unequal
      weights it can also turn a majority of less than 1 / (M + 1). No class has probability 0.
    - `stack`: p = softmax(x @ kernel + bias), x being the log q_m, each minus its mean over the classes, one member
      after the other.
    - `best`: the mean with one weight of 1: a single member.

    The result is softmax(log p / temperature). No log q or log p counts as less than -80, so nothing is infinite.
    Averages of probabilities gain most where members are good and err on different images (Krogh and Vedelsby 1995).
    The log-loss of `mean` and `geometric` is never above the weighted mean of the members' log-losses; `vote` and every
    accuracy have no such guarantee. Nothing helps where members are alike. Training and inference are equal.

    Args:
        method: "mean", "geometric" (or "logits"), "vote", "stack" or "best".
        weights: (M,) at least 0, of sum 1; None for equal ones. Not for "stack"; one 1 and zeros for "best".
        temperatures: (M,) above 0, of the members; None for ones.
        temperature: above 0, of the combined distribution; above 1 makes it less confident.
        kernel: (M * K, K), only for "stack".
        bias: (K,), only for "stack".

    Raises:
        ValueError: for an unknown method, or numbers that do not fit it.

    Example:
        >>> import numpy as np
        >>> from kerastricks.ensemble import Combination
        >>> members = np.log([[[0.8, 0.2]], [[0.4, 0.6]]])
        >>> Combination("mean").apply(members).round(3).tolist()
        [[0.6, 0.4]]
        >>> Combination("geometric").apply(members).round(3).tolist()
        [[0.62, 0.38]]

    Reference:
        Mean and product of experts: Bishop, Pattern recognition and machine learning, 14.2 and 14.5; stacking: Wolpert,
        Neural networks 5, 1992; temperature: Guo et al., arXiv 1706.04599. Deviation: the tie-breaking part of `vote`.
    """

    method: str
    weights: np.ndarray | None = None
    temperatures: np.ndarray | None = None
    temperature: float = 1.0
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.method == "logits":
            object.__setattr__(self, "method", "geometric")
        if self.method not in METHODS:
            way_out = "; ensemble.fit_combination fits it to labels" if self.method in ("weighted", "greedy") else ""
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}, logits. Received: method={self.method!r}{way_out}"
            )
        for name in ("weights", "temperatures", "kernel", "bias"):
            self._set_array(name)
        object.__setattr__(self, "temperature", float(self.temperature))
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be above 0. Received: temperature={self.temperature}")
        self._check_weights()
        self._check_temperatures()
        self._check_stack()

    @property
    def members(self) -> int | None:
        """Number of members it is for; None for any."""
        if self.kernel is not None:
            return len(self.kernel) // self.kernel.shape[1]
        given = self.weights if self.weights is not None else self.temperatures
        return None if given is None else len(given)

    def apply(self, log_probabilities: np.ndarray) -> np.ndarray:
        """Combine log-probabilities.

        Args:
            log_probabilities: (M, N, K) of M members; logits will do, and minus infinity is a probability of zero.

        Returns:
            (N, K) float64 probabilities.

        Raises:
            EnsembleError: for NaN, plus infinity, or another shape.
            ValueError: for another number of members or classes.
        """
        logits, _ = member_rows(log_probabilities)
        count, images, classes = logits.shape
        if self.members not in (None, count):
            raise ValueError(f"log_probabilities must be of {self.members} members. Received: shape {logits.shape}")
        log_q = tempered(logits, 1.0 if self.temperatures is None else self.temperatures)
        weights = np.full(count, 1 / count) if self.weights is None else self.weights
        if self.method == "geometric":
            combined = np.einsum("m,mnk->nk", weights, log_q)
        elif self.kernel is not None:
            if self.kernel.shape[1] != classes:
                raise ValueError(
                    f"log_probabilities must be of {self.kernel.shape[1]} classes. Received: shape {logits.shape}"
                )
            combined = stack_rows(log_q) @ self.kernel + self.bias
        else:
            probabilities = np.einsum("m,mnk->nk", weights, np.exp(log_q))
            if self.method == "vote":
                votes = np.zeros((images, classes))
                for weight, choices in zip(weights, log_q.argmax(axis=2), strict=True):
                    votes[np.arange(images), choices] += weight
                share = 1 / (count + 1)
                probabilities = (votes + share * probabilities) / (1 + share)
            combined = np.log(probabilities)
        return np.exp(tempered(tempered(combined), self.temperature))

    def to_json(self, largest_kernel: int | None = None) -> dict[str, Any]:
        """Plain values for JSON.

        Args:
            largest_kernel: a kernel of more numbers is None, and `from_json` refuses the result; None keeps any.
        """
        arrays = {name: getattr(self, name) for name in ("weights", "temperatures", "kernel", "bias")}
        if self.kernel is not None and largest_kernel is not None and self.kernel.size > largest_kernel:
            arrays["kernel"] = None
        lists = {name: None if array is None else array.tolist() for name, array in arrays.items()}
        return {"method": self.method, "temperature": self.temperature, **lists}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Combination":
        """Restore a combination from `to_json`."""
        return cls(**values)

    def _set_array(self, name: str) -> None:
        given = getattr(self, name)
        if given is None:
            return
        array = np.array(given, "float64")
        if array.ndim != (2 if name == "kernel" else 1) or not array.size or not np.isfinite(array).all():
            shape = {"kernel": "(M * K, K)", "bias": "(K,)"}.get(name, "(M,)")
            raise ValueError(f"{name} must be finite numbers of shape {shape}. Received: {name}={_short(given)}")
        array.flags.writeable = False
        object.__setattr__(self, name, array)

    def _check_weights(self) -> None:
        if self.weights is None:
            if self.method == "best":
                raise ValueError("weights of method 'best' must name a member by a 1 among zeros. Received: None")
            return
        if self.weights.min() < 0 or abs(self.weights.sum() - 1) > 1e-5:
            raise ValueError(f"weights must be at least 0 and of sum 1. Received: weights={_short(self.weights)}")
        if self.method == "best" and (self.weights > 0).sum() != 1:
            raise ValueError(
                f"weights of method 'best' must be one 1 and zeros. Received: weights={_short(self.weights)}"
            )
        exact = self.weights / self.weights.sum()
        exact.flags.writeable = False
        object.__setattr__(self, "weights", exact)

    def _check_temperatures(self) -> None:
        if self.temperatures is None:
            return
        if self.temperatures.min() <= 0:
            raise ValueError(f"temperatures must be above 0. Received: temperatures={_short(self.temperatures)}")
        if self.members != len(self.temperatures):
            raise ValueError(
                f"temperatures must be one for each of {self.members} members. Received: {len(self.temperatures)}"
            )

    def _check_stack(self) -> None:
        if self.method != "stack":
            if self.kernel is not None or self.bias is not None:
                raise ValueError(f"kernel and bias must be None for method {self.method!r}: they are for 'stack'")
            return
        if self.kernel is None or self.bias is None or self.weights is not None:
            raise ValueError(
                "method 'stack' must have kernel and bias, and no weights: ensemble.fit_stacking fits them"
            )
        rows, classes = self.kernel.shape
        if rows % classes or self.bias.shape != (classes,):
            raise ValueError(
                f"kernel and bias must be (M * K, K) and (K,). Received: shapes {self.kernel.shape}, {self.bias.shape}"
            )


def stack_rows(log_q: np.ndarray) -> np.ndarray:
    """The columns of a stacking: log-probabilities without their mean over the classes, members side by side.

    Args:
        log_q: (M, N, K).

    Returns:
        (N, M * K).
    """
    centred = log_q - log_q.mean(axis=2, keepdims=True)
    return centred.transpose(1, 0, 2).reshape(log_q.shape[1], -1)


def _short(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=8, edgeitems=3, precision=6).replace("\n", "")
