"""Independent streams of random numbers, all derived from one seed."""

import hashlib


def derive_seed(seed: int, name: str, index: int = 0) -> int:
    """A 63-bit seed that depends on its three arguments alone: on every machine, in every version of Python.

    Args:
        seed: the run's.
        name: what the numbers are drawn for: "shuffle", "augment", "dropout". Streams of other names are unrelated.
        index: the epoch or step, so that a run can be taken up there without the numbers that came before.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
