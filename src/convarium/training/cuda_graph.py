"""Unproven: no GPU has run this file yet. A training step, captured once as a CUDA graph and replayed for every batch.

Launched one by one, the few hundred small kernels of a step take the processor longer than the device needs to compute
them; a graph launches them all at once. It repeats the operations that it recorded, on the memory that it recorded: so
batches are copied into buffers that stay, the learning rate is a tensor that is filled in place, and what a network
decides in Python is decided once. Dropout is not frozen: a graph draws from the device's generator, as seeded when it
is replayed.

The tests replay a stand-in on the CPU, which like a graph repeats the recorded operations on the recorded tensors;
those that need a CUDA device are skipped where there is none.
"""

import logging
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from convarium.training.state import Step

WARMUP_STEPS = 3
"""Steps before the capture, in which libraries choose kernels and allocate workspaces; PyTorch's notes on CUDA graphs
take three.
"""


class Graph(Protocol):
    """What is used of a CUDA graph."""

    def warm_up(self, call: Callable[[], None]) -> None:
        """Calls the function as often as a capture requires. RuntimeError: it cannot be captured."""

    def capture(self, call: Callable[[], None]) -> None:
        """Records the function's operations without carrying them out."""

    def replay(self) -> None:
        """Carries the recorded operations out."""


def capture_step(
    step: Step,
    tensors: Sequence[Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    generators: Sequence[torch.Generator] = (),
) -> Step:
    """Returns the step unchanged on the CPU, and on CUDA one that is captured as a graph when it is first called.

    A step that waits for the device cannot be captured: it runs as it is, and the log says so.

    Args:
        step: keeps no memory of its own between calls.
        tensors: parameters and buffers that the step changes, on the device; the same ones in every call.
        optimizers: those that the step calls, in PyTorch's fused form. On CUDA their learning rates become tensors,
            which are filled in place; their state is to be loaded before the first call.
        generators: those that the step draws from, besides the device's default one.
    """
    device = tensors[0].device
    graph = graph_for(device, generators)
    if graph is None:
        return step
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)  # as the fused kernels read it
        if "capturable" in group:
            group["capturable"] = True  # Adam then counts its steps on the device
    return _CapturedStep(step, graph, tensors, optimizers, [_default_generator(device), *generators])


def graph_for(device: torch.device, generators: Sequence[torch.Generator]) -> Graph | None:
    """An empty graph that may draw from the device's default generator and from these; None without CUDA."""
    return _CudaGraph(device, generators) if device.type == "cuda" else None


class _CudaGraph:
    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]):
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)

    def warm_up(self, call: Callable[[], None]) -> None:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        try:
            with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
                for _ in range(WARMUP_STEPS - 1):
                    call()
                # In some releases a failed capture leaves the device's generator unusable: better to refuse before.
                with _error_on_synchronization():
                    call()
        finally:
            current.wait_stream(self.stream)

    def capture(self, call: Callable[[], None]) -> None:
        # `torch.cuda.graph` does not restore the current stream where a capture fails.
        current = torch.cuda.stream(torch.cuda.current_stream(self.device))
        with torch.cuda.device(self.device), current, torch.cuda.graph(self.graph, stream=self.stream):
            call()

    def replay(self) -> None:
        self.graph.replay()


class _CapturedStep:
    """Replays the step for batches of the first batch's shape, and calls it for batches of any other shape."""

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
        loss, correct = self.results
        return loss.clone(), correct.clone()

    def _capture(self, graph: Graph, images: Tensor, labels: Tensor) -> None:
        self.batch = images.clone(), labels.clone()
        try:
            with _restored(self.tensors, self.optimizers, self.generators) as draws_outside:
                graph.warm_up(self._call_once)
                if draws_outside():
                    raise RuntimeError("it draws random numbers in Python, which a graph would repeat")
            graph.capture(self._call_once)
        except RuntimeError as error:
            self.graph = self.batch = self.results = None
            reason = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning(
                "the training step cannot be captured as a CUDA graph and runs without one, more slowly: %s", reason
            )

    def _call_once(self) -> None:
        assert self.batch
        values = self.step(*self.batch)
        if self.results is None:  # in the first warm-up step
            self.results = torch.empty_like(values[0]), torch.empty_like(values[1])
        for result, value in zip(self.results, values, strict=True):
            result.copy_(value)


@contextmanager
def _restored(
    tensors: Sequence[Tensor], optimizers: Sequence[torch.optim.Optimizer], generators: Sequence[torch.Generator]
) -> Iterator[Callable[[], bool]]:
    """Restores tensors, optimizer state and RNG state on exit; state created inside is zeroed, which is how our
    optimizers start. Yields a function that says whether a random stream outside of `generators` has advanced.
    """
    before = [(tensor, tensor.detach().clone()) for tensor in (*tensors, *_state_tensors(optimizers))]
    saved = {id(tensor) for tensor, _ in before}
    generator_states = [(generator, generator.get_state()) for generator in generators]
    python_state, cpu_state = random.getstate(), torch.get_rng_state()
    cpu_is_included = any(generator.device.type == "cpu" for generator in generators)

    def draws_outside() -> bool:
        cpu_advanced = not (cpu_is_included or torch.equal(torch.get_rng_state(), cpu_state))
        return cpu_advanced or random.getstate() != python_state

    try:
        yield draws_outside
    finally:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
            for tensor in _state_tensors(optimizers):
                if id(tensor) not in saved:
                    tensor.zero_()
        for generator, state in generator_states:
            generator.set_state(state)
        random.setstate(python_state)
        torch.set_rng_state(cpu_state)


def _state_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> list[Tensor]:
    states: list[dict[str, Tensor | None]] = [state for optimizer in optimizers for state in optimizer.state.values()]
    return [value for state in states for value in state.values() if value is not None]


def _default_generator(device: torch.device) -> torch.Generator:
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


@contextmanager
def _error_on_synchronization() -> Iterator[None]:
    """Makes PyTorch raise a RuntimeError where the processor would wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this check a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
