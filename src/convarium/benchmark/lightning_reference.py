"""The second reference: the same network, DataLoader and optimizer through Lightning's Trainer, as `uva` uses it.

As in the source, a progress bar runs (its output is discarded), TensorBoard logs (into a temporary folder), loss and
accuracy are logged in every step, and the learning rate in every epoch. What the source does once an epoch with other
splits, validation and the checkpoint of the best epoch, is left out, as it is for all contestants.
"""

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import MultiStepLR

from convarium.benchmark import reference
from convarium.benchmark.reference import Job
from convarium.errors import ConvariumError


def check_lightning() -> None:
    """Checks that Lightning is installed.

    Raises:
        ConvariumError: it is not installed.
    """
    if find_spec("lightning") is None:
        raise ConvariumError("Lightning is not installed", hint="pip install 'convarium[lightning]'")


def train_in_lightning(
    job: Job, arrays: tuple[np.ndarray, np.ndarray], device: str, on_step: Callable[[int], object]
) -> None:
    """Trains without end.

    Args:
        job: the network, optimizer and batches.
        arrays: images, (n, h, w) or (n, h, w, 3) uint8, and labels, (n,).
        device: "cpu", "cuda" or "cuda:1".
        on_step: called after every step with the number of its images.
    """
    import lightning  # an optional package
    from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        """CIFARModule of the UvA tutorial."""

        def __init__(self) -> None:
            super().__init__()
            self.model = job.network()

        def configure_optimizers(self) -> Any:
            optimizer = reference.optimizer_of(job, self.model)
            schedule = [MultiStepLR(optimizer, milestones=[100, 150], gamma=0.1)] if job.tag == "uva" else []
            return [optimizer], schedule

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
            images, labels = batch
            outputs = self.model(images)
            loss = F.cross_entropy(outputs, labels)
            accuracy = (outputs.argmax(dim=-1) == labels).float().mean()
            self.log("train_acc", accuracy, on_step=False, on_epoch=True)
            self.log("train_loss", loss)
            return loss

    def after_step(_trainer: Any, _module: Any, _outputs: Any, batch: tuple[Tensor, Tensor], _batch_idx: int) -> None:
        on_step(len(batch[1]))

    where = torch.device(device)
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w", encoding="utf-8") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
    ):
        trainer = lightning.Trainer(
            default_root_dir=folder,
            accelerator={"cuda": "gpu"}.get(where.type, where.type),
            devices=[where.index or 0] if where.type == "cuda" else 1,
            max_epochs=-1,
            callbacks=[LearningRateMonitor("epoch"), LambdaCallback(on_train_batch_end=after_step)],
            enable_progress_bar=True,
            enable_checkpointing=False,
        )
        trainer.fit(Module(), reference.loader(job, *arrays, device=device))
