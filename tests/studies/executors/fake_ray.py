"""A Ray whose actors are objects of this process, and which loses those that a test wants lost."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """An actor was lost."""


class RayTaskError(RayError):
    """A method of an actor has raised an error."""

    def as_instanceof_cause(self) -> BaseException:
        """That error."""
        assert self.__cause__
        return self.__cause__


class FakeRay:
    """What `RayWorkers` uses of the module.

    Attributes:
        cpus: of its only machine; one, because runs that train in one process share PyTorch's generator.
        options: those of every actor that was asked for.
        lose: asked before each call of an actor with its number, from 0, and the method's name: what Ray says of its
            loss; None: it is not lost.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, cpus: float = 1.0) -> None:
        self.cpus, self.options, self.alive = cpus, list[dict[str, Any]](), True
        self.lose: Callable[[int, str], str | None] = lambda number, method: None
        self.puts, self.actors = 0, list[_Actor]()

    def is_initialized(self) -> bool:
        return True

    def put(self, value: object) -> object:
        self.puts += 1
        return _Object(value)

    def get(self, reference: Any) -> Any:
        return [self.get(each) for each in reference] if isinstance(reference, list) else reference.value()

    def wait(self, references: list[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert (num_returns, timeout) == (len(references), 0)
        living = [actor for actor in self.actors if not actor.is_lost][: max(1, int(self.cpus))]
        done = [reference for reference in references if reference.actor in living or reference.actor.is_lost]
        return done, [reference for reference in references if reference not in done]

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "here", "Alive": self.alive, "Resources": {"CPU": self.cpus}}]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "here", gcs_address="192.0.2.1:6379")

    def kill(self, actor: Any, *, no_restart: bool) -> None:
        assert no_restart
        actor.end()

    def remote(self, kind: type) -> Any:
        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=lambda *words: self._placed(kind(*words)))

        return SimpleNamespace(options=options)

    def _placed(self, actor: Any) -> "_Actor":
        self.actors.append(_Actor(self, actor, len(self.actors)))
        return self.actors[-1]


class _Object:
    def __init__(self, value: object, actor: "_Actor | None" = None) -> None:
        self._value, self.actor = value, actor

    def value(self) -> object:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class _Actor:
    def __init__(self, ray: FakeRay, actor: Any, number: int) -> None:
        self._ray, self._actor, self._number, self.is_lost = ray, actor, number, False

    def end(self) -> None:
        """What is trained in it ends soon."""
        self.is_lost = True
        self._actor._stop.set()
        self._actor._trainer.shutdown()
        self._actor.close()

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *words, **named: self._call(method, words, named))

    def _call(self, method: str, words: tuple[Any, ...], named: dict[str, Any]) -> _Object:
        if method == "__ray_terminate__":
            self.is_lost = True
            return _Object(None)
        said = "it has ended" if self.is_lost else self._ray.lose(self._number, method)
        if said is not None:
            self.end()
            return _Object(RayError(said), self)
        try:
            return _Object(getattr(self._actor, method)(*words, **named), self)
        except Exception as error:
            wrapped = RayTaskError(str(error))
            wrapped.__cause__ = error
            return _Object(wrapped, self)
