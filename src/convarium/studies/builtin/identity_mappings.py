"""Which residual unit is best: where do norm and activation belong, and what may the shortcut do?

    convarium run identity_mappings         5 seeds, 55 runs of 164 epochs on CIFAR-10
    measured    not run yet

The follow-up that the residual-blog sets itself: try the blocks of He et al. 2016. Their tables 1 and 2 are of depth
110, medians of 5 runs; here every unit has depth 20, at which the differences may well be smaller, and the claims ask
for their direction alone.
"""

from convarium.analysis.claims import Better, Equivalent
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

ORIGINAL = "residual_variant(depth=20)"
PLACEMENTS = {
    name: f"residual_variant(depth=20, placement='{name}')"
    for name in ("norm_after_addition", "act_before_addition", "act_only_preactivation", "full_preactivation")
}
SHORTCUTS = {
    name: f"residual_variant(depth=20, shortcut='{name}')"
    for name in ("half", "half_both", "exclusive_gating", "shortcut_gating", "conv", "dropout")
}
_TABLE_1, _TABLE_2 = "he2016, table 1", "he2016, table 2"
_ASSUMED = "depth 20 in place of the paper's 110"

study = Study(
    name="identity_mappings",
    question="Which residual unit is best: where do norm and activation belong, and what may the shortcut do?",
    recipes=with_seeds(
        [recipe_preset("he2016", model) for model in (ORIGINAL, *PLACEMENTS.values(), *SHORTCUTS.values())], range(5)
    ),
    baseline=ORIGINAL,
    claims={
        "preactivation-is-better": Better(
            PLACEMENTS["full_preactivation"], than=ORIGINAL, source=_TABLE_2, assumed=_ASSUMED
        ),
        "act-only-on-par": Equivalent(
            PLACEMENTS["act_only_preactivation"], to=ORIGINAL, source=_TABLE_2, assumed=_ASSUMED
        ),
        "norm-after-addition-is-worse": Better(
            ORIGINAL, than=PLACEMENTS["norm_after_addition"], source=_TABLE_2, assumed=_ASSUMED
        ),
        "act-before-addition-is-worse": Better(
            ORIGINAL, than=PLACEMENTS["act_before_addition"], source=_TABLE_2, assumed=_ASSUMED
        ),
        **{
            f"identity-over-{name.replace('_', '-')}": Better(ORIGINAL, than=model, source=_TABLE_1, assumed=_ASSUMED)
            for name, model in SHORTCUTS.items()
        },
    },
    shows=("gradients",),
    command="convarium run identity_mappings",
)
