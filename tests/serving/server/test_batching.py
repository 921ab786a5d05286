"""Batches of the rows of several requests, with functions of NumPy."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from kerastricks.serving.server import batching
from kerastricks.serving.server.batching import Batches
from kerastricks.serving.server.status import ServingError

pytestmark = pytest.mark.tensorflow_only


class Doubled:
    """Doubles rows, waits for `let` before that, and notes the rows of each call."""

    def __init__(self):
        self.rows, self.begun, self.let = [], threading.Event(), threading.Event()
        self.let.set()

    def __call__(self, inputs, names):
        self.begun.set()
        assert self.let.wait(30)
        (rows,) = inputs
        self.rows.append(len(rows))
        if (rows < 0).any():
            raise ServingError("INVALID_ARGUMENT", "negative")
        return [{"double": rows * 2, "half": rows / 2, "sum": rows.sum(keepdims=True)}[name] for name in names]


@pytest.fixture
def call():
    return Doubled()


@pytest.fixture
def make(call):
    """Makes batches, with one request that runs while the next ones are submitted."""
    made = []

    def make(max_rows=8, delay=0.0):
        batches = Batches(call, max_rows, delay)
        made.append(batches)
        call.let.clear()
        first = batches.submit([np.zeros(1)], ("double",))
        assert call.begun.wait(30)
        return batches, first

    yield make
    call.let.set()
    for one in made:
        one.close()


def test_requests_that_wait_run_together_and_each_gets_its_rows_and_outputs(make, call):
    batches, first = make()
    given = [(np.array([1.0, 2.0]), ("double",)), (np.array([3.0]), ("half", "double")), (np.array([4.0]), ("half",))]
    answers = [batches.submit([rows], names) for rows, names in given]
    call.let.set()
    assert first.result(30)[0] == [0]
    for (rows, names), answer in zip(given, answers, strict=True):
        expected = [{"double": rows * 2, "half": rows / 2}[name] for name in names]
        np.testing.assert_array_equal(np.stack(answer.result(30)), expected)
    assert call.rows == [1, 4]


def test_batches_have_no_more_rows_than_they_may(make, call):
    batches, _ = make(max_rows=5)
    answers = [batches.submit([np.full(rows, 1.0)], ("double",)) for rows in (2, 2, 2, 5, 1)]
    call.let.set()
    assert [len(one.result(30)[0]) for one in answers] == [2, 2, 2, 5, 1]
    assert call.rows == [1, 4, 2, 5, 1]


def test_rows_of_another_shape_are_another_batch(make, call):
    batches, _ = make()
    answers = [batches.submit([np.ones((1, width))], ("double",)) for width in (2, 2, 3)]
    call.let.set()
    assert [one.result(30)[0].shape for one in answers] == [(1, 2), (1, 2), (1, 3)]
    assert call.rows == [1, 2, 1]


def test_a_request_that_spoils_its_batch_fails_alone(make, call):
    batches, _ = make()
    answers = [batches.submit([np.array([value])], ("double",)) for value in (1.0, -1.0, 2.0)]
    call.let.set()
    assert [answers[place].result(30)[0][0] for place in (0, 2)] == [2, 4]
    with pytest.raises(ServingError, match="negative"):
        answers[1].result(30)
    assert call.rows == [1, 3, 1, 1, 1]


def test_an_output_without_a_row_per_example_is_answered_alone(make, call):
    batches, _ = make()
    answers = [batches.submit([np.array([value, value])], ("sum",)) for value in (1.0, 2.0)]
    call.let.set()
    assert [one.result(30)[0].tolist() for one in answers] == [[2], [4]]


def test_a_request_whose_client_has_gone_does_not_run(make, call):
    batches, _ = make()
    gone, stays = (batches.submit([np.ones(1)], ("double",)) for _ in range(2))
    assert gone.cancel()
    assert len(batches._waiting) == 1
    call.let.set()
    assert stays.result(30)[0] == [2]
    assert call.rows == [1, 1]
    with pytest.raises(CancelledError):
        gone.result(0)


def test_a_client_that_goes_while_its_batch_runs_changes_nothing(make, call):
    batches, first = make()
    assert not first.cancel()
    call.let.set()
    assert batches.submit([np.ones(1)], ("double",)).result(30)[0] == [2]


def test_after_a_batch_of_several_it_waits_while_requests_keep_coming(make, call, monkeypatch):
    monkeypatch.setattr(batching, "_PAUSE", 0.2)
    batches, _ = make(delay=20.0)
    answers = [batches.submit([np.ones(1)], ("double",)) for _ in range(2)]
    call.let.set()
    for one in answers:
        one.result(30)
    answers = []
    for _ in range(4):
        answers.append(batches.submit([np.ones(1)], ("double",)))
        time.sleep(0.05)
    for one in answers:
        one.result(30)
    assert call.rows == [1, 2, 4]


def test_a_client_alone_waits_for_nobody(call, monkeypatch):
    monkeypatch.setattr(batching, "_PAUSE", 20.0)
    batches = Batches(call, 8, delay=20.0)
    for _ in range(3):
        assert batches.submit([np.ones(1)], ("double",)).result(10)[0] == [2]
    batches.close()


def test_what_waits_when_a_model_goes_is_refused(make, call):
    batches, first = make()
    waits = batches.submit([np.ones(1)], ("double",))
    closing = threading.Thread(target=batches.close)
    closing.start()
    with pytest.raises(ServingError, match="unloaded"):
        waits.result(30)
    call.let.set()
    closing.join(30)
    assert first.result(0)[0] == [0]
    with pytest.raises(ServingError, match="unloaded"):
        batches.submit([np.ones(1)], ("double",))
