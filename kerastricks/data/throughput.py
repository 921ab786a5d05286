"""How fast training images come."""

import time
from dataclasses import dataclass
from typing import Any

from kerastricks.data.image_data import ImageData

_WARM_UP_BATCHES = 3  # tracing and the first allocations, and what lies ready ahead of the consumer
_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Throughput:
    """What `measure` found.

    Args:
        images_per_second: by the clock; another program on the same cores slows it down.
        cpu_us_per_image: microseconds of CPU time over all threads of the process; steadier on a busy machine.
        images: that were consumed.
        seconds: by the clock, after the warm-up.
    """

    images_per_second: float
    cpu_us_per_image: float
    images: int
    seconds: float

    @classmethod
    def measure(cls, data: ImageData, seconds: float = 3.0) -> "Throughput":
        """Consumes augmented training batches for `seconds`, after a warm-up; the device stage is not in it.

        The batches are those of `train_from(0)`: the epochs of `data.train` do not advance.
        """
        with data.one_error():
            batches = iter(data.train_from(0))
            began = time.perf_counter()
            done = 0
            while done < _WARM_UP_BATCHES or time.perf_counter() - began < _WARM_UP_SECONDS:
                next(batches)
                done += 1
            images = 0
            began, cpu_began = time.perf_counter(), time.process_time()
            while images == 0 or time.perf_counter() - began < seconds:
                images += len(next(batches)[1])
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        return cls(images / elapsed, cpu / images * 1e6, images, elapsed)

    def to_text(self) -> str:
        """One line."""
        return (
            f"{_number(self.images_per_second)} images/s, {_number(self.cpu_us_per_image)} us of CPU time an image "
            f"({self.images:,} images in {self.seconds:.1f} s)"
        )

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "images_per_second": round(self.images_per_second, 1),
            "cpu_us_per_image": round(self.cpu_us_per_image, 2),
            "images": self.images,
            "seconds": round(self.seconds, 3),
        }


def _number(value: float) -> str:
    """Three digits are what can be told."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
