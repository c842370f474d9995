"""Triton's language, or what stands for it where Triton does not import: kernels can then be read but not run."""

from collections.abc import Callable
from typing import Any

try:
    import triton
    import triton.language as tl

    jit: Callable[..., Any] = triton.jit
    AVAILABLE = True
except ImportError:
    AVAILABLE = False

    class tl:  # type: ignore[no-redef]  # noqa: N801 - the name that every Triton kernel uses
        """Just enough for a kernel's signature to be defined."""

        constexpr = object

    def jit(function: Callable[..., Any]) -> Callable[..., Any]:
        """Leave a kernel as it is: nothing can launch it."""
        return function


def pieces(columns: int) -> tuple[int, int]:
    """Split a row into two powers of two, for blocks that Triton can hold: 1536 is 1024 + 512, 8960 is 8192 + 1024.

    The first piece is always full and the second may reach past the end: padding to one power of two would leave up
    to half of the lanes idle.
    """
    head = 1 << max((columns - 1).bit_length() - 1, 0)
    tail = 1 << max((columns - head - 1).bit_length(), 0)
    return head, tail


def warps(columns: int) -> int:
    """Return the warps for a row: about 12 to 36 elements a thread, so that a row stays in registers."""
    if columns > 4096:
        return 8
    return 4 if columns > 512 else 1
