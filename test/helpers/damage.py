"""Damage of files: cut at a random byte, and random bytes replaced."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes, cut: bool = True, most: int = 4) -> bytes:
    """Return `content`, cut at any byte or whole, with up to `most` bytes replaced."""
    raw = bytearray(content)
    if cut and draw(st.booleans()):
        del raw[draw(st.integers(0, len(raw) - 1)) :]
    for _ in range(draw(st.integers(0 if cut else 1, most)) if raw else 0):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)
