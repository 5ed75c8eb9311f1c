"""Long columns: working arrays in large pages, and sums that stay in cache and on one thread.

Most of the time of a fast regression goes into memory touched for the first time, page by page. numpy asks the system
for large pages (2 MB instead of 4 KB) from 4 MB on; arrays of a county panel are smaller, or begin and end between two
large pages. The memory set aside beyond the array is never touched.
"""

import numpy as np

_PAGE = 1 << 21
_SMALL = 1 << 17
ELEMENTS = 1 << 16
"""Elements that are worked on at a time (half a megabyte: they stay in cache)."""


def room(*shape: int) -> np.ndarray:
    """An uninitialised float array; where the system can, in whole large pages."""
    size = 8 * int(np.prod(shape))
    if size < _SMALL:
        return np.empty(shape)
    whole = -(-size // _PAGE) * _PAGE
    raw = np.empty(whole + _PAGE, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % _PAGE
    return raw[start : start + size].view(np.float64).reshape(shape)


def inner(*columns: np.ndarray) -> float:
    """Sum of the products of two or three columns, (n,) each."""
    rule = ",".join("i" * len(columns)) + "->"
    starts = range(0, len(columns[0]), ELEMENTS)
    return float(sum(np.einsum(rule, *(c[k : k + ELEMENTS] for c in columns)) for k in starts))


def subtract(y: np.ndarray, column: np.ndarray, factor: float) -> None:
    """``y −= factor · column`` in place, (n,) each."""
    step = ELEMENTS // 8  # the product is a new array, which should come from memory in use
    for k in range(0, len(y), step):
        y[k : k + step] -= factor * column[k : k + step]
