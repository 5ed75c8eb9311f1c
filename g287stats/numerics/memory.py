"""Working arrays in large pages.

Most of the time of a fast regression goes into memory touched for the first time, page by page. numpy asks the system
for large pages (2 MB instead of 4 KB) from 4 MB on; arrays of a county panel are smaller, or begin and end between two
large pages. The memory set aside beyond the array is never touched.
"""

import numpy as np

_PAGE = 1 << 21
_SMALL = 1 << 17


def room(*shape: int) -> np.ndarray:
    """An uninitialised float array; where the system can, in whole large pages."""
    size = 8 * int(np.prod(shape))
    if size < _SMALL:
        return np.empty(shape)
    whole = -(-size // _PAGE) * _PAGE
    raw = np.empty(whole + _PAGE, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % _PAGE
    return raw[start : start + size].view(np.float64).reshape(shape)
