"""The space that is searched: from keys to the values that registries, settings classes and sweeps give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sim.core.errors import InputError, choices, did_you_mean, dotted
from sim.core.registry import Registry
from sim.core.settings import Settings
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.inputs.scenario_models import model_info_of
from sim.scenario.kinds import PARTS
from sim.scenario.overrides import apply_overrides, parse_axes
from sim.scenario.points import value_of
from sim.scenario.problems import Problem, ScenarioProblems, problems_of
from sim.scenario.schema import Scenario
from sim.sweep.advice.values import Values, values_of_field

if TYPE_CHECKING:
    import optuna

_PARTS: dict[str, Registry[Any]] = {"protocol": PROTOCOLS, "controller": CONTROLLERS}
# Keys whose settings state no upper bound: what is tried of them.
_LIMITS = {"candidates": 8}


@dataclass(frozen=True)
class Proposal:
    """A candidate's place in the space.

    Attributes:
        labels: What people call it: value by key.
        changes: What it sets, by dotted key.
    """

    labels: dict[str, Any]
    changes: dict[str, Any]


@dataclass(frozen=True)
class Option:
    """One of several values of a key, and what it sets."""

    label: Any
    changes: Mapping[str, Any]


class Space:
    """What a search is over.

    Args:
        scenario: What is advised on.
        over: Keys: ``variant`` (those of its sweep), ``protocol``, ``controller``, a key of theirs such as ``top_k``,
            any dotted key; and ``KEY=V1,V2,...`` with values of one's own. Keys that the scenario's sweep varies have
            the sweep's values.

    Raises:
        InputError: Unknown key, or one without bounds to search within.
    """

    def __init__(self, scenario: Scenario, over: Sequence[str]) -> None:
        self.base = {key: part for key, part in scenario.dump().items() if key != "sweep"}
        self.scenario = scenario
        given = parse_axes([text for text in over if "=" in text])
        names = [part.strip() for text in over if "=" not in text for part in text.split(",")]
        names = [name for name in names if name] + list(given)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or not names:
            raise InputError(f"{twice!r} is given twice" if twice else "name at least one key", place="--over")
        self.keys = sorted(names, key=lambda name: ("variant", "protocol", "controller", name).index(name))
        self._vocab_size = min(info.vocab_size for info in model_info_of(scenario).values())
        self._given = {key: _as_list(values) for key, values in given.items()}
        self._options: dict[str, list[Option]] = {}
        self._part_of: dict[str, str] = {}
        self._fitting: dict[str, list[str]] = {}
        for key in self.keys:
            self._check(key)

    def _check(self, key: str) -> None:
        sweep = self.scenario.sweep
        if key == "variant":
            if sweep is None or not sweep.variants:
                raise InputError("the scenario's sweep has no variants", place="--over")
            wanted = self._given.get(key, list(sweep.variants))
            missing = [name for name in wanted if name not in sweep.variants]
            if missing:
                raise InputError(f"no variant {missing[0]!r}; valid: {', '.join(sweep.variants)}", place="--over")
            self._options[key] = [Option(name, sweep.variants[name]) for name in wanted]
        elif key in _PARTS:
            self._options[key] = [Option(name, {f"{key}.name": name}) for name in self._names(key)]
        elif "." not in key:
            self._check_key_of_a_part(key)
        else:
            self._check_dotted(key)

    def _names(self, part: str) -> list[str]:
        """Entries that are tried: those given, or all that are registered; of protocols the lossless ones."""
        if part in self._given:
            return [_PARTS[part].find(str(name)).name for name in self._given[part]]
        entries = [entry for entry in _PARTS[part] if entry.traits.get("lossless", True)]
        if part == "controller":
            return [entry.name for entry in entries]
        return [entry.name for entry in entries if self._is_possible({"protocol.name": entry.name})]

    def _check_key_of_a_part(self, key: str) -> None:
        """A key that protocols or controllers have, by its last name."""
        owners = [
            (part, entry.name) for part, registry in _PARTS.items() for entry in registry if key in _fields(entry)
        ]
        if not owners:
            known = sorted({name for registry in _PARTS.values() for entry in registry for name in _fields(entry)})
            text = (
                f"unknown key {key!r}{did_you_mean(key, known)}; valid: variant, protocol, controller, a dotted key, "
            )
            raise InputError(f"{text}or a key of a protocol or controller: {choices(key, known)}", place="--over")
        possible = [(part, name) for part, name in owners if name in self._possible(part)]
        if not possible:
            named = ", ".join(sorted({name for _, name in owners}))
            raise InputError(f"{key!r} belongs to {named}, none of which is tried; name protocol, too", place="--over")
        # A key that both have is the protocol's, whose keys stand before those of controllers.
        part = self._part_of[key] = possible[0][0]
        names = [name for owner, name in possible if owner == part]
        if key in self._given:
            for value in self._given[key]:
                _refuse_out_of_bounds(part, names, key, value)
            return
        for name in names:
            self._values(part, name, key)

    def _possible(self, part: str) -> list[str]:
        """Protocols or controllers that a candidate may have."""
        changed = [option.changes for options in self._options.values() for option in options]
        found = {str(changes[f"{part}.name"]) for changes in changed if f"{part}.name" in changes}
        own: str = getattr(self.scenario, part).name
        return sorted(found) if part in self.keys else sorted({own, *found})

    def _check_dotted(self, key: str) -> None:
        sweep = self.scenario.sweep
        group = [key]
        if key not in self._given and sweep is not None and (key in sweep.axes or key in sweep.zip):
            group = list(sweep.zip) if key in sweep.zip else [key]
            columns = [sweep.zip[name] if key in sweep.zip else sweep.axes[name] for name in group]
            rows = [dict(zip(group, row, strict=True)) for row in zip(*columns, strict=True)]
        elif key in self._given:
            rows = [{key: value} for value in self._given[key]]
        else:
            self._dotted(key)
            return
        for row in rows:
            self._refuse_impossible(row, key)
        self._options[key] = [Option(row[key], row) for row in rows]

    def _dotted(self, key: str) -> Values:
        """The values that a dotted key may have, by the settings that hold it."""
        if not _has(*self._of_kind(key)):
            self._refuse_impossible({key: 0}, key)
            raise InputError(f"unknown key {key!r}; see specran list keys", place="--over")
        scenario, own = self._of_kind(key)
        above, _, name = own.rpartition(".")
        holder: Any = value_of(scenario, above) if above else scenario
        settings = getattr(holder, "settings", holder)
        found = values_of_field(type(settings), name) if isinstance(settings, Settings) else None
        if found is None:
            raise InputError(f"{key} has no bounds to search within; give them: --over {key}=V1,V2,...", place="--over")
        return found

    def _of_kind(self, key: str) -> tuple[Scenario, str]:
        """The scenario that holds a key, for a kind of devices its own, and the key there."""
        section, _, rest = key.partition(".")
        name, _, own = rest.partition(".")
        kind = next((one for one in self.scenario.by_kind() if one.name and one.name == name), None)
        if section != "devices" or kind is None or not own:
            return self.scenario, key
        part, _, inner = own.partition(".")
        if part not in PARTS or part == "link":
            return self.scenario, key
        return kind.scenario, f"compute.device.{inner}" if part == "compute" else own

    def _values(self, part: str, entry: str, key: str) -> Values:
        limit = self._vocab_size if key == "top_k" else _LIMITS.get(key)
        found = values_of_field(_PARTS[part].find(entry).settings, key, limit)
        if found is None:
            raise InputError(f"{key} has no bounds to search within; give them: --over {key}=V1,V2,...", place="--over")
        return found

    def _refuse_impossible(self, changes: Mapping[str, Any], key: str) -> None:
        try:
            Scenario.from_dict(apply_overrides(self.base, changes))
        except ScenarioProblems as error:
            problem = next((one for one in error.problems if self._is_about(one, key)), None)
            if problem is not None:
                hint = self._hint_of_kinds(key)
                raise InputError(problem.message + hint, problem.named or problem.where, "--over") from None

    def _is_about(self, problem: Problem, key: str) -> bool:
        """Whether a problem is that of a key or its value, and not one of what other keys the candidates may set."""
        for where in (dotted(problem.where), dotted(problem.named)):
            if where == key or where.startswith((f"{key}.", f"{key}[")):
                return True
            if where and key.startswith(f"{where}.") and not _has(self.scenario, key):
                return True
        return False

    def _hint_of_kinds(self, key: str) -> str:
        """How keys of kinds of devices are written, where a key begins with the name of a kind."""
        kind, _, rest = key.partition(".")
        if kind not in {one.name for one in self.scenario.by_kind()}:
            return ""
        parts = [part for part, registry in _PARTS.items() if any(rest in _fields(entry) for entry in registry)]
        written = ".".join(["devices", kind, *parts[:1], rest])
        return f"; keys of a kind are written devices.KIND.PART.KEY: {written}"

    def _is_possible(self, changes: Mapping[str, Any]) -> bool:
        try:
            Scenario.from_dict(apply_overrides(self.base, changes))
        except ScenarioProblems:
            return False
        return True

    def first_guesses(self) -> list[dict[str, Any]]:
        """Parameters to begin with: each value of the first key, all else as it comes."""
        options = self._options.get(self.keys[0], [])
        if self._is_ordered(self.keys[0]):
            return []
        return [{self.keys[0]: place} for place in range(len(options))]

    def _is_ordered(self, key: str) -> bool:
        labels = [option.label for option in self._options.get(key, [])]
        return all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)

    def propose(self, trial: optuna.Trial) -> Proposal | None:
        """What a trial stands for; None if its parts do not fit each other."""
        labels: dict[str, Any] = {}
        changes: dict[str, Any] = {}
        for key in self.keys:
            if key in self._options:
                option = self._option(trial, key, changes)
                if option is None:
                    return None
                labels[key] = option.label
                changes |= option.changes
            else:
                self._propose_field(trial, key, labels, changes)
        return Proposal(labels, changes) if self._is_possible(changes) else None

    def _option(self, trial: optuna.Trial, key: str, changes: Mapping[str, Any]) -> Option | None:
        options = self._options[key]
        if key == "controller":
            owner = str(changes.get("protocol.name", self.scenario.protocol.name))
            fitting = self._fitting_controllers(owner, changes)
            if not fitting:
                return None
            name = trial.suggest_categorical(f"controller@{owner}", fitting)
            return next(option for option in options if option.label == name)
        if self._is_ordered(key):
            return sorted(options, key=lambda option: float(option.label))[trial.suggest_int(key, 0, len(options) - 1)]
        return options[int(trial.suggest_categorical(key, list(range(len(options)))))]

    def _fitting_controllers(self, protocol: str, changes: Mapping[str, Any]) -> list[str]:
        known = self._fitting.get(protocol)
        if known is None:
            known = self._fitting[protocol] = [
                option.label
                for option in self._options["controller"]
                if self._is_possible({**changes, **option.changes})
            ]
        return known

    def _propose_field(self, trial: optuna.Trial, key: str, labels: dict[str, Any], changes: dict[str, Any]) -> None:
        """A key of the protocol or controller that the candidate has, or a dotted one; one that neither has is left."""
        if "." in key:
            changes[key] = labels[key] = self._dotted(key).suggest(trial, key)
            return
        part = self._part_of[key]
        name = str(changes.get(f"{part}.name", getattr(self.scenario, part).name))
        if key not in _fields(_PARTS[part].find(name)):
            return
        if key in self._given:
            place = trial.suggest_categorical(f"{key}@{name}", list(range(len(self._given[key]))))
            value = self._given[key][int(place)]
        else:
            value = self._values(part, name, key).suggest(trial, f"{key}@{name}")
        changes[f"{part}.{key}"] = labels[key] = value


def _fields(entry: Any) -> Iterable[str]:
    fields: Mapping[str, Any] = entry.settings.model_fields
    return fields


def _has(scenario: Scenario, key: str) -> bool:
    try:
        value_of(scenario, key)
    except (AttributeError, KeyError, StopIteration):
        return False
    return True


def _refuse_out_of_bounds(part: str, names: Sequence[str], key: str, value: Any) -> None:
    """Refuse a value that no entry which has the key takes."""
    problem: Problem | None = None
    for name in names:
        settings = _PARTS[part].find(name).settings
        if key not in _fields(_PARTS[part].find(name)):
            continue
        try:
            settings.model_validate({key: value})
        except ValidationError as error:
            own = [one for one in problems_of(error, {key: value}, (part,)) if one.where[1:2] == (key,)]
            if not own:
                return
            problem = problem or own[0]
        else:
            return
    if problem is not None:
        raise InputError(problem.message, problem.where, "--over")


def _as_list(values: Any) -> list[Any]:
    """An axis as ``--vary`` takes it: a list, or a range."""
    from pydantic import TypeAdapter

    from sim.scenario.sweep_schema import Axis

    try:
        checked: list[Any] = TypeAdapter(Axis).validate_python(values)
    except ValidationError as error:
        raise InputError(str(error.errors()[0]["msg"]).removeprefix("Value error, "), place="--over") from None
    return checked
