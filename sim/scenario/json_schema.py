"""JSON Schema of scenarios, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from sim.compute.registry import COMPUTE
from sim.core.registry import Registry
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.links.registry import LINKS
from sim.nodes.engine.registry import ENGINES
from sim.scenario.schema import SITES, CloudSettings, Scenario, WithoutChoices


def scenario_json_schema() -> dict[str, Any]:
    """The schema of a whole scenario, with the keys of every registered protocol, link and compute model."""
    schema = WithoutChoices.model_json_schema()
    schema["title"] = "SpecRAN scenario"
    schema["description"] = Scenario.__doc__
    definitions = schema.setdefault("$defs", {})
    compute = _choice_schema(COMPUTE, "kind", definitions)
    schema["properties"] |= {
        "protocol": _choice_schema(PROTOCOLS, "name", definitions),
        "controller": _choice_schema(CONTROLLERS, "name", definitions),
        "link": _choice_schema(LINKS, "kind", definitions),
        "edge": _server_schema({}, definitions),
        "cloud": _server_schema(CloudSettings.model_json_schema()["properties"], definitions),
        "compute": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(SITES, compute),
        },
    }
    return schema


def _server_schema(more: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The keys of every engine, whose name may be left out, and those of the site."""
    schema = _choice_schema(ENGINES, "engine", definitions)
    for keys in schema["anyOf"][1:]:
        keys["properties"] |= more
        keys["required"].remove("engine")
    return schema


def _choice_schema(registry: Registry[Any], selector: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """One alternative per registered name; a name alone will do too."""
    alternatives: list[dict[str, Any]] = [{"enum": registry.names()}]
    for entry in registry:
        keys = entry.settings.model_json_schema()
        definitions.update(keys.pop("$defs", {}))
        keys["title"] = entry.name
        keys["description"] = entry.summary
        keys["properties"] = {selector: {"const": entry.name}, **keys.get("properties", {})}
        keys["required"] = [selector, *keys.get("required", [])]
        alternatives.append(keys)
    return {"anyOf": alternatives}
