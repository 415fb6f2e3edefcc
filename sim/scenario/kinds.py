"""Kinds of devices: lists under ``devices``, each item a number of devices alike and what is different for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from sim.core.errors import shortened
from sim.core.settings import problems_error
from sim.scenario.devices import DevicesSettings
from sim.scenario.problems import Problem, problems_of
from sim.scenario.slo import SloSettings

# Parts of a scenario that a kind may change for its own devices; of ``models`` and ``link`` only some keys.
PARTS = ("workload", "slo", "models", "protocol", "controller", "compute", "link")
_MODEL_KEYS = ("draft", "middle")
PLACE_KEYS = ("positions_m", "distances_m", "snr_db", "speed_kmh")
_COMMON = ("duration_s", "warmup_s", "in_flight")


class KindSettings(DevicesSettings):
    """One kind of devices: keys of ``devices``, and parts of the scenario that are different for this kind."""

    unbounded_fields: ClassVar[frozenset[str]] = frozenset(PARTS)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)
    """What tables call these devices."""
    workload: dict[str, Any] = Field(default={})
    """Keys of `workload` that are different for them; the following likewise."""
    slo: dict[str, Any] | None = Field(default={})
    """Keys of `slo`; null for none of the scenario's objectives and no deadline."""
    models: dict[str, Any] = Field(default={})
    """Their `draft` and `middle` model; the target is the same for all."""
    protocol: dict[str, Any] = Field(default={})
    """Keys of `protocol`; `name` for another one."""
    controller: dict[str, Any] = Field(default={})
    """Keys of `controller`."""
    compute: dict[str, Any] = Field(default={})
    """What model work costs at these devices: keys of `compute.device`."""
    link: dict[str, Any] = Field(default={})
    """Where they are, `positions_m`, `distances_m` or `snr_db`, and how fast they move, `speed_kmh`: a list of one
    value per device, or, of the last two, a single number for all of them."""

    @field_validator(*PARTS, mode="before")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        """A part that is chosen by name may be given by its name alone; without objectives there are none at all."""
        if value is None and info.field_name == "slo":
            return dict.fromkeys(SloSettings.model_fields)
        if isinstance(value, str) and info.field_name in ("protocol", "controller", "compute"):
            return {"kind" if info.field_name == "compute" else "name": value}
        return value

    @field_validator("models")
    @classmethod
    def _no_target(cls, value: dict[str, Any]) -> dict[str, Any]:
        _only(value, _MODEL_KEYS, "a kind's models")
        return value

    @field_validator("link")
    @classmethod
    def _places_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        _only(value, PLACE_KEYS, "a kind's link")
        return value

    def changes(self) -> dict[str, Any]:
        """What is different for this kind, by dotted key of a scenario."""
        prefixes = {part: f"{part}.device." if part == "compute" else f"{part}." for part in PARTS if part != "link"}
        return {
            f"{prefix}{key}": value for part, prefix in prefixes.items() for key, value in getattr(self, part).items()
        }

    def own_devices(self) -> dict[str, Any]:
        """Its keys of ``devices`` that are set."""
        names = DevicesSettings.model_fields
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


def problem_of_kind(index: int, problem: Problem) -> Problem:
    """A problem of the scenario as it is for one kind, at the key with which the kind says it.

    Args:
        index: Of the kind among those under ``devices``.
        problem: Its path begins at the root of the kind's own scenario.
    """
    where = problem.where
    own = where[1:] if where[:1] == ("devices",) else where
    if where[:2] == ("compute", "device"):
        own = ("compute", *where[2:])
    return Problem(("devices", index, *own), problem.message)


def _only(value: Mapping[str, Any], valid: tuple[str, ...], what: str) -> None:
    for key in value:
        if key not in valid:
            raise ValueError(f"{what} may set {', '.join(valid)}, got {shortened(key)}")


class MixedDevices(DevicesSettings):
    """Devices of several kinds: how many there are in all, and the window that they share."""

    kinds: tuple[KindSettings, ...] = ()
    """The kinds."""


def together(items: Sequence[Any]) -> MixedDevices:
    """All kinds together.

    Args:
        items: What stands under ``devices``.

    Raises:
        ValidationError: An item is wrong, two have one name, or windows differ.
    """
    kinds = [_kind(index, item) for index, item in enumerate(items)]
    if not kinds:
        raise problems_error([((), "expected at least one kind of devices", items)])
    problems: list[tuple[tuple[str | int, ...], str, Any]] = []
    names = [kind.name for kind in kinds]
    for index, kind in enumerate(kinds):
        if kind.name in names[:index]:
            problems.append(((index, "name"), f"two kinds have the name {kind.name!r}", kind.name))
        for key in _COMMON:
            if getattr(kind, key) != getattr(kinds[0], key):
                message = f"all kinds share one window: {key} must be that of {names[0]!r}, {getattr(kinds[0], key)}"
                problems.append(((index, key), message, getattr(kind, key)))
    if problems:
        raise problems_error(problems)
    window = {key: getattr(kinds[0], key) for key in _COMMON}
    return MixedDevices(count=sum(kind.count for kind in kinds), **window, kinds=tuple(kinds))


def _kind(index: int, item: Any) -> KindSettings:
    if isinstance(item, KindSettings):
        return item
    try:
        return KindSettings.model_validate(item)
    except ValidationError as error:
        found = [((index, *problem.where), problem.message, None) for problem in problems_of(error, item)]
        raise problems_error(found) from error
