"""Sets of up to 64 things as the bits of a word."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

BITS = 64


def _count_trailing_zeros(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


first_bit: Any = intrinsic(_count_trailing_zeros)
"""Compiled: the number of the lowest bit that is set in an unsigned word, one instruction; of 0 it has no meaning."""
