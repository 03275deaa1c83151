"""Plain against residual from shallow to deep: from which depth on does the shortcut matter?

    convarium run depth                     5 seeds, 40 runs of 164 epochs on CIFAR-10
    measured    not run yet

The networks and the training of He et al. 2015, section 4.2. With batch norm nothing vanishes, and yet plain networks
grow worse with depth (figure 6). Table 6 has one run a network; the repository has means of 5 runs.
"""

from convarium.analysis.claims import Better, Claim, Reproduces
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

DEPTHS = (20, 32, 44, 56)
PLAIN = {depth: f"plain{depth}@he2015" for depth in DEPTHS}
RESIDUAL = {depth: f"resnet{depth}@he2015" for depth in DEPTHS}
TABLE_6 = {20: 0.9125, 32: 0.9249, 44: 0.9283, 56: 0.9303}
"""1 − error of ResNet."""
_RERUN = "github.com/nabla0001/resnet, mean of 5 runs"


def _claims() -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for depth in DEPTHS:
        claims[f"shortcut-matters-at-{depth}"] = Better(RESIDUAL[depth], than=PLAIN[depth], source="he2015, figure 6")
    for depth, accuracy in TABLE_6.items():
        claims[f"resnet{depth}-he2015"] = Reproduces(RESIDUAL[depth], accuracy, source="he2015, table 6")
    for depth, accuracy in ((20, 0.9022), (56, 0.8705)):
        claims[f"plain{depth}-rerun"] = Reproduces(PLAIN[depth], accuracy, runs=5, source=_RERUN)
    claims["plain-degrades"] = Better(PLAIN[20], than=PLAIN[56], source="he2015, figure 6")
    return claims


study = Study(
    name="depth",
    question="Plain against residual from shallow to deep: from which depth on does the shortcut matter?",
    recipes=with_seeds(
        [recipe_preset("he2015", kind[depth]) for depth in DEPTHS for kind in (PLAIN, RESIDUAL)], range(5)
    ),
    baseline=PLAIN[20],
    claims=_claims(),
    shows=("gradients",),
    command="convarium run depth",
)
