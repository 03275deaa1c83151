"""The Ray cluster that runs train on: how it is reached or started, and how many runs it has room for."""

import importlib
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convarium.errors import ConvariumError, RecipeError, RunError

_USAGE_REPORTS = "RAY_USAGE_STATS_ENABLED"
_HANDLED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        ConvariumError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ConvariumError("Ray is not installed", hint='pip install "convarium[ray]"') from error


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """Connects this process to a Ray cluster, and leaves it afterwards; a connection that was there before stays.

    Ray's reports of its use are off unless the environment variable RAY_USAGE_STATS_ENABLED turns them on, and nothing
    that Ray says reaches the terminal.

    Args:
        address: of the cluster, "10.0.0.1:6379"; None: that of the environment variable RAY_ADDRESS, else of a cluster
            that runs on this machine, else one is started here for the time of the context.

    Yields:
        Whether the cluster was started here, so that it never grows.

    Raises:
        ConvariumError: Ray is not installed.
        RunError: there is no such cluster, Ray cannot be started, or this process is connected to another cluster.
    """
    ray = import_ray()
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", there) and not _is_same(str(address), there):
            raise RunError(
                f"this process is connected to the Ray cluster at {there}, and not to {address}",
                hint="leave out the address, or call ray.shutdown() before",
            )
        yield False
        return
    private, is_own = ray._private.worker, False
    shown, private._worker_logs_enabled = private._worker_logs_enabled, False  # a lost worker goes to standard output
    try:
        with _kept_signals(), _without_usage_reports():
            try:
                ray.init(address or "auto", **_QUIET)
            except Exception as error:
                if address is not None or os.environ.get("RAY_ADDRESS"):
                    raise _unreachable(address or os.environ["RAY_ADDRESS"], error) from error
                is_own = True
                _start(ray)
        yield is_own
    finally:
        ray.shutdown()
        private._worker_logs_enabled = shown


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}


def _start(ray: Any) -> None:
    try:
        ray.init("local", **_QUIET)
    except Exception as error:
        raise RunError(
            f"Ray cannot be started here ({_first_line(error)})",
            hint="start it with `ray start --head`, which says more, or use --workers in place of --executor ray",
        ) from error


def _is_same(address: str, other: str) -> bool:
    """Whether two addresses may be of one cluster; that of a Ray Client has another port than the cluster's own."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    other_host, _, other_port = other.rpartition(":")
    if port != other_port and not address.startswith("ray://"):
        return False
    try:
        number = socket.gethostbyname(host)
        return number.startswith("127.") or number == socket.gethostbyname(other_host)
    except OSError:
        return False


def _unreachable(address: str, error: Exception) -> RunError:
    return RunError(
        f"the Ray cluster at {address} cannot be reached ({_first_line(error)})",
        hint="give the address that `ray start --head` has printed, such as 10.0.0.1:6379",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray handles SIGTERM in its own way, which ends the process without checkpoints: afterwards all is as it was."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in _HANDLED if hasattr(signal, name)] if is_main else []
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _without_usage_reports() -> Iterator[None]:
    is_chosen = _USAGE_REPORTS in os.environ
    os.environ.setdefault(_USAGE_REPORTS, "0")
    try:
        yield
    finally:
        if not is_chosen:
            del os.environ[_USAGE_REPORTS]


def check_shares(cpus: float, gpus: float | None) -> None:
    """Refuses shares of a machine that no run can have.

    Raises:
        RecipeError: naming the argument.
    """
    if not (math.isfinite(cpus) and cpus > 0):
        raise RecipeError("cpus_per_run is out of range", expected="more than 0", received=cpus)
    if gpus is not None and not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus == int(gpus))):
        raise RecipeError("gpus_per_run is out of range", expected="0 to 1, or a whole number", received=gpus)


def has_gpus(nodes: list[dict[str, Any]]) -> bool:
    """Whether any machine of the cluster has a GPU; nodes as `ray.nodes` gives them."""
    return any(node["Alive"] and node["Resources"].get("GPU", 0) >= 1 for node in nodes)


def places(nodes: list[dict[str, Any]], *, cpus: float, gpus: float) -> int:
    """How many runs a cluster has room for at the same time, if nobody else uses it.

    Args:
        nodes: as `ray.nodes` gives them.
        cpus, gpus: what each run takes.
    """
    return sum(_places_of(node["Resources"], cpus=cpus, gpus=gpus) for node in nodes if node["Alive"])


def _places_of(resources: dict[str, float], *, cpus: float, gpus: float) -> int:
    by_cpu = math.floor(resources.get("CPU", 0) / cpus + 1e-9)
    if not gpus:
        return by_cpu
    each = math.floor(1 / gpus + 1e-9) if gpus <= 1 else 1 / gpus  # a run shares one GPU, or has whole ones
    return min(by_cpu, math.floor(resources.get("GPU", 0) * each + 1e-9))
