"""Masks of the brush of Label Studio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closedform_wsss.io._annotations.shapes import BoolArray
from closedform_wsss.io._types import UInt8Array

_CHANNELS = 4  # red, green, blue, alpha


def from_brush(stored: Sequence[int], height: int, width: int) -> BoolArray:
    """The mask ``(height, width)`` of a list of bytes: the pixels with at least half of the largest alpha.

    The bytes are a stream of bits, the highest bit first: the number of values (32 bits), the bits of a value minus 1
    (5), four lengths of counts, each minus 1 (4 each), then blocks. A block is one bit, the index of a length (2), a
    count minus 1 of that length, and values: one, repeated, if the bit is set, else as many as the count. The values
    are red, green, blue and alpha of the pixels, row by row.

    Raises:
        ValueError: The list holds other numbers, ends early, or has another size.
    """
    data = np.asarray(stored)
    if data.ndim != 1 or data.dtype.kind not in "iu" or data.min() < 0 or data.max() > 255:
        raise ValueError("the rle of a brush must be a list of bytes, got other values")
    alpha = _Decoder(data.astype(np.uint8)).values(height * width * _CHANNELS)[_CHANNELS - 1 :: _CHANNELS]
    mask: BoolArray = (alpha > 0) & (2 * alpha.astype(int) >= int(alpha.max()))
    return mask.reshape(height, width)


class _Decoder:
    def __init__(self, data: UInt8Array) -> None:
        self.bytes = data.tobytes()
        self.bits = np.unpackbits(data)
        self.at = 0

    def values(self, expected: int) -> UInt8Array:
        number = self.read(32)
        if number != expected:
            raise ValueError(
                f"the rle of a brush must have {expected} values, four for each pixel of the image, got {number}: was "
                "the image replaced by one of another size?"
            )
        bits = self.read(5) + 1
        if bits > 8:
            raise ValueError(f"the rle of a brush must have values of at most 8 bits, got {bits}")
        lengths = [self.read(4) + 1 for _ in range(4)]
        values = np.zeros(number, np.uint8)
        start = 0
        while start < number:
            repeated = self.read(1)
            end = start + 1 + self.read(lengths[self.read(2)])
            if end > number:
                raise ValueError(f"the rle of a brush must have {number} values, got more")
            values[start:end] = self.read(bits) if repeated else self.array(end - start, bits)
            start = end
        return values

    def read(self, bits: int) -> int:
        """An unsigned number of up to 32 bits."""
        self.advance(bits)
        first = self.at - bits
        window = int.from_bytes(self.bytes[first // 8 : first // 8 + 5].ljust(5, b"\0"), "big")
        return (window >> (40 - first % 8 - bits)) & ((1 << bits) - 1)

    def array(self, number: int, bits: int) -> UInt8Array:
        """Numbers of up to 8 bits each."""
        self.advance(number * bits)
        groups = self.bits[self.at - number * bits : self.at].reshape(number, bits)
        return np.packbits(np.pad(groups, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]

    def advance(self, bits: int) -> None:
        self.at += bits
        if self.at > len(self.bits):
            raise ValueError("the rle of a brush ends early: is the file complete?")
