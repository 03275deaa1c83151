"""The figures of docs/own-images.md: each table is one measurement, made by its name.

python benchmarks/own_images.py                lists the measurements
python benchmarks/own_images.py NAME...        makes them; the results go into results/own_images.json
python benchmarks/own_images.py page           writes the tables of docs/own-images.md anew from there
"""

import sys

from measured_page import MeasuredPage, main

PAGE = MeasuredPage(
    "own_images",
    {
        "class_weights": "imbalance:class_weights",
        "second_reading": "reading:second_reading",
        "first_reading": "reading:first_reading",
        "larger_than_memory": "memory:larger_than_memory",
        "recommend": "recommendation:coverage",
        "predicting": "predicting:predicting",
        "unknown": "unknown_images:unknown",
        "start_from": "starting:start_from",
        "exported": "exporting:exported",
    },
)

if __name__ == "__main__":
    main(PAGE, sys.argv[1:])
