"""The schedules by name: what a spec may say, known without Keras."""

from dataclasses import dataclass

from kerastricks.registry import Registry


@dataclass(frozen=True)
class ScheduleEntry:
    """A schedule of the catalog.

    Args:
        formula: the rate at step t of T, p being the peak and w the steps of the warm-up.
        serves: the class that computes it.
        source: where it is from.
    """

    formula: str
    serves: str
    source: str


CATALOG = {
    "constant": ScheduleEntry("p", "a float", "-"),
    "linear": ScheduleEntry("rise to p, then p (1 - (t - w) / (T - w))", "WarmupLinear", "Li et al. 2020"),
    "cosine": ScheduleEntry(
        "rise to p, then p (1 + cos(pi (t - w) / (T - w))) / 2",
        "keras.optimizers.schedules.CosineDecay",
        "Loshchilov, Hutter 2017",
    ),
    "one_cycle": ScheduleEntry("half a cosine p/25 to p, half a cosine to p/10000", "OneCycle", "Smith 2018"),
    "step": ScheduleEntry("p / factor^k, k: boundaries passed", "StepDecay", "Zagoruyko, Komodakis 2016"),
    "plateau": ScheduleEntry(
        "p / factor^k, k: plateaus of the validation loss", "kerastricks.callbacks.PlateauDecay", "Wei 2015"
    ),
    "polynomial": ScheduleEntry("p (1 - t / T)^power", "keras.optimizers.schedules.PolynomialDecay", "You et al. 2017"),
    "inverse_sqrt": ScheduleEntry("p min(n / w, sqrt(w / n)), n = t + 1", "InverseSqrt", "Vaswani et al. 2017"),
    "triangular": ScheduleEntry("straight lines between p/4 and p", "Triangular", "Smith 2017"),
    "triangular2": ScheduleEntry("triangles over p/4, each half as high", "Triangular2", "Smith 2017"),
    "exponential_cyclical": ScheduleEntry(
        "triangles over p/4, heights fall exponentially", "ExponentialCyclical", "Smith 2017"
    ),
    "cosine_restarts": ScheduleEntry(
        "p (1 + cos(pi x)) / 2, x: 0 to 1 in each cycle", "CosineRestarts", "Huang et al. 2017"
    ),
}

# Each entry makes a `Plan` from `peak`, `total_steps` and the arguments of a spec.
SCHEDULES = Registry(
    "schedule", {name: f"kerastricks.schedules.plans:{name}" for name in CATALOG}, "kerastricks schedule"
)
