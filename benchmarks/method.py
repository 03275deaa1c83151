"""The figures of docs/method.md: each table is one measurement, made by its name.

    python benchmarks/method.py                   lists the measurements
    python benchmarks/method.py announced page    makes one, and writes the tables of docs/method.md anew

`announced` needs a quiet machine and Fashion-MNIST, and takes under four minutes. `differences`, `rules` and `means`
are simulations, which need neither and take some minutes.
"""

import sys

from measured_page import MeasuredPage, main

PAGE = MeasuredPage(
    "method",
    {
        "announced": "estimating:announced",
        "differences": "simulating:differences",
        "means": "simulating:means",
        "rules": "simulating:rules",
    },
)

if __name__ == "__main__":
    main(PAGE, sys.argv[1:])
