"""One thread for small linear algebra.

The matrices of a county panel are periods by periods. Shared out among threads they are waited for longer than worked
on — many times longer where other work keeps the cores busy — and their sums would come in another order.
"""

from contextlib import AbstractContextManager

import scipy.linalg  # noqa: F401  its library must be there to be found
from threadpoolctl import ThreadpoolController

_LIBRARIES = ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Limit the linear algebra to one thread inside the ``with`` block."""
    return _LIBRARIES.limit(limits=1, user_api="blas")
