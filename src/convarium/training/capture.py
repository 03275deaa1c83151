"""A training step captured once as a CUDA graph and replayed for every batch of the same shape.

Launched one by one, the few hundred small kernels of a step take the processor longer than the device needs to compute
them; a graph launches them all at once. It repeats what it saw, on the addresses it saw: so batches are copied into
buffers that stay, the learning rate lies in device memory and is filled in place, and what a network decides in Python
is decided once. Dropout is not frozen: a graph draws from the device's generator, as seeded when it is replayed.

No GPU has measured or run this yet. The tests replay a stand-in on the CPU, which like a graph repeats the recorded
operations on the recorded tensors; those that need a CUDA device are skipped where there is none.
"""

import logging
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(images, labels) → (mean loss, number right), all on the device, on which they are left."""

REHEARSALS = 3
"""Steps before a capture, in which libraries choose kernels and allocate what they keep; PyTorch's notes on CUDA graphs
take three.
"""


class Graph(Protocol):
    """What is needed of a CUDA graph."""

    def rehearse(self, call: Callable[[], None]) -> None:
        """Calls as often as a capture needs. RuntimeError: this cannot be captured."""

    def capture(self, call: Callable[[], None]) -> None:
        """Writes down what the call does, without doing it."""

    def replay(self) -> None:
        """Does it."""


def capturing(
    step: Step,
    tensors: Sequence[Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    generators: Sequence[torch.Generator] = (),
) -> Step:
    """The step itself, or on CUDA one that does the same as a graph, which is captured when it is first called.

    A step that cannot be captured, since it waits for the device, stays as it is, with a line in the log.

    Args:
        step: without its own memory from call to call.
        tensors: parameters and buffers that the step changes, on the device, always the same ones from the first call
            on.
        optimizers: those that the step calls, in PyTorch's fused form; their learning rates become tensors, to be
            filled in place.
        generators: that the step draws from beside the device's own.
    """
    device = tensors[0].device
    graph = graph_for(device, generators)
    if graph is None:
        return step
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)  # as the fused kernels read it
        if "capturable" in group:
            group["capturable"] = True  # Adam's word that its count of steps may lie on the device
    return _CapturedStep(step, graph, tensors, optimizers, [_own_generator(device), *generators])


def graph_for(device: torch.device, generators: Sequence[torch.Generator]) -> Graph | None:
    """An empty graph, which may draw from the device's own generator and from these; None where there are no graphs."""
    return _CudaGraph(device, generators) if device.type == "cuda" else None


class _CudaGraph:
    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]):
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)

    def rehearse(self, call: Callable[[], None]) -> None:
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        try:
            with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
                for _ in range(REHEARSALS - 1):
                    call()
                # A capture that fails leaves the device's generator unusable in some releases: better refused before.
                with _waiting_is_an_error():
                    call()
        finally:
            here.wait_stream(self.stream)

    def capture(self, call: Callable[[], None]) -> None:
        # `torch.cuda.graph` does not give the current stream back where a capture fails.
        here = torch.cuda.stream(torch.cuda.current_stream(self.device))
        with torch.cuda.device(self.device), here, torch.cuda.graph(self.graph, stream=self.stream):
            call()

    def replay(self) -> None:
        self.graph.replay()


class _CapturedStep:
    """Replays the step for batches of the shape that came first; a batch of another shape takes the step itself."""

    def __init__(
        self,
        step: Step,
        graph: Graph,
        tensors: Sequence[Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        generators: Sequence[torch.Generator],
    ):
        self.step = step
        self.graph: Graph | None = graph
        self.tensors, self.optimizers, self.generators = tensors, optimizers, generators
        self.batch: tuple[Tensor, Tensor] | None = None
        self.results: tuple[Tensor, Tensor] | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.graph and self.batch is None:
            self._capture(self.graph, images, labels)
        if self.graph is None or self.batch is None or self.results is None or images.shape != self.batch[0].shape:
            return self.step(images, labels)
        for buffer, value in zip(self.batch, (images, labels), strict=True):
            buffer.copy_(value)
        self.graph.replay()
        loss, right = self.results
        return loss.clone(), right.clone()

    def _capture(self, graph: Graph, images: Tensor, labels: Tensor) -> None:
        self.batch = images.clone(), labels.clone()
        try:
            with _unchanged(self.tensors, self.optimizers, self.generators) as drew_outside:
                graph.rehearse(self._once)
                if drew_outside():
                    raise RuntimeError("it draws random numbers in Python, which a graph would repeat")
            graph.capture(self._once)
        except RuntimeError as error:
            self.graph = self.batch = self.results = None
            reason = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning(
                "the training step cannot be captured as a CUDA graph and runs without one, more slowly: %s", reason
            )

    def _once(self) -> None:
        assert self.batch
        found = self.step(*self.batch)
        if self.results is None:  # in the first rehearsal
            self.results = torch.empty_like(found[0]), torch.empty_like(found[1])
        for result, value in zip(self.results, found, strict=True):
            result.copy_(value)


@contextmanager
def _unchanged(
    tensors: Sequence[Tensor], optimizers: Sequence[torch.optim.Optimizer], generators: Sequence[torch.Generator]
) -> Iterator[Callable[[], bool]]:
    """Puts tensors, optimizer states and random streams back in place; what an optimizer's state did not have is
    zero, from which all of ours begin. Gives a function that tells whether Python's own random streams have moved.
    """
    kept = [(tensor, tensor.detach().clone()) for tensor in (*tensors, *_states(optimizers))]
    known = {id(tensor) for tensor, _ in kept}
    drawn = [(generator, generator.get_state()) for generator in generators]
    python, host = random.getstate(), torch.get_rng_state()
    host_is_ours = any(generator.device.type == "cpu" for generator in generators)

    def drew_outside() -> bool:
        return random.getstate() != python or not (host_is_ours or torch.equal(torch.get_rng_state(), host))

    try:
        yield drew_outside
    finally:
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
            for tensor in _states(optimizers):
                if id(tensor) not in known:
                    tensor.zero_()
        for generator, state in drawn:
            generator.set_state(state)
        random.setstate(python)
        torch.set_rng_state(host)


def _states(optimizers: Sequence[torch.optim.Optimizer]) -> list[Tensor]:
    states: list[dict[str, Tensor | None]] = [state for optimizer in optimizers for state in optimizer.state.values()]
    return [value for state in states for value in state.values() if value is not None]


def _own_generator(device: torch.device) -> torch.Generator:
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    """RuntimeError where the processor would wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this check a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
