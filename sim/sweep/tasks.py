"""Independent tasks, and what runs them: the interface, and the one that runs them right here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from sim.core.errors import InputError, RunError
from sim.core.user_code import exits_are_failures


@dataclass(frozen=True)
class Task:
    """One call: a function that a worker can import, and its arguments.

    Attributes:
        function: What to call.
        task: Its own argument.
        shared: Large second argument that several tasks have in common, or None.
    """

    function: Callable[..., Any]
    task: Any
    shared: bytes | None = None

    def run(self) -> Any:
        """Make the call.

        Raises:
            RunError: Code of a user's own ends the program in it.
        """
        with exits_are_failures():
            return self.function(self.task) if self.shared is None else self.function(self.task, self.shared)


TaskResult = tuple[int, Any, str]  # number of the task, its result, or why there is none


class Executor(ABC):
    """Runs independent tasks in any order.

    Attributes:
        shares_files: Whether the workers see this machine's files.
    """

    shares_files = True

    @abstractmethod
    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        """Yield the tasks' results as they come; a task that raises yields its message instead."""

    def get_ready(self, task: Task) -> None:  # noqa: B027 -- most have nothing to prepare
        """Let every worker make a call before there are tasks, beside whatever is done here; no result is awaited."""

    def close(self) -> None:  # noqa: B027 -- most have nothing to let go
        """Let the workers go."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def message_of(error: BaseException) -> str:
    """What went wrong, in a line."""
    if isinstance(error, InputError | RunError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def ended(number: int, get: Callable[[], Any]) -> TaskResult:
    """What became of a task, from a call that brings its result or raises what went wrong."""
    try:
        return number, get(), ""
    except Exception as error:
        return number, None, message_of(error)


def results_of(executor: Executor, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """A function of each item, by an executor; a call that goes wrong is made again and raises here."""
    results: dict[int, Any] = {}
    for number, result, failure in executor.run([Task(function, item) for item in items]):
        results[number] = function(items[number]) if failure else result
    return [results[number] for number in range(len(items))]


class InProcess(Executor):
    """One task after the other, right here."""

    @override
    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        for number, task in enumerate(tasks):
            yield ended(number, task.run)
