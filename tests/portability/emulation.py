r"""Windows' and macOS's rules, emulated on Linux for the process that runs this file:

    python tests/portability/emulation.py win32 FOLDER '[["compare", "lenet"], ["results", "s"]]'

It carries the commands out one after the other and prints after each, as a line on standard error, its exit code and
every breach of the rules so far that raises no error by itself. Emulated for "win32":

- a file that is open or mapped in this process cannot be replaced, renamed or deleted, nor a folder that holds one;
  a rename replaces nothing; a read-only file cannot be deleted; a folder cannot be opened;
- below FOLDER, names that Windows forbids or reserves, and paths of more than 259 characters, are refused, and names
  that differ in case alone are one file;
- POSIX's modules, the functions that Python lacks on Windows, its missing signals, and /proc, /sys and /dev are hidden
  from Convarium's own code, and `os.kill(pid, 0)`, which would end a process there, is a breach;
- a text file that Convarium opens without an encoding is a breach, and its lines end in "\r\n" unless it says "\n";
- processes are spawned, never forked.

For "darwin": case, /proc, the missing functions, and spawned processes. Other libraries see Linux, so what they do on
Windows themselves, and what only the real system does, is not tested.
"""

import builtins
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import stat
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
_LACKS_WINDOWS = """
    chown confstr chroot fchmod fchown fdatasync fork forkpty fstatvfs getegid geteuid getgid getgroups getloadavg
    getpgid getpgrp getpriority getuid getxattr killpg lchown mkfifo mknod nice openpty pathconf posix_fadvise
    posix_fallocate pread preadv pwrite pwritev register_at_fork sched_getaffinity sched_setaffinity sched_yield
    setgid setpgid setpriority setsid setuid setxattr statvfs sync sysconf ttyname uname wait wait3 wait4 waitid
    memfd_create pidfd_open WNOHANG O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC EX_OK
"""
_LACKS_MACOS = """
    fdatasync getxattr memfd_create pidfd_open posix_fadvise posix_fallocate sched_getaffinity
    sched_setaffinity setxattr
"""
_NO_SIGNALS = {"alarm", "getitimer", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigwait"}
_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
MISSING: dict[str, dict[str, set[str]]] = {
    "win32": {
        "os": set(_LACKS_WINDOWS.split()),
        "signal": {name for name in dir(signal) if name.startswith("SIG")} - _SIGNALS | _NO_SIGNALS,
        "time": {"tzset", "clock_gettime", "clock_settime", "pthread_getcpuclockid", "CLOCK_MONOTONIC"},
        "socket": {"AF_UNIX"},
    },
    "darwin": {
        "os": set(_LACKS_MACOS.split()),
        "signal": {"SIGPWR", "SIGSTKFLT", "SIGPOLL", "SIGRTMIN", "SIGRTMAX", "sigwaitinfo", "sigtimedwait"},
        "time": {"pthread_getcpuclockid"},
        "socket": set(),
    },
}
"""What Python lacks there, by module ("Availability" in its documentation)."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\\]|[ .]$')

breaches: list[str] = []
real = types.SimpleNamespace(
    **{name: getattr(os, name) for name in ("open", "stat", "lstat", "mkdir", "rename", "replace", "unlink", "rmdir")},
    **{name: getattr(os, name) for name in ("listdir", "scandir", "utime", "access", "readlink", "kill")},
    open_file=io.open,
    import_=builtins.__import__,
)


class Seen(types.ModuleType):
    """A module as Convarium sees it: some names are missing and some are others."""

    def __init__(self, module: types.ModuleType, missing: set[str], others: dict[str, Any]):
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _missing=missing, _others=others)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on this system")
        return self._others[name] if name in self._others else getattr(self._module, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._module, name, value)


def is_called_by_convarium() -> bool:
    """Whether Convarium's own code made the call, itself or through `pathlib`."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") in (__name__, "pathlib", "tempfile", "contextlib") and frame.f_back:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "convarium"


def install(platform: str, root: Path) -> None:
    """From now on this process keeps the platform's rules."""
    windows = platform == "win32"
    under = os.path.realpath(root)

    def located(path: Any) -> Any:
        """The path as the emulated system finds it; below the root, case does not matter."""
        if not isinstance(path, (str, os.PathLike)):
            return path
        text = os.path.abspath(os.fspath(path))  # noqa: PTH100
        if windows and text.startswith(("/proc", "/sys", "/dev/")) and text != os.devnull and is_called_by_convarium():
            raise FileNotFoundError(2, "No such file or directory", text)
        if platform == "darwin" and text.startswith(("/proc", "/sys")) and is_called_by_convarium():
            raise FileNotFoundError(2, "No such file or directory", text)
        if not text.startswith(under + os.sep):
            return path
        names = Path(text[len(under) + 1 :]).parts
        if windows:
            for name in names:
                if FORBIDDEN.search(name):
                    raise OSError(22, "Invalid argument", text)
                if RESERVED.fullmatch(name):
                    breaches.append(f"{name} is a device")
            if len(text) > 259:
                raise FileNotFoundError(2, "No such file or directory", text)
        found = under
        for name in names:
            exact = os.path.join(found, name)  # noqa: PTH118
            try:
                real.lstat(exact)
            except OSError:
                entries = real.listdir(found) if os.path.isdir(found) else []  # noqa: PTH112
                alike = [entry for entry in entries if entry.casefold() == name.casefold()]
                exact = os.path.join(found, alike[0]) if alike else exact  # noqa: PTH118
            found = exact
        return found

    def refuse_if_used(*paths: Any) -> None:
        """Windows: what is open or mapped stays where it is."""
        if not windows:
            return
        used = set()
        for number in real.listdir("/proc/self/fd"):
            try:
                used.add(real.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                continue
        with real.open_file("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            used |= {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
        for path in map(os.fspath, paths):
            full = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))  # noqa: PTH100, PTH118, PTH119, PTH120
            if any(other == full or other.startswith(full + os.sep) for other in used):
                raise PermissionError(13, "The process cannot access the file because it is being used", str(path))

    def one_path(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *args: Any, **options: Any) -> Any:
            return function(path if options.get("dir_fd") else located(path), *args, **options)

        return call

    def removing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, **options: Any) -> Any:
            path = located(path)
            refuse_if_used(path)
            if windows and function is real.unlink and not stat.S_IMODE(real.lstat(path).st_mode) & stat.S_IWUSR:
                raise PermissionError(13, "Access is denied", str(path))
            return function(path, **options)

        return call

    def moving(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any, **options: Any) -> Any:
            source, target = located(source), located(target)
            refuse_if_used(source, target)
            if windows and os.path.lexists(target) and str(source) != str(target):
                if function is real.rename:
                    raise FileExistsError(17, "Cannot create a file when that file already exists", str(target))
                if os.path.isdir(target):  # noqa: PTH112
                    raise PermissionError(13, "Access is denied", str(target))
            return function(source, target, **options)

        return call

    def open_descriptor(path: Any, flags: int, *args: Any, **options: Any) -> int:
        path = located(path)
        if windows and is_called_by_convarium() and isinstance(path, (str, os.PathLike)) and os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(13, "Permission denied", str(path))
        return int(real.open(path, flags, *args, **options))

    def open_file(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None, newline: Any = None,
        closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if "b" not in mode and is_called_by_convarium():
            if encoding in (None, "locale"):
                breaches.append(f"{file} is opened without an encoding")
            if newline is None and windows and set(mode) & set("wax+"):
                newline = "\r\n"
        return real.open_file(located(file), mode, buffering, encoding, errors, newline, closefd, opener)

    def kill(pid: int, number: int) -> None:
        if windows and number == 0:
            breaches.append("os.kill(pid, 0) ends the process on Windows")
        real.kill(pid, number)

    def refuse_link(*_: Any, **__: Any) -> None:
        raise OSError(22, "A required privilege is not held by the client")

    for name in ("stat", "lstat", "mkdir", "listdir", "scandir", "utime", "access"):
        setattr(os, name, one_path(getattr(real, name)))
    os.unlink = os.remove = removing(real.unlink)
    os.rmdir = removing(real.rmdir)
    os.rename, os.replace = moving(real.rename), moving(real.replace)
    os.open = open_descriptor
    builtins.open = io.open = open_file
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  # as on Windows
    multiprocessing.set_start_method("spawn")
    context = multiprocessing.get_context

    def get_context(method: str | None = None) -> Any:
        if windows and method in ("fork", "forkserver"):
            raise ValueError(f"cannot find context for {method!r}")
        return context(method)

    multiprocessing.get_context = get_context  # type: ignore[assignment]
    others: dict[str, dict[str, Any]] = {"os": {"kill": kill}, "signal": {}, "time": {}, "socket": {}}
    if windows:
        others["os"] |= {"name": "nt", "linesep": "\r\n", "symlink": refuse_link}
        others["signal"] |= {"SIGBREAK": 21, "CTRL_C_EVENT": 0, "CTRL_BREAK_EVENT": 1}
    modules: dict[str, types.ModuleType] = {"os": os, "signal": signal, "time": time, "socket": socket}
    seen = {name: Seen(module, MISSING[platform][name], others[name]) for name, module in modules.items()}
    seen["sys"] = Seen(sys, {"abiflags"} if windows else set(), {"platform": platform})

    def import_(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:  # noqa: A002
        if level == 0 and str((globals or {}).get("__name__")).partition(".")[0] == "convarium":
            if windows and name.partition(".")[0] in POSIX_MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in seen:
                return seen[name]
        return real.import_(name, globals, locals, fromlist, level)

    builtins.__import__ = import_


def main() -> None:
    """Carries out the commands of the command line."""
    platform, root, commands = sys.argv[1:]
    install(platform, Path(root))
    from convarium.__main__ import main as convarium
    from convarium.training import loop

    if hasattr(loop, "CHECKPOINT_SECONDS"):
        loop.CHECKPOINT_SECONDS = 0.0
    for words in json.loads(commands):
        sys.argv = ["convarium", *words]
        code = convarium()
        sys.stdout.flush()
        sys.stderr.write(f"\n{json.dumps({'code': code, 'breaches': breaches})}\n")


if __name__ == "__main__":
    main()
