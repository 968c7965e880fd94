"""Sample paths as bytes, without loss: what a path adds from one step to the next, compressed.

Paths of half-precision numbers hardly compress as they stand: all their bits differ. A path goes on
near where it was, though, so the differences of its neighbours have few leading bits.

Shapes: S paths, H steps.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

HALF = np.dtype("<f2")
_BITS = np.dtype("<u2")


def pack_halves(halves: npt.NDArray[np.float16]) -> bytes:
    """(S, H) half-precision numbers as bytes; `unpack_halves` gives the very same back."""
    bits = np.ascontiguousarray(halves, dtype=HALF).view(_BITS).T
    steps = bits.copy()
    steps[1:] -= bits[:-1]  # modulo 2^16
    sign = (steps >> 15) * np.uint16(0xFFFF)
    folded = (steps << 1) ^ sign  # small ones of either sign first
    low, high = (folded & 0xFF).astype(np.uint8), (folded >> 8).astype(np.uint8)
    return zlib.compress(high.tobytes() + low.tobytes())


def unpack_halves(packed: bytes, n_paths: int, n_horizon: int) -> npt.NDArray[np.float16]:
    """(S, H) numbers of `pack_halves`.

    Args:
        packed: The bytes.
        n_paths: S.
        n_horizon: H.

    Raises:
        ValueError: They are of another number of paths or steps.
    """
    planes = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    high, low = planes.reshape(2, n_horizon, n_paths).astype(_BITS)
    folded = (high << 8) | low
    steps = (folded >> 1) ^ ((folded & 1) * np.uint16(0xFFFF))
    bits = np.cumsum(steps, axis=0, dtype=_BITS)
    return np.ascontiguousarray(bits.T).view(HALF)
