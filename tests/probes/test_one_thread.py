"""Threads of BLAS are held back where they do not pay."""

import pytest
from threadpoolctl import threadpool_info

from kerastricks.probes.rows import one_thread

pytestmark = pytest.mark.tensorflow_only


def threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_small_products_run_on_one_thread_and_large_ones_as_before():
    before = threads()
    with one_thread(10**6):
        assert set(threads()) <= {1}
    with one_thread(10**10):
        assert threads() == before
    assert threads() == before
