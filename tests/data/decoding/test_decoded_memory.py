"""Decoded images take memory once, or none where they are in a file."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
pytestmark = [pytest.mark.tensorflow_only, needs_proc]

COUNT, SIDE = 150, 520
ALLOWANCE = 40e6  # threads, images on their way


@pytest.fixture
def large(tmp_path):
    """150 images of 0.8 MB."""
    root = tmp_path / "large"
    root.mkdir()
    buffer = io.BytesIO()
    Image.effect_noise((SIDE, SIDE), 60).convert("RGB").save(buffer, "JPEG", quality=20)
    for index in range(COUNT):
        (root / f"{index:03}.jpg").write_bytes(buffer.getvalue())
    return root


@pytest.mark.slow
def test_memory_is_taken_once_or_not_at_all(large, tmp_path):
    total = COUNT * SIDE * SIDE * 3
    script = Path(__file__).with_name("decoded_memory.py")
    done = subprocess.run(
        [sys.executable, script, large, tmp_path / "cache"], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert seen["same"]
    assert seen["in_file"] < ALLOWANCE
    assert 0.8 * total < seen["in_memory"]
    assert seen["at_most"] < 1.05 * total + ALLOWANCE
    assert seen["afterwards"] < ALLOWANCE
