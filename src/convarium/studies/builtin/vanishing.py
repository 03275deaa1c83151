"""Does a residual network train where a deep plain one fails because its gradient vanishes?

    convarium run vanishing                 5 seeds, 30 runs of 5 epochs
    measured    2026-11-23, 19 layers, 5 seeds: plain at chance five times (every image a 1), residual 98.9 %, over 90 %
                from the first epoch on; the shallower networks not run yet

So says the residual-blog of deep networks without norm, without a number. Its own network is made deeper, 1 to 4 of
its blocks at each width (7 to 19 layers), with its shortcuts and without, trained as it trains, for 5 epochs. A run
that fails stays at chance; the table of gradients shows whether they reach the first layers. `depth` asks the same of
networks with batch norm, where nothing vanishes and plain networks still fall behind.
"""

import dataclasses

from convarium.analysis.claims import Better, Fails
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

BLOCKS = (1, 2, 4)
_WHERE = "residual-blog, section 1"
_ASSUMED = "19 layers of the source's own blocks, trained as its small network for 5 epochs; it names no deep network"
_TRAINED = dataclasses.replace(recipe_preset("residual-blog", "residual_cnn@residual-blog"), epochs=5)


def network(blocks: int, *, residual: bool) -> str:
    """The spec of the source's network with so many blocks."""
    return f"residual_cnn(blocks={blocks}, residual={residual})"


PLAIN, RESIDUAL = network(BLOCKS[-1], residual=False), network(BLOCKS[-1], residual=True)

study = Study(
    name="vanishing",
    question="Does a residual network train where a deep plain one fails because its gradient vanishes?",
    recipes=with_seeds(
        [
            dataclasses.replace(_TRAINED, model=network(blocks, residual=residual))
            for blocks in BLOCKS
            for residual in (False, True)
        ],
        range(5),
    ),
    baseline=network(BLOCKS[0], residual=False),
    claims={
        "deep-plain-fails": Fails(PLAIN, source=_WHERE, assumed=_ASSUMED),
        "deep-residual-trains": Better(
            RESIDUAL, than=PLAIN, metric="epochs_to(test_accuracy=0.9)", source=_WHERE, assumed=_ASSUMED
        ),
    },
    shows=("gradients",),
    command="convarium run vanishing",
)
