"""The process of a search does not grow with its trials."""

import time

import psutil
import pytest
from search_processes import Search

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.slow]


def test_memory_after_50_trials_is_that_after_5(tmp_path):
    search = Search(tmp_path / "search", trials=50, epochs=1)
    process = search.start()
    parent, seen = psutil.Process(process.pid), {}
    while process.poll() is None:
        count = len(search.records)
        if count in (5, 50) and count not in seen:
            seen[count] = parent.memory_info().rss
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[1]
    print(f"{seen[5] / 2**20:.0f} MB after 5 trials, {seen[50] / 2**20:.0f} MB after 50")
    assert seen[50] - seen[5] < 100 * 2**20
