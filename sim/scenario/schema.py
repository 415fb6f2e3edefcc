"""The schema of a scenario: every key with its unit, its bounds, its default and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from sim.compute.registry import COMPUTE
from sim.compute.roles import problem_of, problem_together
from sim.core.errors import InputError, unknown_name_message
from sim.core.settings import Settings
from sim.decoding.controllers.registry import CONTROLLERS, refuse_misfit
from sim.decoding.protocols.registry import PROTOCOLS, sites_of
from sim.links.registry import LINKS
from sim.nodes.engine.registry import ENGINES
from sim.scenario.choice import Choice, parse_choice
from sim.scenario.problems import Problem, ScenarioProblems, problems_of
from sim.scenario.sweep_schema import SweepSettings

# Models that ship together, by the name that they are called by, and the roles that they have.
MODEL_SETS = {"embedded": ("draft", "middle", "target"), "smollm2": ("draft", "target")}

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class DevicesSettings(Settings):
    """The devices (UEs) and when they ask."""

    count: int = Field(default=1, ge=1, le=100_000)
    """Devices in the cell."""
    requests: int = Field(default=1, ge=1)
    """Requests that each device issues."""
    arrivals: Literal["closed", "poisson"] | str = "closed"
    """When requests are issued: `closed` (after the last answer and a think time), `poisson` (open loop, queueing at
    the device), or a CSV file with columns time_s and, optionally, device (open loop; looped over the devices)."""
    think_time_s: float = Field(default=0.0, ge=0)
    """Mean think time before each request of a closed loop, exponentially distributed."""
    arrival_rate_hz: float | None = Field(default=None, gt=0)
    """Requests per second and device of a Poisson open loop."""
    tx_power_w: float = Field(default=0.8, ge=0)
    """Power that a device's radio draws while it sends; 23 dBm radiated at 0.3 efficiency and circuits."""
    rx_power_w: float = Field(default=0.4, ge=0)
    """Power that a device's radio draws while it receives."""

    @model_validator(mode="after")
    def _keys_fit(self) -> DevicesSettings:
        if self.arrivals == "poisson" and self.arrival_rate_hz is None:
            raise ValueError("arrivals: poisson needs arrival_rate_hz")
        if self.arrivals != "poisson" and self.arrival_rate_hz is not None:
            raise ValueError("arrival_rate_hz has a meaning with arrivals: poisson only")
        if self.arrivals != "closed" and self.think_time_s:
            raise ValueError("think_time_s has a meaning with arrivals: closed only")
        return self


class WorkloadSettings(Settings):
    """What is asked, and how tokens are drawn."""

    prompts: str = "embedded"
    """`embedded` (beginnings of Python code) or `chat` (eight kinds of requests), which ship with SpecRAN; or a file:
    JSON lines or a JSON list of `text`, `ids`, or chats as OpenAI, ShareGPT, MT-bench, Spec-Bench, HumanEval, GSM8K,
    Alpaca and vLLM have them, with `category`, `device` and `max_new_tokens` of their own; or plain text, a prompt per
    line."""
    chat_template: Literal["auto", "always", "never"] = "auto"
    """Whether the target's chat template is applied: `auto` to chats, `always` to plain texts too, `never` at all."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Keep only the last so many tokens of a prompt, with the special tokens that it begins with; without it a prompt
    that does not fit is refused."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Length limit of each generation."""
    stop_at_eos: bool = True
    """Whether an end-of-text token ends a generation."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of target and draft; 0 is greedy."""
    top_k: int | None = Field(default=None, ge=1)
    """Sample among the k most probable tokens only."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample among the smallest set that holds this mass only."""


class ModelsSettings(Settings):
    """The language models, by role; `models: embedded` or `models: smollm2` names all that ship under that name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draft: str = "embedded/draft"
    """Draft model: `smollm2/draft` or `embedded/draft`, a Hugging Face name, a local folder, a GGUF file; with
    `#layers=8` its first eight layers only, with `#layers=0,7,14` those three. `target#layers=8` takes the target's."""
    target: str = "embedded/target"
    """Target model."""
    middle: str = "embedded/middle"
    """Model between draft and target, for hierarchical protocols."""
    device: str = "auto"
    """Where PyTorch runs them: `auto`, `cpu`, `cuda`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Numerics. Half precision makes results depend on batch shapes."""
    trust_remote_code: bool = False
    """Let a checkpoint bring its own code. Never needed for the supported architectures."""

    @model_validator(mode="before")
    @classmethod
    def _pair_by_name(cls, data: Any) -> Any:
        """The models that ship under one name, from that name alone."""
        if not isinstance(data, str):
            return data
        if data not in MODEL_SETS:
            raise ValueError(unknown_name_message("set of models", data, MODEL_SETS))
        return {role: f"{data}/{role}" for role in MODEL_SETS[data]}


class CloudSettings(Settings):
    """The way to the cloud site behind the edge, for protocols that use one; its server's keys stand beside these."""

    one_way_delay_s: float = Field(default=0.01, ge=0)
    """Delay between edge and cloud, each way."""
    backhaul_mbps: float = Field(default=1000.0, gt=0)
    """Rate between edge and cloud, each way."""


class Scenario(Settings):
    """One scenario: everything that a run depends on.

    Build one with :meth:`from_dict` or :func:`sim.scenario.load_scenario`; change one with :meth:`replace`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(default="scenario", pattern=_NAME)
    """Name of the result folder."""
    seed: int = Field(default=1, ge=0)
    """Master seed of all randomness."""
    devices: DevicesSettings = DevicesSettings()
    """The devices and when they ask."""
    workload: WorkloadSettings = WorkloadSettings()
    """Prompts and sampling."""
    models: ModelsSettings = ModelsSettings()
    """Language models by role."""
    protocol: Choice
    """Decoding protocol: `name` and its own keys."""
    controller: Choice
    """Controller of the protocol's controls: `name` and its own keys."""
    link: Choice
    """The air: `kind` and its own keys."""
    servers: dict[str, Choice]
    """The model servers of edge and cloud, in YAML as `edge` and `cloud`: `engine` and its own keys."""
    cloud: CloudSettings = CloudSettings()
    """The way to the cloud site."""
    compute: dict[str, Choice]
    """What model work costs at each site (device, edge, cloud): `kind` and its own keys."""
    sweep: SweepSettings | None = None
    """What `specran sweep` varies."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scenario:
        """Check a scenario given as nested mappings.

        Raises:
            ScenarioProblems: Unknown keys, wrong types, impossible values; all of them, the first is the message.
        """
        keys = dict(data)
        problems: list[Problem] = []

        def choose(part: str, registry: Any, selector: str, default: object) -> Choice | None:
            try:
                return parse_choice(registry, selector, keys.pop(part, default), (part,))
            except ScenarioProblems as error:
                problems.extend(error.problems)
                return None

        parts: dict[str, Any] = {
            "protocol": choose("protocol", PROTOCOLS, "name", {"name": "tslt", "top_k": 64}),
            "controller": choose("controller", CONTROLLERS, "name", "fixed"),
            "link": choose("link", LINKS, "kind", "fixed"),
        }
        parts["compute"] = _parse_compute(keys.pop("compute", {}), problems)
        parts["servers"], parts["cloud"] = _parse_servers(keys, problems)
        try:
            rest = WithoutChoices.model_validate(keys)
        except Exception as error:
            problems += problems_of(error, cls)
        if not problems:
            problems += _misfits(parts["protocol"], parts["controller"])
            problems += _no_cost_model(parts["protocol"], parts["compute"])
            problems += _not_one_each(parts["link"], rest.devices.count)
        if problems:
            raise ScenarioProblems(problems)
        fields = {field: getattr(rest, field) for field in WithoutChoices.model_fields}
        return cls.model_construct(**fields, **parts)

    def dump(self) -> dict[str, Any]:
        """As nested plain values, every default filled in; ``from_dict`` of it is an equal scenario."""
        keys: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            if isinstance(value, Choice):
                keys[field] = value.dump()
            elif field == "compute":
                keys[field] = {site: choice.dump() for site, choice in value.items()}
            elif field == "servers":
                keys |= {site: choice.dump() for site, choice in value.items()}
            elif field == "cloud":
                keys[field] |= value.model_dump(mode="json")
            elif isinstance(value, Settings):
                keys[field] = value.model_dump(mode="json", exclude_none=True)
            elif value is not None:
                keys[field] = value
        return keys

    @property
    def edge(self) -> Choice:
        """The edge's model server."""
        return self.servers["edge"]

    def to_yaml(self) -> str:
        """The dump as YAML text that loads back equal."""
        import yaml

        return yaml.safe_dump(self.dump(), sort_keys=False, width=120)

    def replace(self, key: str, value: Any) -> Scenario:
        """This scenario with one dotted key changed, such as ``replace("link.uplink_mbps", 5)``.

        Raises:
            ScenarioProblems: No such key, or a value that it cannot have.
        """
        from sim.scenario.overrides import apply_overrides

        return Scenario.from_dict(apply_overrides(self.dump(), {key: value}))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and self.dump() == other.dump()

    def __hash__(self) -> int:
        return hash(repr(self.dump()))


def _misfits(protocol: Choice, controller: Choice) -> list[Problem]:
    adjusts = controller.entry.make(controller.settings).adjusts
    try:
        refuse_misfit(controller.name, adjusts, protocol.name, protocol.trait("controls") or ())
    except InputError as error:
        return [Problem(("controller", "name"), str(error))]
    return []


def _no_cost_model(protocol: Choice, compute: Mapping[str, Choice]) -> list[Problem]:
    """Sites whose keys, given per model role, leave out a model that the protocol runs there, or cannot hold all."""
    placed = sites_of(protocol.entry, protocol.settings)
    found = []
    for site in sorted(set(placed.values())):
        keys, roles = compute[site].settings, [role for role, where in placed.items() if where == site]
        missing = [problem for role in roles if (problem := problem_of(keys, role))]
        runs = f"which protocol {protocol.name!r} runs there"
        found += [Problem(("compute", site.value), f"{problem}, {runs}") for problem in missing]
        if not missing and (problem := problem_together(keys, roles)):
            found.append(Problem(("compute", site.value), problem))
    return found


def _not_one_each(link: Choice, num_devices: int) -> list[Problem]:
    """Lists of the link that must hold a value per device and do not."""
    found = []
    for key in link.trait("per_device") or ():
        values = getattr(link.settings, key)
        if isinstance(values, list) and len(values) != num_devices:
            message = f"got {len(values)} values; valid: one per device, {num_devices} (devices.count)"
            found.append(Problem(("link", key), message))
    return found


SITES = ("device", "edge", "cloud")


def _parse_compute(value: object, problems: list[Problem]) -> dict[str, Choice]:
    if not isinstance(value, Mapping):
        problems.append(Problem(("compute",), f"expected one compute model per site, got {value!r}"))
        return {}
    for site in value:
        if site not in SITES:
            problems.append(Problem(("compute", str(site)), f"unknown site {site!r}; valid: {', '.join(SITES)}"))
    chosen = {}
    for site in SITES:
        try:
            chosen[site] = parse_choice(COMPUTE, "kind", value.get(site, "calibrated"), ("compute", site))
        except ScenarioProblems as error:
            problems.extend(error.problems)
    return chosen


def _parse_servers(keys: dict[str, Any], problems: list[Problem]) -> tuple[dict[str, Choice], CloudSettings]:
    """Take the parts `edge` and `cloud` out of a scenario's keys."""
    servers: dict[str, Choice] = {}
    cloud, on_the_way = CloudSettings(), {}
    for site in ("edge", "cloud"):
        own = keys.pop(site, {})
        if isinstance(own, Mapping):
            own = {"engine": "continuous", **own}
            if site == "cloud":
                on_the_way = {key: own.pop(key) for key in CloudSettings.model_fields if key in own}
        try:
            servers[site] = parse_choice(ENGINES, "engine", own, (site,))
        except ScenarioProblems as error:
            problems.extend(error.problems)
    try:
        cloud = CloudSettings.model_validate(on_the_way)
    except Exception as error:
        problems += problems_of(error, CloudSettings, ("cloud",))
    return servers, cloud


class WithoutChoices(Settings):
    """The part of a scenario that needs no registry."""

    name: str = Field(default="scenario", pattern=_NAME)
    seed: int = Field(default=1, ge=0)
    devices: DevicesSettings = DevicesSettings()
    workload: WorkloadSettings = WorkloadSettings()
    models: ModelsSettings = ModelsSettings()
    sweep: SweepSettings | None = None


def resolve_paths(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of files named in a scenario absolute, relative to the scenario's own folder.

    A value counts as a file's path if such a file stands there; anything else is left to its reader.
    """

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, str) and "\n" not in value and 0 < len(value) < 1024 and ("/" in value or "." in value):
            path = folder / value
            return str(path.resolve()) if path.exists() else value
        return value

    return walk(data)
