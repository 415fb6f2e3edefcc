"""JSON Schema of scenarios, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from sim.scenario.schema import BACKHAUL_KEYS, SITES, Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def scenario_json_schema() -> dict[str, Any]:
    """The schema of a whole scenario, with the keys of every registered protocol, link and compute model."""
    schema = Scenario.model_json_schema()
    compute = schema["properties"]["compute"]
    schema["properties"]["compute"] = {
        "type": "object",
        "title": "Compute",
        "description": compute["description"],
        "default": {},
        "additionalProperties": False,
        "properties": dict.fromkeys(SITES, compute["additionalProperties"]),
    }
    schema["properties"]["cloud"] = _cloud(schema)
    return {"$schema": DIALECT, **schema, "title": "SpecRAN scenario"}


def _cloud(schema: dict[str, Any]) -> dict[str, Any]:
    """The keys of every engine, and beside them those of the backhaul to the site."""
    backhaul = {key: schema["$defs"]["CloudSettings"]["properties"][key] for key in BACKHAUL_KEYS}
    # The reference to the class of the keys would refuse those of the engines.
    plain = {key: value for key, value in schema["properties"]["cloud"].items() if key not in ("$ref", "allOf")}
    return {
        **plain,
        "anyOf": [
            {**keys, "properties": {**keys["properties"], **backhaul}} if "properties" in keys else keys
            for keys in schema["properties"]["edge"]["anyOf"]
        ],
    }
