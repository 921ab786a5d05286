"""Search of near duplicates among perceptual hashes: candidates from clusters, then aligned thumbnails compared."""

from functools import cache

import numpy as np

from kerastricks.data_check.thumbnails import chroma_thumbnails, grey_thumbnails, hash_vectors
from kerastricks.progress import Progress, silent

LEAST_COSINE = 0.58  # of the vectors of a pair that is compared
# Of a pair: correlation of the aligned thumbnails, that of their fine detail, and mean levels between their chroma.
# Compression and resizing change small images more; among large ones, photographs of like objects before one background
# come close.
_SMALL_PX = 64  # shorter side
LEAST_SMALL, LEAST_SMALL_DETAIL, MOST_SMALL_CHROMA = 0.965, 0.88, 8.0
LEAST_LARGE, LEAST_LARGE_DETAIL, MOST_LARGE_CHROMA = 0.986, 0.96, 5.0
NEIGHBOURS = 8  # candidates of an image in a cluster
_ALL_PAIRS = 2048  # images that are compared without clusters
_PROBES = 6  # clusters in which an image's neighbours are looked for
_ITERATIONS = 5
_BLOCK = 2048
_LENGTHS = (0.95, 0.9)  # of the sides of a crop, and where in what is cut off it lies
_SHIFTS = (0.0, 0.5, 1.0)
_STEPS = (0.02, 0.01, 0.005)  # of the finer search for the box
_SHORTEST = 0.88
_NO_CHROMA, _MOST_GAIN = 128, 1.6
_WHITE, _MORE_WHITE, _MOST_WHITE = 248, 0.02, 0.6  # level; shares of the pixels
_LEAST_ROUGH = 0.9  # correlation before the finer search, else it is not worth it


def near_pairs(
    hashes: np.ndarray, sides: np.ndarray, progress: Progress = silent, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs of images that are the same but for compression, size, brightness, or a border of up to a tenth.

    Not all pairs are compared: images are grouped around about sqrt(N) centres, and each looks for its neighbours in
    the groups of the six nearest ones.

    Args:
        hashes: (N, BYTES) uint8 of `perceptual_hash`.
        sides: (N,) shorter sides of the images in pixels.
        progress: shows how far it is.
        seed: of the centres.

    Returns:
        (P, 2) indices, the smaller first and in order, and the (P,) correlation of each pair.
    """
    candidates = candidate_pairs(hash_vectors(hashes), progress, seed)
    correlations = np.zeros(len(candidates), "float32")
    with progress("comparing", len(candidates)) as advance:
        for start in range(0, len(candidates), _BLOCK):
            part = candidates[start : start + _BLOCK]
            small = sides[part].min(axis=1) < _SMALL_PX
            correlations[start : start + len(part)] = compare_pairs(hashes[part[:, 0]], hashes[part[:, 1]], small)
            advance(len(part))
    found = correlations > 0
    return candidates[found], correlations[found]


def candidate_pairs(vectors: np.ndarray, progress: Progress = silent, seed: int = 0) -> np.ndarray:
    """Pairs of unit vectors with a cosine of 0.58 or more, of each vector's nearest: (P, 2), sorted."""
    count = len(vectors)
    if count <= _ALL_PAIRS:
        found = [_neighbours(vectors, np.arange(count), np.arange(count))]
    else:
        centres = _centres(vectors, seed)
        nearest = _nearest_centres(vectors, centres)
        home = nearest[:, 0]
        order = np.argsort(nearest.reshape(-1), kind="stable")
        bounds = np.searchsorted(nearest.reshape(-1)[order], np.arange(len(centres) + 1))
        queries = order // nearest.shape[1]
        by_home = np.argsort(home, kind="stable")
        homes = np.searchsorted(home[by_home], np.arange(len(centres) + 1))
        found = []
        with progress("looking for near duplicates", len(centres)) as advance:
            for centre in range(len(centres)):
                members = by_home[homes[centre] : homes[centre + 1]]
                asking = queries[bounds[centre] : bounds[centre + 1]]
                found.append(_neighbours(vectors, asking, members))
                advance(1)
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    return np.unique(pairs, axis=0)


def _neighbours(vectors: np.ndarray, asking: np.ndarray, members: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(asking), _BLOCK):
        rows = asking[start : start + _BLOCK]
        cosines = vectors[rows] @ vectors[members].T
        cosines[rows[:, None] == members] = -1
        if len(members) > NEIGHBOURS:  # at most so many of a row
            lowest = np.partition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
            close = cosines >= np.maximum(lowest, LEAST_COSINE)[:, None]
        else:
            close = cosines >= LEAST_COSINE
        row, member = np.nonzero(close)
        found.append(np.sort(np.stack([rows[row], members[member]], axis=1), axis=1))
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _centres(vectors: np.ndarray, seed: int) -> np.ndarray:
    """About sqrt(N) centres by a few rounds of spherical k-means over a sample."""
    generator = np.random.default_rng(seed)
    count = round(np.sqrt(len(vectors)))
    sample = vectors[generator.permutation(len(vectors))[: 32 * count]]
    centres = sample[:count].copy()
    for _ in range(_ITERATIONS):
        nearest = (sample @ centres.T).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        filled, first = np.unique(nearest[order], return_index=True)
        centres[filled] = np.add.reduceat(sample[order], first, axis=0)
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
    return centres


def _nearest_centres(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, probes) indices of the nearest centres, the nearest first."""
    probes = min(_PROBES, len(centres))
    nearest = np.empty((len(vectors), probes), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ centres.T
        chosen = np.argpartition(cosines, -probes, axis=1)[:, -probes:]
        order = np.argsort(-np.take_along_axis(cosines, chosen, axis=1), axis=1)
        nearest[start : start + _BLOCK] = np.take_along_axis(chosen, order, axis=1)
    return nearest


def compare_pairs(first: np.ndarray, second: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Correlation of the thumbnails of each pair, aligned; 0 where they are no near duplicates.

    Args:
        first: (P, BYTES) hashes.
        second: (P, BYTES) hashes.
        small: (P,) bool, whether one of the images is small.

    Returns:
        (P,) float32.
    """
    whole, detail, chroma = pair_measures(first, second)
    same = whole >= np.where(small, LEAST_SMALL, LEAST_LARGE)
    same &= detail >= np.where(small, LEAST_SMALL_DETAIL, LEAST_LARGE_DETAIL)
    same &= chroma <= np.where(small, MOST_SMALL_CHROMA, MOST_LARGE_CHROMA)
    return np.where(same, whole, 0).astype("float32")


def pair_measures(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlation, correlation of fine detail, and mean difference of chroma, of pairs of hashes, each (P,)."""
    grey = _smooth(grey_thumbnails(first)), _smooth(grey_thumbnails(second))
    half = _halved(grey[0]), _halved(grey[1])
    swapped, boxes, rough = _align_coarsely(_unit(half[0]), _unit(half[1]))
    whole = rough.copy()
    detail = np.zeros(len(first), "float32")
    close = np.flatnonzero(rough >= _LEAST_ROUGH)
    if len(close):
        swap = swapped[close][:, None, None]
        # The one that shows more, of which a part is compared, and the other one.
        more, part = np.where(swap, half[1][close], half[0][close]), np.where(swap, half[0][close], half[1][close])
        fitted = _align_finely(more, _unit(part), boxes[close])
        more, part = np.where(swap, grey[1][close], grey[0][close]), np.where(swap, grey[0][close], grey[1][close])
        cut = _cut(more, fitted)
        weights = _unclipped(cut, part)
        whole[close] = _weighted_correlation(cut, part, weights)
        detail[close] = _weighted_correlation(_fine(cut), _fine(part), weights)
    return whole, detail, _chroma_difference(chroma_thumbnails(first), chroma_thumbnails(second))


def _chroma_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean difference in levels of the chroma (P, D) of pairs, after one was scaled as brightening does it."""
    first, second = first - _NO_CHROMA, second - _NO_CHROMA
    gain = (first * second).sum(axis=1) / np.maximum((first**2).sum(axis=1), 1e-3)
    gain = np.clip(gain, 1 / _MOST_GAIN, _MOST_GAIN)[:, None]
    return np.abs(gain * first - second).mean(axis=1) / np.maximum(gain[:, 0], 1)


def _align_finely(more: np.ndarray, unit: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Improve the boxes step by step, each edge and length by itself."""
    boxes = boxes.copy()
    best = _correlation(more, boxes, unit)
    for step in _STEPS:
        for direction in np.concatenate([np.eye(4, dtype="float32"), -np.eye(4, dtype="float32")]):
            moved = _inside(boxes + np.float32(step) * direction)
            correlation = _correlation(more, moved, unit)
            better = correlation > best
            best[better], boxes[better] = correlation[better], moved[better]
    return boxes


def _align_coarsely(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of each pair is cropped (bool: the first), the box that is left of the other one, (P, 4), correlations."""
    side = first.shape[1]
    best = np.full(len(first), -1.0, "float32")
    chosen = np.zeros(len(first), np.int64)
    alignments = _alignments()
    for number, (swapped, box) in enumerate(alignments):
        more, part = (second, first) if swapped else (first, second)
        rows, columns = _resampling(np.array([box[:2], box[2:]]), side)
        correlation = (_unit(rows @ more @ columns.T) * part).sum(axis=(1, 2))
        better = correlation > best + 1e-4
        best[better], chosen[better] = correlation[better], number
    swaps = np.array([swapped for swapped, _ in alignments])
    boxes = np.array([box for _, box in alignments], "float32")
    return swaps[chosen], boxes[chosen], best


@cache
def _alignments() -> list[tuple[bool, tuple[float, float, float, float]]]:
    """Whether the first one is cropped; begin and length of the rows and of the columns of the box, as fractions."""
    found = [(False, (0.0, 1.0, 0.0, 1.0))]
    for length in _LENGTHS:
        starts = [shift * (1 - length) for shift in _SHIFTS]
        for swapped in (False, True):
            found += [(swapped, (row, length, column, length)) for row in starts for column in starts]
    return found


def _inside(boxes: np.ndarray) -> np.ndarray:
    """The boxes, none of them beyond the image or smaller than is looked for."""
    moved = boxes.copy()
    moved[:, 1::2] = np.clip(boxes[:, 1::2], _SHORTEST, 1)
    moved[:, ::2] = np.clip(boxes[:, ::2], 0, 1 - moved[:, 1::2])
    return moved


def _cut(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut a box from each image and resize it to the image's size."""
    side = images.shape[1]
    return _resampling(boxes[:, :2], side) @ images @ _resampling(boxes[:, 2:], side).transpose(0, 2, 1)


def _correlation(images: np.ndarray, boxes: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return (_unit(_cut(images, boxes)) * unit).sum(axis=(1, 2))


def _resampling(parts: np.ndarray, side: int) -> np.ndarray:
    """(P, side, side) matrices that stretch a part of a row of pixels to all of it, linearly.

    Args:
        parts: (P, 2) begin and length of the part, as fractions of the row.
        side: pixels of the row.
    """
    begin, length = parts[:, :1] * side, parts[:, 1:]
    positions = np.clip((np.arange(side, dtype="float32") + 0.5) * length + begin - 0.5, 0, side - 1)
    distance = np.abs(positions.astype("float32")[:, :, None] - np.arange(side, dtype="float32"))
    return np.maximum(0, 1 - distance)


def _unclipped(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Weights of pixels: 0 where brightening has turned one of both white, where it has done so in one only."""
    white = first >= _WHITE, second >= _WHITE
    more = np.abs(white[0].mean(axis=(1, 2)) - white[1].mean(axis=(1, 2))) > _MORE_WHITE
    clipped = (white[0] | white[1]) & more[:, None, None]
    clipped &= (clipped.mean(axis=(1, 2)) < _MOST_WHITE)[:, None, None]
    return (~clipped).astype("float32")


def _weighted_correlation(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=(1, 2), keepdims=True)
    parts = [one - (one * weights).sum(axis=(1, 2), keepdims=True) / total for one in (first, second)]
    a, b = (one * weights for one in parts)
    norms = np.sqrt((a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2)))
    return (a * b).sum(axis=(1, 2)) / np.maximum(norms, 1e-3)


def _smooth(images: np.ndarray) -> np.ndarray:
    """Weighted means of 3 x 3 pixels: what resampling does to one of both is done to both."""
    edges = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (edges[:, :-2] + 2 * edges[:, 1:-1] + edges[:, 2:]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def _halved(grey: np.ndarray) -> np.ndarray:
    return (grey[:, ::2, ::2] + grey[:, 1::2, ::2] + grey[:, ::2, 1::2] + grey[:, 1::2, 1::2]) / 4


def _unit(images: np.ndarray) -> np.ndarray:
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    return centred / np.maximum(np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True)), 1e-3)


def _fine(images: np.ndarray) -> np.ndarray:
    """Images without what is coarser than four pixels."""
    side = images.shape[1] // 4
    coarse = images.reshape(-1, side, 4, side, 4).mean(axis=(2, 4))
    return images - np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
