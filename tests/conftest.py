"""What all tests share.

`@pytest.mark.data("mnist", …)` skips a test if the data sets are missing, and fails it if `CI` is set.
"""

import faulthandler
import importlib
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key, get_timeout_config_value

from convarium import kernels
from convarium.data import DATASETS
from convarium.data.sources import find
from convarium.kernels import loading
from convarium.models.zoo import resnet_imagenet
from convarium.models.zoo.layers import stages
from own_modules import forget

# A process started in the background ignores Ctrl-C, and so would the processes that its tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("data")
    names = (marker.args or ("mnist", "fashion_mnist", "cifar10")) if marker else ()
    missing = [name for name in names if find(DATASETS[name]) is None]
    if missing:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"{', '.join(missing)} not found: set CONVARIUM_DATA")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Limits the time of the teardown of a test that has failed, after which pytest itself watches no longer."""
    if seconds := get_timeout_config_value(item.config):
        faulthandler.dump_traceback_later(seconds, file=item.config.stash[fault_handler_stderr_fd_key], exit=True)
    return (yield)


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-18, -34 and -50 and GoogLeNet with few blocks, where it does not matter how many."""
    monkeypatch.setattr(resnet_imagenet, "stages", lambda widths, _, c_in: stages(widths, (1, 1, 1, 1), c_in))
    googlenet = importlib.import_module("convarium.models.zoo.googlenet")
    monkeypatch.setattr(googlenet, "_SMALL", (googlenet._SMALL[0], None, googlenet._SMALL[3]))


@pytest.fixture
def compiled() -> None:
    """Requires the compiled kernels; without a C compiler the test is skipped, or fails if `CI` is set."""
    if not kernels.is_available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no GNU C compiler")


@pytest.fixture
def anew(compiled: None) -> Iterator[None]:
    """Clears the cache of loaded kernels before and after the test."""
    loading._loaded.cache_clear()
    yield
    loading._loaded.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; modules that are imported from it are removed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    forget(tmp_path)
