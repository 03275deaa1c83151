"""Studies: a question, its recipes, how its runs are planned, trained, tuned and compared, and the published claims.

`study` has the words, `plan` and `run` carry a study out, `builtin` has one file for each built-in question, and
`catalogue` every published claim that they judge. Reading stored studies imports no PyTorch.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.studies.builtin import EXPERIMENTS, find_study
    from convarium.studies.catalogue import findings
    from convarium.studies.compare import compare_study
    from convarium.studies.events import StudyEvent
    from convarium.studies.plan import plan_study, prepare_study
    from convarium.studies.resources import Resources
    from convarium.studies.run import run_study, train_one
    from convarium.studies.study import Study, grid, with_seeds
    from convarium.studies.tuning import tune
    from convarium.studies.verdicts import judge_study

__all__ = [
    "EXPERIMENTS",
    "Resources",
    "Study",
    "StudyEvent",
    "compare_study",
    "find_study",
    "findings",
    "grid",
    "judge_study",
    "plan_study",
    "prepare_study",
    "run_study",
    "train_one",
    "tune",
    "with_seeds",
]

__getattr__ = lazy_names(
    __name__,
    {
        "builtin": ("EXPERIMENTS", "find_study"),
        "catalogue": ("findings",),
        "compare": ("compare_study",),
        "events": ("StudyEvent",),
        "plan": ("plan_study", "prepare_study"),
        "resources": ("Resources",),
        "run": ("run_study", "train_one"),
        "study": ("Study", "grid", "with_seeds"),
        "tuning": ("tune",),
        "verdicts": ("judge_study",),
    },
)
