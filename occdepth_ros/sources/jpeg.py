"""Check of the compressed data of baseline JPEG files.

Decoders only warn about damaged data and return an image: with grey blocks, or with its content displaced by whole
blocks from the damage on, which is a wrong disparity. The check follows the Huffman codes without decoding the pixels.
Source: ITU-T T.81, annexes B, C and F.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled

_DHT, _DRI, _SOS, _BASELINE = 0xC4, 0xDD, 0xDA, (0xC0, 0xC1)
WINDOW = 13
"""Bits that are looked up at once: several coefficients of a block where their codes and values are short."""
KEPT = 8
"""Sets of Huffman tables that are kept, of 1.2 MB each; most files have those of the standard."""
_OTHER_FRAMES = (0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)


def is_intact(contents: bytes) -> bool:
    """Return whether the compressed data have as many blocks as the header states.

    Args:
        contents: a JPEG file with complete segments.

    Returns:
        True also for what is not checked: progressive files, files with several scans, and frames of Motion JPEG, which
        leave out the tables of the standard.
    """
    segments: list[bytes] = []
    sampling: dict[int, int] = {}
    largest = size = (0, 0)
    restart, at = 0, 2
    while at + 4 <= len(contents):
        marker = contents[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", contents, at + 2)
        body = contents[at + 4 : at + 2 + length]
        at += 2 + length
        try:
            if marker in _OTHER_FRAMES:
                return True
            if marker in _BASELINE:
                size = struct.unpack_from(">HH", body, 1)
                parts = [(body[i], body[i + 1] >> 4, body[i + 1] & 15) for i in range(6, 6 + 3 * body[5], 3)]
                sampling = {name: across * down for name, across, down in parts}
                if not parts or not all(1 <= factor <= 4 for part in parts for factor in part[1:]):
                    return False
                largest = max(part[2] for part in parts), max(part[1] for part in parts)
            elif marker == _DHT:
                segments.append(body)
            elif marker == _DRI:
                (restart,) = struct.unpack(">H", body)
            elif marker == _SOS:
                if body[0] != len(sampling) or not segments:
                    return True
                # one component alone is not interleaved: its blocks are its units
                alone = len(sampling) == 1
                units = np.prod([-(-s // (8 * (1 if alone else n))) for s, n in zip(size, largest, strict=True)])
                scan = [(1 if alone else sampling[body[i]], body[i + 1]) for i in range(1, 1 + 2 * body[0], 2)]
                blocks = np.array([(ids >> 4, 4 + (ids & 15)) for count, ids in scan for _ in range(count)], np.int64)
                if blocks.max() >= 8:
                    return False
                data = np.frombuffer(contents, np.uint8, offset=at)
                return bool(_has_units(data, int(units), restart, blocks, *_tables_of(tuple(segments))))
        except (IndexError, KeyError, ValueError, struct.error):
            return False
    return False


@lru_cache(KEPT)
def _tables_of(segments: tuple[bytes, ...]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Return the Huffman tables that the contents of segments DHT define: four of DC and four of AC coefficients.

    Returns:
        symbol and, above, the length of the code that 16 bits begin with, 0 = none, `[8, 65536]`; and `_steps_of` them.
    """
    codes = np.zeros((8, 1 << 16), np.uint16)
    for body in segments:
        at = 0
        while at + 17 <= len(body):
            kind, counts = body[at], body[at + 1 : at + 17]
            symbols = body[at + 17 : at + 17 + sum(counts)]
            table = codes[4 * (kind >> 4) + (kind & 15)]
            table[:] = 0
            code = first = 0
            for length, count in enumerate(counts, 1):
                for symbol in symbols[first : first + count]:
                    table[code << (16 - length) : (code + 1) << (16 - length)] = length << 8 | symbol
                    code += 1
                first += count
                code <<= 1
            at += 17 + len(symbols)
    return codes, _steps_of(codes)


@compiled
def _steps_of(codes: Any) -> Any:
    """Return how far the AC coefficients reach that the next `WINDOW` bits hold, `[8, 2 ** WINDOW]` uint16.

    Bits 0 to 3 of an entry are the number of bits of whole codes with their values, 4 to 10 the number of coefficients,
    11 whether the block ends with them; 0 if the bits hold none.
    """
    steps = np.zeros((len(codes), 1 << WINDOW), np.uint16)
    for table in range(len(codes)):
        for head in range(1 << WINDOW):
            used, coefficients, end = 0, 0, 0
            while not end and coefficients < 64:
                entry = int(codes[table, (head << (16 - WINDOW + used)) & 0xFFFF])
                length, symbol = entry >> 8, entry & 0xFF
                if entry == 0 or used + length + (symbol & 15) > WINDOW:
                    break
                if symbol == 0:
                    end = 1
                elif coefficients + (symbol >> 4) + 1 > 63:
                    break
                else:
                    coefficients += (symbol >> 4) + 1
                used += length + (symbol & 15)
            steps[table, head] = used | coefficients << 4 | end << 11
    return steps


@compiled
def _has_units(data: Any, units: int, restart: int, blocks: Any, codes: Any, steps: Any) -> bool:
    """Return whether compressed data consist of so many units of blocks, with a marker after them.

    Args:
        data: from the first compressed byte on, `[N]` uint8.
        units: number of minimum coded units.
        restart: units between restart markers, 0 = none.
        blocks: tables of DC and AC coefficients by block of a unit, `[B, 2]`.
        codes, steps: as of `_tables_of`.
    """
    at, bits, available = 0, 0, 0
    ended = False
    for unit in range(units):
        if restart and unit and unit % restart == 0:
            # whole bytes are left over only if data are in excess
            if available >= 8:
                return False
            while at + 1 < len(data) and data[at] == 0xFF and data[at + 1] == 0xFF:
                at += 1
            if at + 1 >= len(data) or data[at] != 0xFF or data[at + 1] != 0xD0 + (unit // restart - 1) % 8:
                return False
            at, bits, available, ended = at + 2, 0, 0, False
        for block in range(len(blocks)):
            k = 0
            while k < 64:
                if available < 32 and not ended:
                    if at + 4 < len(data):
                        a, b, c, d = int(data[at]), int(data[at + 1]), int(data[at + 2]), int(data[at + 3])
                        if a != 0xFF and b != 0xFF and c != 0xFF and d != 0xFF:
                            bits = bits << 32 | a << 24 | b << 16 | c << 8 | d
                            at, available = at + 4, available + 32
                    while available < 32:
                        if at + 1 >= len(data) or (data[at] == 0xFF and data[at + 1] != 0):
                            ended = True
                            break
                        bits = bits << 8 | int(data[at])
                        at += 2 if data[at] == 0xFF else 1
                        available += 8
                if k and available >= WINDOW:
                    step = int(steps[blocks[block, 1], (bits >> (available - WINDOW)) & ((1 << WINDOW) - 1)])
                    after = k + ((step >> 4) & 127)
                    end = step >> 11
                    if step and after + end <= 64:
                        available -= step & 15
                        k = 64 if end else after
                        continue
                if available >= 16:
                    head = (bits >> (available - 16)) & 0xFFFF
                else:
                    missing = 16 - available
                    head = ((bits << missing) | ((1 << missing) - 1)) & 0xFFFF
                entry = int(codes[blocks[block, 0 if k == 0 else 1], head])
                symbol = entry & 0xFF
                value_bits = symbol & 15
                if k == 0:
                    value_bits = symbol
                    k = 1
                elif symbol == 0:
                    k = 64
                else:
                    k += (symbol >> 4) + 1
                    if k > 64:
                        return False
                available -= (entry >> 8) + value_bits
                if entry == 0 or value_bits > 16 or available < 0:
                    return False
    # encoders in hardware pad the data with zeros
    if bits & ((1 << (available - available % 8)) - 1):
        return False
    while not ended and at + 1 < len(data) and data[at] == 0:
        at += 1
    return ended or (at + 1 < len(data) and data[at] == 0xFF and data[at + 1] != 0)
