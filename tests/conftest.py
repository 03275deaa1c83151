"""What all tests share: `@pytest.mark.data("mnist", …)` skips where the data are not found, and fails in CI."""

import os
import signal

import pytest

from convarium.data import DATASETS
from convarium.data.sources import find

# A session that was begun in the background is deaf to Ctrl-C, and so would be what its tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("data")
    names = (marker.args or ("mnist", "fashion_mnist", "cifar10")) if marker else ()
    missing = [name for name in names if find(DATASETS[name]) is None]
    if missing:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"{', '.join(missing)} not found: set CONVARIUM_DATA")
