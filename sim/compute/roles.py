"""Values that a compute model's keys give once, for whatever model runs, or for each model role on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Discriminator, Tag
from typing_extensions import override

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.registry import ComputeFactory
from sim.core.errors import InputError
from sim.core.registry import RegistryEntry
from sim.core.settings import Settings

Role = Literal["draft", "middle", "target"]
V = TypeVar("V")


def _form(value: object) -> str:
    return "per-role" if isinstance(value, Mapping) else "all-roles"


# One value for all model roles, or a mapping of role to value.
PerRole = Annotated[
    Annotated[V, Tag("all-roles")] | Annotated[dict[Role, V], Tag("per-role")],
    Discriminator(_form),
]


class RoleSettings(Settings):
    """Keys of a compute model of which some may be given per model role."""

    def for_role(self, role: str) -> Self:
        """The keys as they are for one role.

        Raises:
            InputError: A value is given for other roles only.
        """
        if problem := self.problem_of(role):
            raise InputError(problem)
        return self.model_copy(update={name: values[role] for name, values in self._mappings()})

    def roles_given(self) -> list[str]:
        """The roles that nothing keeps from being priced."""
        return [role for role in get_args(Role) if self.problem_of(role) is None]

    def problem_of(self, role: str) -> str | None:
        """What keeps a model of this role from being priced; None if nothing does."""
        for name, values in self._mappings():
            if role not in values:
                return f"{name} is given for {', '.join(values)} only, not for the {role} model"
        return None

    def problem_together(self, roles: Sequence[str]) -> str | None:  # noqa: ARG002
        """What keeps models of these roles from sharing the site; None if nothing does, or nothing is known."""
        return None

    def notes_of(self, role: str) -> tuple[str, ...]:  # noqa: ARG002
        """What the user should know of how a model of this role is priced, as far as it follows from the keys alone."""
        return ()

    def _mappings(self) -> list[tuple[str, dict[str, Any]]]:
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return [(name, value) for name, value in values if isinstance(value, dict)]


def single(value: V | dict[Role, V]) -> V:
    """A value that is not given per role any more: ``RoleSettings.for_role`` has been asked."""
    if isinstance(value, dict):
        raise InputError(f"given per model role ({', '.join(value)}): say for which with for_role")
    return value


class NoCostModel(ComputeModel):
    """Stands for a model that its site's keys say nothing of: no harm as long as it never runs there.

    Args:
        problem: What to say when it does.
        key: The scenario's key that leaves it out.
    """

    def __init__(self, problem: str, key: str = "") -> None:
        self.problem = problem
        self.key: tuple[str, ...] = tuple(key.split(".")) if key else ()

    @override
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Refuse."""
        raise InputError(self.problem, self.key)


def problem_of(settings: Settings, role: str) -> str | None:
    """What keeps a model of this role from being priced under these keys; None if nothing does."""
    return settings.problem_of(role) if isinstance(settings, RoleSettings) else None


def problem_together(settings: Settings, roles: Sequence[str]) -> str | None:
    """What keeps models of these roles from sharing a site under these keys; None if nothing does."""
    return settings.problem_together(roles) if isinstance(settings, RoleSettings) else None


def notes_of(settings: Settings, role: str) -> tuple[str, ...]:
    """What the user should know of how a model of this role is priced under these keys."""
    if not isinstance(settings, RoleSettings) or settings.problem_of(role):
        return ()
    return settings.notes_of(role)


def make_cost_model(
    entry: RegistryEntry[ComputeFactory], settings: Settings, role: str, model: Any, site: str
) -> ComputeModel:
    """The compute model of one model role at one site.

    Args:
        entry: Of the registry ``COMPUTE``.
        settings: Its keys, as the scenario has them.
        role: Role of the model.
        model: The model or its metadata, or None where a caller has none.
        site: Where, for messages.
    """
    if problem := problem_of(settings, role):
        return NoCostModel(problem, f"compute.{site}")
    if isinstance(settings, RoleSettings):
        settings = settings.for_role(role)
    return entry.make(settings, model)
