"""Small linear algebra on one thread."""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

_WORTH_THREADS = 1_000_000_000


def one_thread(multiplications: int) -> AbstractContextManager:
    """Holds NumPy's matrix products to one thread where more would not pay.

    BLAS threads wait for each other in a busy loop. On small matrices that gains little, and on a machine that has
    other work it costs ten times the time: each product waits for whichever thread was put to sleep.

    Args:
        multiplications: in one of the products.

    Returns:
        A context: one thread inside up to a billion multiplications, as before above.
    """
    return threadpool_limits(limits=1 if multiplications < _WORTH_THREADS else None, user_api="blas")
