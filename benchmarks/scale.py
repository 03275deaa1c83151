"""The figures of docs/scale.md: each table is one measurement, made by its name.

    python benchmarks/scale.py                lists the measurements
    python benchmarks/scale.py NAME...        makes them; the results go into results/scale.json
    python benchmarks/scale.py page           writes the tables of docs/scale.md anew from there

`overhead`, `kills` and `memory` need no quiet machine; `speed` and `memory` need MNIST.
"""

import sys

from measured_page import MeasuredPage, main

PAGE = MeasuredPage(
    "scale",
    {
        "speed": "workers:speed",
        "memory": "workers:memory",
        "overhead": "workers:overhead",
        "kills": "workers:kills",
        "bits": "ray_runs:same_bits",
        "ray-kills": "ray_runs:kills",
        "store": "many_runs:store",
        "lightning": "devices:agreement",
        "scoring": "devices:scoring",
        "engines": "devices:seeds",
    },
)

if __name__ == "__main__":
    main(PAGE, sys.argv[1:])
