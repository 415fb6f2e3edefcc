"""The schema of a scenario: every key with its unit, its bounds, its default and what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, ValidationError, field_validator, model_validator
from pydantic_core import CoreSchema

from sim.compute.registry import COMPUTE
from sim.core.errors import InputError, did_you_mean, shortened, unknown_name_message
from sim.core.selection import SelectedFrom, Selection
from sim.core.settings import Settings, problems_error
from sim.core.yaml_text import write_values
from sim.decoding.controllers.registry import CONTROLLERS, refuse_misfit
from sim.decoding.core.controller import Controls
from sim.decoding.core.steps import Location
from sim.decoding.protocols.registry import PROTOCOLS, TreeSettings, refuse_large_trees
from sim.links.registry import LINKS
from sim.scenario.devices import MAX_REQUESTS, DevicesSettings
from sim.scenario.kinds import PLACE_KEYS, KindSettings, MixedDevices, problem_of_kind, together
from sim.scenario.model_sets import MODEL_SETS, models_of_set
from sim.scenario.overrides import apply_overrides
from sim.scenario.places import places_of, unpriced
from sim.scenario.problems import Problem, ScenarioProblems, named_by_kind, problems_of
from sim.scenario.slo import SloSettings
from sim.scenario.sweep_schema import SEED_STRIDE, SweepSettings
from sim.scenario.workload import WorkloadSettings
from sim.serving.registry import ENGINES
from sim.serving.sites_settings import SitesSettings

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")

# Seeds are keys of 64 bits.
MAX_SEED = (1 << 64) - 1


class ModelsSettings(Settings):
    """The language models, by role; `models: embedded` or `models: smollm2` names all that ship under that name."""

    draft: str = "smollm2/draft"
    """Draft model: `smollm2/draft` or `embedded/draft`, a Hugging Face name, a local folder, a GGUF file; with
    `#layers=8` its first eight layers only, with `#layers=0,7,14` those three. `target#layers=8` takes the target's."""
    target: str = "smollm2/target"
    """Target model; `smollm2/target` is fetched once (93 MB). With no network: `models: embedded`."""
    middle: str = "embedded/middle"
    """Model between draft and target, for hierarchical protocols; that of the default goes with `embedded/target`."""
    draft_vocabulary: Literal["same", "shared_tokens"] = "same"
    """`same`: draft and target must have the same tokens. `shared_tokens`: a draft of another family proposes those
    that both have, compared by their text (arXiv 2502.05202, token-level intersection); exact like any other draft."""
    device: str = "auto"
    """Where PyTorch runs them: `auto`, `cpu`, `cuda` or one of several such as `cuda:1`, `mps`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Numerics. Half precision makes results depend on batch shapes. On a CPU that multiplies `bfloat16`, models of the
    Llama family decode up to twice as fast with it."""
    wire_vocab_size: int | None = Field(default=None, ge=2, le=10_000_000)
    """Tokens of a larger (or smaller) vocabulary that messages are charged for: rows, ids and sets of indices take the
    bits that they would take there, while texts and acceptance stay those of the models. None charges what is sent."""

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        """Whether a machine may have it; whether this one has it is seen by a run."""
        if not _DEVICE.fullmatch(value):
            raise ValueError(unknown_name_message("device", value, ("auto", "cpu", "cuda", "cuda:0", "mps")))
        return value

    @model_validator(mode="before")
    @classmethod
    def _pair_by_name(cls, data: Any) -> Any:
        """The models that ship under one name, from that name alone."""
        if not isinstance(data, str):
            return _without_code(data)
        if data not in MODEL_SETS:
            raise ValueError(unknown_name_message("set of models", data, MODEL_SETS))
        return models_of_set(data)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A mapping, or the name of a set."""
        by_role = super().__get_pydantic_json_schema__(core_schema, handler)
        return {"anyOf": [by_role, {"enum": list(MODEL_SETS)}]}


def _without_code(data: Any) -> Any:
    """A file that someone else has written must not make a checkpoint's code run."""
    if not isinstance(data, Mapping) or "trust_remote_code" not in data:
        return data
    if data["trust_remote_code"]:
        text = "counts only as a flag on the command line, --trust-remote-code; take it out of the scenario"
        raise problems_error([(("trust_remote_code",), text, True)])
    return {key: value for key, value in data.items() if key != "trust_remote_code"}


# What pydantic makes choices of, as YAML has it.
_PROTOCOL: Any = {"name": "tslt", "top_k": 64}
_FIXED: Any = "fixed"
_CONTINUOUS: Any = "continuous"
ENGINE = SelectedFrom(ENGINES, "engine", "continuous")
BACKHAUL_KEYS = ("one_way_delay_s", "backhaul_mbps")


class CloudSettings(Settings):
    """The cloud site behind the edge and its backhaul, for protocols that use one; keys of its server stand beside."""

    server: Annotated[Selection, ENGINE] = Field(default=_CONTINUOUS, validate_default=True)
    """The cloud's model server; in YAML its keys stand beside the following ones."""
    one_way_delay_s: float = Field(default=0.01, ge=0, le=1000)
    """Delay between edge and cloud, each way."""
    backhaul_mbps: float = Field(default=1000.0, ge=1e-6, le=1e9)
    """Rate between edge and cloud, each way."""

    @model_validator(mode="before")
    @classmethod
    def _server_apart(cls, data: Any) -> Any:
        if isinstance(data, CloudSettings):
            return data
        if not isinstance(data, Mapping):
            return {"server": ENGINE.parse(data)}
        backhaul = {key: data[key] for key in BACKHAUL_KEYS if key in data}
        return {**backhaul, "server": ENGINE.parse({key: value for key, value in data.items() if key not in backhaul})}


SITES = ("device", "edge", "cloud")
ComputeChoice = Annotated[Selection, SelectedFrom(COMPUTE, "kind")]


@dataclass(frozen=True)
class Kind:
    """Devices of one kind.

    Attributes:
        name: What tables call them; empty where all devices are alike.
        first: Index of the first of them.
        scenario: The scenario as it is for them.
    """

    name: str
    first: int
    scenario: Scenario


class DevicesOrKinds:
    """How JSON Schema sees ``devices``: a mapping, or a list of kinds."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kind = handler(KindSettings.__pydantic_core_schema__)
        return {"anyOf": [handler(schema), {"type": "array", "items": kind, "minItems": 1}]}


class Scenario(Settings):
    """One scenario: everything that a run depends on.

    Build one with :meth:`from_dict` or :func:`sim.scenario.load_scenario`; change one with :meth:`replace`.
    """

    model_config = ConfigDict(validate_default=True)

    name: str = Field(default="scenario", pattern=_NAME, max_length=100)
    """Name of the result folder."""
    seed: int = Field(default=1, ge=0, le=MAX_SEED)
    """Master seed of all random numbers."""
    devices: Annotated[DevicesSettings, DevicesOrKinds()] = DevicesSettings()
    """The devices and when they ask; or a list of kinds of devices, each with a name and parts that are different."""
    workload: WorkloadSettings = WorkloadSettings()
    """Prompts and sampling."""
    slo: SloSettings = SloSettings()
    """What latencies are held against."""
    models: ModelsSettings = ModelsSettings()
    """Language models by role."""
    protocol: Annotated[Selection, SelectedFrom(PROTOCOLS, "name")] = Field(default=_PROTOCOL)
    """Decoding protocol, by its `name`, with its own keys."""
    controller: Annotated[Selection, SelectedFrom(CONTROLLERS, "name")] = Field(default=_FIXED)
    """Controller of the protocol's controls, by its `name`, with its own keys."""
    link: Annotated[Selection, SelectedFrom(LINKS, "kind")] = Field(default=_FIXED)
    """The link between devices and edge, by its `kind`, with its own keys."""
    edge: Annotated[Selection, ENGINE] = Field(default=_CONTINUOUS)
    """The edge's model server, by its `engine`, with its own keys."""
    cloud: CloudSettings = Field(default_factory=CloudSettings)
    """The cloud site, its model server and the backhaul to it."""
    compute: dict[str, ComputeChoice] = Field(default={})
    """What model work costs at each site (device, edge, cloud), by the `kind` of its cost model, with its own keys."""
    sweep: SweepSettings | None = None
    """What `specran sweep` varies."""

    @field_validator("devices", mode="before")
    @classmethod
    def _kinds_together(cls, value: Any) -> Any:
        return together(value) if isinstance(value, list | tuple) else value

    @field_validator("compute", mode="before")
    @classmethod
    def _every_site(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected one compute model per site, got {shortened(value)}")
        wrong = [site for site in value if site not in SITES]
        if wrong:
            valid = ", ".join(SITES)
            raise problems_error(
                [
                    ((s,), f"unknown site {shortened(s)}{did_you_mean(s, SITES)}; valid: {valid}", value[s])
                    for s in wrong
                ]
            )
        return {site: value.get(site, "calibrated") for site in SITES}

    @model_validator(mode="after")
    def _parts_fit(self) -> Scenario:
        self._refuse_misfits()
        return self

    def _refuse_misfits(self) -> None:
        problems = [
            *_too_many_requests(self.devices),
            *_seeds_beyond_bounds(self.seed, self.sweep),
            *_misfits(self.protocol, self.controller),
            *unpriced(self.protocol, self.edge, *(self.compute[site] for site in SITES)),
            *_not_one_each(self.link, self.devices.count),
            *_wrong_kinds(self),
            *_thinks_in_vain(self),
            *_layer1_elsewhere(self),
            *_nothing_to_assign(self),
            *_sites_misfit(self),
        ]
        if problems:
            raise problems_error([(problem.where, problem.message, None) for problem in problems], "parts_do_not_fit")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scenario:
        """Check a scenario given as nested mappings.

        Raises:
            ScenarioProblems: Unknown keys, wrong types, impossible values; all of them, the first is the message.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise ScenarioProblems(named_by_kind(problem, data) for problem in problems_of(error, data)) from None

    def dump(self) -> dict[str, Any]:
        """As nested plain values, every default filled in; ``from_dict`` of it is an equal scenario."""
        keys: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            if isinstance(value, Selection):
                keys[field] = value.dump()
            elif isinstance(value, CloudSettings):
                keys[field] = {**value.server.dump(), **{key: getattr(value, key) for key in BACKHAUL_KEYS}}
            elif field == "compute":
                keys[field] = {site: choice.dump() for site, choice in value.items()}
            elif isinstance(value, MixedDevices):
                keys[field] = [kind.model_dump(mode="json", exclude_defaults=True) for kind in value.kinds]
            elif isinstance(value, Settings):
                keys[field] = value.model_dump(mode="json", exclude_none=True)
            elif value is not None:
                keys[field] = value
        return keys

    @property
    def edge_sites(self) -> SitesSettings | None:
        """Keys of the edge's sites, where there are several or one that may fail."""
        return getattr(self.edge.settings, "sites", None)

    def placed(self) -> dict[str, list[Location]]:
        """Where each role's model runs: where the protocol has it, and at the cloud if that stands in for the edge."""
        return places_of(self.protocol, self.edge)

    @property
    def servers(self) -> dict[str, Selection]:
        """The model servers by site."""
        return {"edge": self.edge, "cloud": self.cloud.server}

    def by_kind(self) -> list[Kind]:
        """Each kind of devices with the scenario as it is for them, in the order of their indices.

        Raises:
            ScenarioProblems: What a kind changes does not fit.
        """
        if not isinstance(self.devices, MixedDevices):
            return [Kind("", 0, self)]
        base = self.dump()
        base.pop("sweep", None)
        base["link"] = {
            key: value for key, value in base["link"].items() if key not in PLACE_KEYS or not isinstance(value, list)
        }
        found: list[Kind] = []
        first = 0
        for index, kind in enumerate(self.devices.kinds):
            changes = {**kind.changes(), "devices": kind.own_devices()}
            try:
                found.append(Kind(kind.name, first, Scenario.from_dict(apply_overrides(base, changes))))
            except ScenarioProblems as error:
                raise ScenarioProblems([problem_of_kind(index, problem) for problem in error.problems]) from error
            first += kind.count
        return found

    def placed_link(self) -> Settings:
        """The link's keys, with the places and speeds of all kinds of devices in one list.

        A kind that does not set what others do takes the link's own single value.

        Raises:
            ScenarioProblems: A place that cannot be, or some kinds have places and others none.
        """
        kinds = self.devices.kinds if isinstance(self.devices, MixedDevices) else ()
        link = SelectedFrom(LINKS, "kind")
        used = sorted({key for kind in kinds for key in kind.link})
        if not used:
            return self.link.settings
        lists: dict[str, list[Any]] = {key: [] for key in used}
        for index, kind in enumerate(kinds):
            try:
                link.parse({**self.link.dump(), **kind.link})
            except ValidationError as error:
                raise ScenarioProblems(problems_of(error, kind.link, ("devices", index, "link"))) from error
            for key in used:
                own = getattr(self.link.settings, key, None)
                values = kind.link.get(key, None if isinstance(own, list) else own)
                values = values if isinstance(values, list) else [values] * kind.count
                if len(values) != kind.count or None in values:
                    message = f"expected {kind.count} values, one per device of {kind.name!r}: others have {key}"
                    raise ScenarioProblems([Problem(("devices", index, "link", key), message)])
                lists[key] += values
        return link.parse({**self.link.dump(), **lists}).settings

    def to_yaml(self) -> str:
        """The dump as YAML text that loads back equal."""
        return write_values(self.dump())

    def replace(self, key: str, value: Any) -> Scenario:
        """This scenario with one dotted key changed, such as ``replace("link.uplink_mbps", 5)``.

        Raises:
            ScenarioProblems: No such key, or a value that it cannot have.
        """
        return Scenario.from_dict(apply_overrides(self.dump(), {key: value}))

    def with_parts(self, parts: Mapping[str, Any]) -> Scenario:
        """This scenario with other parts, each of them checked; what must fit together is looked at here.

        Raises:
            ValidationError: Parts that do not fit.
        """
        changed = self.model_copy(update=parts)
        changed._refuse_misfits()
        return changed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and self.dump() == other.dump()

    def __hash__(self) -> int:
        return hash(repr(self.dump()))


def _too_many_requests(devices: DevicesSettings) -> list[Problem]:
    each = devices.requests_per_device
    if each is None or devices.count * each <= MAX_REQUESTS:
        return []
    total = devices.count * each
    message = f"{devices.count} devices with {each} requests each issue {total}; valid: {MAX_REQUESTS} in all"
    return [Problem(("devices", "requests"), message)]


def _thinks_in_vain(scenario: Scenario) -> list[Problem]:
    """In an open loop nobody waits for an answer, but for the next message of a chat."""
    devices = scenario.devices
    if devices.is_closed_loop or not devices.think_time_s or scenario.workload.turns > 1:
        return []
    message = "think_time_s has a meaning with arrivals: closed, or with workload.turns above 1"
    message += f"; with arrivals: {shortened(devices.arrivals)[1:-1]} take it out (--set devices.think_time_s=0)"
    return [Problem(("devices", "think_time_s"), message)]


def _nothing_to_assign(scenario: Scenario) -> list[Problem]:
    """A controller that divides the uplink or plans verify batches, where nobody goes by that."""
    controller, link, edge = scenario.controller, scenario.link, scenario.edge
    problems = []
    if controller.trait("sets_shares") and link.entry.loaded and not getattr(link.entry.make, "has_shares", False):
        text = f"controller {controller.name!r} divides the uplink, and link {link.name!r} has no shares"
        problems.append(Problem(("link", "kind"), f"{text}; valid: shannon, nr"))
    if controller.trait("sets_shares") and getattr(link.settings, "scheduler", "qos") != "qos":
        problems.append(Problem(("link", "scheduler"), f"controller {controller.name!r} sets weights; valid: qos"))
    if controller.trait("plans_batches") and getattr(edge.settings, "policy", None) != "cohort":
        text = f"controller {controller.name!r} plans verify batches; valid: cohort (of engine continuous)"
        problems.append(Problem(("edge", "policy"), text))
    return problems


def _layer1_elsewhere(scenario: Scenario) -> list[Problem]:
    """Layer 1 has slots over ``nr`` only, and lies at the edge, on one GPU."""
    if getattr(scenario.cloud.server.settings, "ran_sharing", None) is not None:
        return [Problem(("cloud", "ran_sharing"), "layer 1 lies at the edge; valid: edge.ran_sharing")]
    if getattr(scenario.edge.settings, "ran_sharing", None) is None:
        return []
    if scenario.link.name != "nr":
        message = f"layer 1 needs the slots of link.kind 'nr', got {scenario.link.name!r}"
        return [Problem(("edge", "ran_sharing"), message)]
    if scenario.edge.settings.replicas > 1:  # type: ignore[attr-defined]
        return [Problem(("edge", "ran_sharing"), "layer 1 shares one GPU; valid: with edge.replicas 1")]
    return []


def _sites_misfit(scenario: Scenario) -> list[Problem]:
    """Sites of the edge that the link's cells do not have, or that other keys leave no room for."""
    if getattr(scenario.cloud.server.settings, "sites", None) is not None:
        return [Problem(("cloud", "sites"), "the cloud is one site; valid: edge.sites")]
    sites = scenario.edge_sites
    if sites is None:
        return []
    found = []
    if scenario.compute["edge"].name == "measured":
        found.append(Problem(("edge", "sites"), "compute.edge measured has one site, this host; valid: another kind"))
    link = scenario.link.settings
    is_radio = scenario.link.name == "nr" and getattr(link, "channel", "") == "radio"
    num_sites = sites.num_sites(link.num_sites * link.sectors_per_site if is_radio else 1)  # type: ignore[attr-defined]
    for index, outage in enumerate(sites.outages):
        if outage.site >= num_sites:
            message = f"got {outage.site}; valid: 0 to {num_sites - 1}, the sites of the link's cells"
            found.append(Problem(("edge", "sites", "outages", index, "site"), message))
    if sites.outages and sites.fallback == "draft" and scenario.protocol.entry.loaded:
        placed = scenario.placed()
        if placed.get("draft") != [Location.DEVICE]:
            message = f"protocol {scenario.protocol.name!r} has no draft model at the device; valid: cloud, none"
            found.append(Problem(("edge", "sites", "fallback"), message))
    return found


def _wrong_kinds(scenario: Scenario) -> list[Problem]:
    """What is wrong with what kinds of devices change."""
    if not isinstance(scenario.devices, MixedDevices):
        return []
    try:
        scenario.by_kind()
        scenario.placed_link()
    except ScenarioProblems as error:
        return error.problems
    return []


def _seeds_beyond_bounds(seed: int, sweep: SweepSettings | None) -> list[Problem]:
    """The last replication's seed must be one, too."""
    room = 0 if sweep is None else (sweep.replications - 1) * SEED_STRIDE
    if seed + room <= MAX_SEED:
        return []
    message = f"leaves no room for the seeds of {sweep.replications if sweep else 1} replications, got {seed}"
    return [Problem(("seed",), f"{message}; valid: 0 to {MAX_SEED - room}")]


def _misfits(protocol: Selection, controller: Selection) -> list[Problem]:
    if not (protocol.entry.loaded and controller.entry.loaded):
        return []
    made = controller.entry.make(controller.settings)
    try:
        refuse_misfit(controller.name, made.adjusts, protocol.name, protocol.trait("controls") or ())
    except InputError as error:
        return [Problem(("controller", "name"), error.message)]
    if isinstance(protocol.settings, TreeSettings):
        try:
            refuse_large_trees(made.upper_bound(Controls(tuple(protocol.settings.branching))).branching)
        except ValueError as error:
            return [Problem(("controller",), str(error))]
    return []


def _not_one_each(link: Selection, num_devices: int) -> list[Problem]:
    """Lists of the link that must hold a value per device and do not."""
    found = []
    for key in link.trait("per_device") or ():
        values = getattr(link.settings, key)
        if isinstance(values, list) and len(values) != num_devices:
            message = f"got {len(values)} values; valid: one per device, {num_devices} (devices.count)"
            found.append(Problem(("link", key), message))
    return found
