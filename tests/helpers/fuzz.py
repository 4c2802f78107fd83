"""Ways to damage a file, for tests that feed readers with what nobody meant to write.

Everything is drawn from a ``random.Random``, so a seed repeats a run. A file is damaged blindly here, byte by byte;
``fuzz_formats`` makes valid files and damages them with an eye on their format, so that what is wrong lies behind the
checksums.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# Numbers at which sizes and offsets overflow, change sign or run out of memory.
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)

Damage = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def truncated(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Its beginning."""
    return data[: rng.randrange(len(data) + 1)]


def flipped(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Some bits the other way round."""
    values = bytearray(data)
    for _ in range(min(1 << rng.randrange(6), len(data))):
        values[rng.randrange(len(values))] ^= 1 << rng.randrange(8)
    return bytes(values)


def renumbered(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A binary number of 1 to 8 bytes overwritten by one of ``NUMBERS``."""
    size = rng.choice((1, 2, 4, 8))
    number = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))
    at = rng.randrange(max(len(data) - size, 0) + 1)
    return data[:at] + number + data[at + size :]


def recounted(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A decimal number in the text replaced by one of ``NUMBERS``, or by what is none."""
    digits = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if not digits:
        return data
    start = end = rng.choice(digits)
    while end < len(data) and 48 <= data[end] < 58:
        end += 1
    number = rng.choice((*map(str, NUMBERS), "-1", "1e308", "nan", "inf", "0x1", "", "1" * 5000))
    return data[:start] + number.encode() + data[end:]


def moved(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A piece cut out, doubled, or put elsewhere."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    piece = data[start : min(end, start + 200)]
    at = rng.randrange(len(data) + 1)
    doubled = data[:at] + piece + data[at:]
    return rng.choice((data[:start] + data[start + len(piece) :], doubled, data[:at] + piece * 3 + data[at:]))


def spliced(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of this file and the end of another one, or another's header on this."""
    other = rng.choice(others)
    if rng.random() < 0.3:
        size = rng.randrange(16)
        return other[:size] + data[size:]
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def garbled(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Noise in place of a piece, or behind the end."""
    at = rng.choice((len(data), rng.randrange(len(data) + 1)))
    noise = rng.randbytes(rng.randrange(64))
    return data[:at] + noise + data[at + rng.choice((0, len(noise))) :]


DAMAGES: tuple[Damage, ...] = (truncated, flipped, flipped, renumbered, recounted, moved, spliced, garbled)


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The file after one to three damages; ``others`` are files to splice with."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(DAMAGES)(rng, data, others)
    return data
