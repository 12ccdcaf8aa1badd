"""One BLAS thread for small matrices: on many cores the threads cost more than they gain."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread inside a `with` block."""
    return _controller().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@cache
def _controller() -> ThreadpoolController:
    # Looking for the libraries takes milliseconds, so it is done once a process.
    return ThreadpoolController()
