"""How many images of the known classes `predict --unknown` answers, and how many of other classes it catches."""

import tempfile

from torch import Tensor

import convarium
from convarium.inference.predict import Predictor, mean_probabilities
from convarium.inference.unknown import Floats

_CASES = (
    # data set, network, epochs, seeds, strangers
    ("digits", "lenet", 20, 1, "fashion_mnist"),
    ("digits", "lenet", 20, 5, "fashion_mnist"),
    ("mnist", "lenet", 3, 1, "fashion_mnist"),
    ("mnist", "residual_cnn", 3, 1, "fashion_mnist"),
    ("fashion_mnist", "lenet", 3, 1, "mnist"),
)

Rows = list[dict[str, str | int | float]]


def unknown() -> Rows:
    """Real test images: 500 times a random half of them sets the threshold for the other half.

    The networks are then shown the test images of another data set, which have none of their classes.
    """
    rows: Rows = []
    with tempfile.TemporaryDirectory() as store:
        workspace = convarium.Workspace(store, device="cpu")
        for dataset, model, epochs, seeds, strangers in _CASES:
            name = f"{dataset}-{model}-{seeds}"
            learnt = {"dataset": dataset, "epochs": epochs, "optimizer": "adam", "learning_rate": 0.001}
            workspace.compare([model], seeds=seeds, name=name, **learnt)
            predictor = workspace.predictor(ensemble=name, unknown=True)
            rule = predictor.rule
            assert rule is not None
            test = workspace.splits(workspace.find_run(predictor.runs[0]).recipe).test
            known = probabilities(predictor, test.images)
            answered, right = rule.answers(known), known.argmax(axis=1) == test.labels.numpy()
            others = rule.answers(probabilities(predictor, convarium.load_data(strangers).test.images))
            rows.append(
                {
                    "data set": dataset,
                    "network": model if seeds == 1 else f"{model}, mean of {seeds} seeds",
                    "test images": rule.n,
                    "answered (%)": 100 * rule.measured,
                    "from (%)": 100 * rule.low,
                    "to (%)": 100 * rule.high,
                    "right (%)": 100 * float(right.mean()),
                    "right of those answered (%)": 100 * float(right[answered].mean()),
                    "strangers": strangers,
                    "strangers 'unknown' (%)": 100 * float((~others).mean()),
                }
            )
    return rows


def probabilities(predictor: Predictor, images: Tensor) -> Floats:
    """The mean over the predictor's networks: (n, c, h, w) uint8 → (n, classes)."""
    return mean_probabilities(network.logits(images).numpy() for network in predictor.networks)
