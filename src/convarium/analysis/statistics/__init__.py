"""Intervals, differences, equivalence, and how many seeds a question needs: pure functions of arrays of numbers.

Every result is a frozen dataclass. If the numbers cannot support an answer (one value, or values without any spread),
the field for it is None.
"""

from convarium.analysis.statistics.caution import Caution, caution
from convarium.analysis.statistics.differences import Difference, Equivalence, difference, equivalence
from convarium.analysis.statistics.failing import (
    fisher_test,
    runs_to_settle_half,
    settles_half,
)
from convarium.analysis.statistics.images import (
    McNemar,
    confusion_interval,
    image_interval,
    mcnemar,
    paired_interval,
)
from convarium.analysis.statistics.margins import LOSS_MARGIN, MARGINS, margin_of
from convarium.analysis.statistics.means import Estimate, estimate, prediction_interval
from convarium.analysis.statistics.pairs import PairedRatio, paired_ratio
from convarium.analysis.statistics.power import (
    LEAST_SEEDS,
    MOST_SEEDS,
    POWER,
    SeedsNeeded,
    seeds_needed,
    smallest_difference,
)
from convarium.analysis.statistics.ranks import rank_test, seeds_to_reach, smallest_p
from convarium.analysis.statistics.scales import Scale
from convarium.intervals import LEVEL, Interval

__all__ = [
    "LEAST_SEEDS",
    "LEVEL",
    "LOSS_MARGIN",
    "MARGINS",
    "MOST_SEEDS",
    "POWER",
    "Caution",
    "Difference",
    "Equivalence",
    "Estimate",
    "Interval",
    "McNemar",
    "PairedRatio",
    "Scale",
    "SeedsNeeded",
    "caution",
    "confusion_interval",
    "difference",
    "equivalence",
    "estimate",
    "fisher_test",
    "image_interval",
    "margin_of",
    "mcnemar",
    "paired_interval",
    "paired_ratio",
    "prediction_interval",
    "rank_test",
    "runs_to_settle_half",
    "seeds_needed",
    "seeds_to_reach",
    "settles_half",
    "smallest_difference",
    "smallest_p",
]
