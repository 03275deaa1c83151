"""Two trained networks, and a page with both."""

import pytest

from convarium import Workspace

MODELS = ("lenet", "resnet(depth=8)")


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Two networks with two seeds each, and their weights after each epoch."""
    folder = tmp_path_factory.mktemp("store")
    workspace = Workspace(folder)
    workspace.compare(list(MODELS), name="both", seeds=2, epochs=2, learning_rate=0.05, batch_size=32, keep_weights=1)
    return folder


@pytest.fixture(scope="session")
def written(store):
    """In a file of its own, since tests write the study's page anew."""
    return Workspace(store).play("both", seeds=2, quiz=True, epochs=True, out=store / "written.html")
