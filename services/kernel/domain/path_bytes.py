"""Sample paths as bytes: rounded far below what is known of them, then packed without loss.

Paths of half-precision numbers hardly compress as they stand: all their bits differ. On a grid of
their own, as wide as a fraction of their spread, a path has few leading bits, and the differences
of its neighbours fewer, as it goes on near where it was.

Shapes: F loads, S paths, H steps.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

HALF = np.dtype("<f2")
_BITS = np.dtype("<u2")
GRID_PARTS = 4.0
"""Parts of the grid in the interquartile range of the step that has the least.

Rounding then adds 1 % to the variance of a step: a tenth of what 200 paths miss of its spread."""
_LEAST = 2.0**-24
"""Half-precision numbers up to 2,048 of these are whole multiples of it, and their bits say which:
those above have eleven bits."""
_MOST_PARTS = 2.0**20


def to_halves(
    paths: npt.NDArray[np.float32] | npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float16], float]:
    """(S, H) paths as half-precision numbers on a grid, and the scale to multiply them by.

    What is more than nothing stays so, however small.
    """
    grid = _grid(paths)
    parts = np.rint(paths / grid)
    parts = np.where((paths > 0) & (parts < 1), 1.0, parts)
    return (parts * _LEAST).astype(HALF), grid / _LEAST


def _grid(paths: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> float:
    """Width of the grid in the unit of (S, H) paths; the scale has room in single precision."""
    first = len(paths) // 4
    at = (first, len(paths) - 1 - first)
    low, high = np.partition(paths, at, axis=0)[list(at)].astype(np.float64)
    spread = (high - low)[high > low]
    peak = float(paths.max(initial=0.0))
    grid = float(spread.min()) / GRID_PARTS if spread.size else peak / 2**11
    grid = max(grid, peak / _MOST_PARTS)
    return float(np.float32(grid / _LEAST)) * _LEAST if grid > 0 else _LEAST


def pack_halves(halves: npt.NDArray[np.float16]) -> bytes:
    """(S, H) half-precision numbers as bytes; `unpack_halves` gives the very same back."""
    bits = np.ascontiguousarray(halves, dtype=HALF).view(_BITS).T
    steps = bits.copy()
    steps[1:] -= bits[:-1]  # modulo 2^16
    sign = (steps >> 15) * np.uint16(0xFFFF)
    folded = (steps << 1) ^ sign  # small ones of either sign first
    low, high = (folded & 0xFF).astype(np.uint8), (folded >> 8).astype(np.uint8)
    # runs of zeros in the high bytes; the low ones repeat nothing that is worth a search
    packer = zlib.compressobj(memLevel=9, strategy=zlib.Z_RLE)
    return packer.compress(high.tobytes() + low.tobytes()) + packer.flush()


def unpack_halves(packed: bytes, n_paths: int, n_horizon: int) -> npt.NDArray[np.float16]:
    """(S, H) numbers of `pack_halves`.

    Args:
        packed: The bytes.
        n_paths: S.
        n_horizon: H.

    Raises:
        ValueError: They are of another number of paths or steps, or none of its bytes.
    """
    try:
        planes = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    except zlib.error as error:
        raise ValueError(f"these are no packed paths: {error}") from error
    high, low = planes.reshape(2, n_horizon, n_paths).astype(_BITS)
    folded = (high << 8) | low
    steps = (folded >> 1) ^ ((folded & 1) * np.uint16(0xFFFF))
    bits = np.cumsum(steps, axis=0, dtype=_BITS)
    return np.ascontiguousarray(bits.T).view(HALF)


def pack_loads(loads: npt.NDArray[np.float16]) -> bytes:
    """(F, S, H) numbers of several loads as bytes: packed, or as they are where that is shorter."""
    packed = pack_halves(loads.reshape(-1, loads.shape[-1]))
    plain = np.ascontiguousarray(loads, dtype=HALF).tobytes()
    return min(plain, packed, key=len)


def unpack_loads(
    blob: bytes, n_loads: int, n_paths: int, n_horizon: int
) -> npt.NDArray[np.float16]:
    """(F, S, H) numbers of `pack_loads`, or of releases that never packed them.

    Args:
        blob: The bytes.
        n_loads: F.
        n_paths: S.
        n_horizon: H.

    Raises:
        ValueError: They are of other shapes.
    """
    shape = (n_loads, n_paths, n_horizon)
    if len(blob) == HALF.itemsize * n_loads * n_paths * n_horizon:
        return np.frombuffer(blob, dtype=HALF).reshape(shape)
    return unpack_halves(blob, n_loads * n_paths, n_horizon).reshape(shape)
