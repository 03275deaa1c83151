"""The figures of docs/play.md: each table is one measurement, made by its name.

python benchmarks/play.py                lists the measurements
python benchmarks/play.py NAME...        makes them; the results go into results/play.json
python benchmarks/play.py page           writes the tables of docs/play.md anew from there
python benchmarks/play.py picture        draws docs/images/play.png anew

All need chromium and MNIST, `answers` and `sizes` CIFAR-10 too, and `strokes` a quiet machine. `answers` takes hours;
it can be stopped, and goes on where it stopped.
"""

import sys

from measured_page import MeasuredPage, main

PAGE = MeasuredPage(
    "play",
    {
        "answers": "play_answers:answers",
        "strokes": "play_strokes:strokes",
        "drawn": "play_drawn:drawn",
        "sizes": "play_answers:sizes",
    },
)

if __name__ == "__main__":
    if sys.argv[1:] == ["picture"]:
        from play_picture import draw_picture

        draw_picture()
    else:
        main(PAGE, sys.argv[1:])
