"""Locks between processes: the file of a lock stays where it is, and the lock ends with the process that holds it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from convarium.errors import LockedError, StoreError

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def lock_file(path: Path, what: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Locks a file against other processes, and against other threads of this one.

    Args:
        path: of the file, which is made with its folder if it does not exist, and never deleted: a process that waits
            for it would hold the lock of a file that is no longer there.
        what: what the lock stands for, as an error calls it.
        wait_seconds: how long to wait for another process; 0: not at all.

    Raises:
        LockedError: another process holds the lock.
        StoreError: the file system has no locks.
        OSError: the file cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=wait_seconds, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{what} is in use by another process", hint="wait for it, or use another --store folder"
        ) from error
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        raise StoreError(
            f"{path} cannot be locked: its file system has no locks", hint="use a --store folder on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
