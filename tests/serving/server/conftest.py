"""One server for all tests that only ask it: exporting and loading a model are most of their time."""

import pytest
from loopback import Loopback, export, loaded


@pytest.fixture(scope="session")
def repository_and_predict(tmp_path_factory):
    """Folder of a repository with one model, and its predictions for an array of images."""
    return export(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def models(repository_and_predict):
    """The repository's model, loaded."""
    with loaded(repository_and_predict[0]) as found:
        yield found


@pytest.fixture(scope="session")
def server(models):
    """A server without a token."""
    with Loopback(models) as running:
        yield running


@pytest.fixture(scope="session")
def predict(repository_and_predict):
    """The served model's probabilities, (batch, 3)."""
    return repository_and_predict[1]
