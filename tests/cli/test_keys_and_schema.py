"""``specran list keys`` and ``specran schema``: unit, bounds, default and meaning of every key."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from sim.cli import _main
from sim.cli.keys import list_keys
from sim.cli.registries import REGISTRIES
from sim.core.settings import UNITS
from sim.scenario.json_schema import scenario_json_schema
from sim.scenario.loading import bundled_scenarios, read_yaml
from sim.scenario.schema import Scenario


@pytest.fixture(scope="module")
def rows():
    return list_keys(None)


def test_every_key_has_a_type_a_default_and_a_meaning(rows):
    assert len(rows) > 250
    assert not [row["key"] for row in rows if not (row["type"] and row["default"] and len(row["meaning"]) > 10)]
    assert len({row["key"] for row in rows}) == len(rows)


def test_bounds_are_those_of_the_key_itself(rows):
    numeric = [row for row in rows if "number" in row["type"] and "one of" not in row["type"]]
    assert len(numeric) > 100
    bounds = {row["key"]: row["bounds"] for row in numeric}
    bare = {key.rpartition(".")[2] for key, text in bounds.items() if not text}
    assert not [key for key, text in bounds.items() if text and ">" not in text]
    assert bounds["link.nr.bandwidth_mhz"] == "> 0, <= 400" and bounds["protocol.hsd.top_k"] == ">= 1"
    assert {"five_qi", "alpha", "srs_period_slots", "mcs"} <= bare and len(bare) < 25, sorted(bare)
    # No limit that says no more than that numbers end somewhere.
    assert not [key for key, text in bounds.items() if "1e+12" in text or ">= -1e+" in text]


def test_the_keys_that_scenarios_of_a_cell_set_come_first(rows, capsys):
    names = [row["key"] for row in rows if row["key"].startswith("link.nr.")]
    assert names[:6] == [
        f"link.nr.{name}"
        for name in ("scenario", "carrier_ghz", "bandwidth_mhz", "scs_khz", "tdd_pattern", "num_sites")
    ]
    assert "link.nr.scheduler" in names[:20] and len(names) == len(set(names)) > 130


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("link.nr", "# link.nr.KEY is written link: {kind: nr, KEY: VALUE} in YAML, and --set link.KEY=VALUE where nr"),
        ("compute", ".KEY is written compute: {edge: {kind: "),
        ("protocol.dsd.draft_length", "# protocol.dsd.KEY is written protocol: {name: dsd, KEY: VALUE} in YAML"),
        (None, "# link.nr.KEY is written link: {kind: nr, KEY: VALUE} in YAML"),
    ],
)
def test_a_list_says_how_its_keys_are_written(capsys, section: str | None, says: str):
    assert _main(["list", "keys", *([section] if section else [])]) == 0
    assert says in capsys.readouterr().out.splitlines()[0]
    assert _main(["list", "keys", "workload"]) == 0
    assert capsys.readouterr().out.startswith("workload.")


def test_units_are_those_of_the_names(rows):
    units = {row["key"]: row["unit"] for row in rows}
    assert units["link.nr.bandwidth_mhz"] == "MHz" and units["devices.think_time_s"] == "s"
    assert units["link.fixed.uplink_mbps"] == "Mbit/s" and units["protocol.tslt.top_k"] == ""
    suffixes = tuple(suffix for suffix, *_ in UNITS)
    assert not [key for key, unit in units.items() if key.endswith(suffixes) and not unit]


def test_keys_that_are_listed_are_those_that_scenarios_take(rows):
    known = {row["key"] for row in rows}

    def leaves(prefix, value, name=None):
        if isinstance(value, dict) and value and prefix not in ("sweep.axes", "sweep.variants", "sweep.zip"):
            for key, inner in value.items():
                yield from leaves(f"{prefix}.{key}" if prefix else key, inner)
        elif value != {}:
            yield prefix

    scenario = Scenario.from_dict({"sweep": {"axes": {"protocol.top_k": [1]}}, "edge": {"max_batch": 4}})
    plain = scenario.dump()
    chosen = {"protocol": "name", "controller": "name", "link": "kind", "edge": "engine"}
    for key in leaves("", {key: value for key, value in plain.items() if key not in ("compute", "cloud")}):
        part, _, rest = key.partition(".")
        inserted = f"{part}.{plain[part][chosen[part]]}.{rest}" if part in chosen and rest != chosen[part] else key
        assert inserted in known, key


@pytest.mark.parametrize(
    ("section", "has", "lacks"),
    [
        ("devices", "devices.count", "seed"),
        ("link", "link.nr.bandwidth_mhz", "edge.engine"),
        ("link.nr", "link.nr.bandwidth_mhz", "link.fixed.uplink_mbps"),
        ("protocol.tslt", "protocol.tslt.top_k", "protocol.dsd.draft_length"),
        ("compute", "compute.roofline.model_size", "cloud.one_way_delay_s"),
        ("cloud", "cloud.one_way_delay_s", "edge.engine"),
        ("sweep", "sweep.replications", "seed"),
        ("seed", "seed", "sweep.replications"),
    ],
)
def test_a_section(capsys, section, has, lacks):
    assert _main(["list", "keys", section]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{has} ") for line in lines)
    assert not any(line.startswith(f"{lacks} ") for line in lines)


def test_keys_as_json_and_csv(capsys):
    assert _main(["list", "keys", "link.fixed", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert _main(["list", "keys", "link.fixed", "--csv"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == told
    (header,) = [row for row in told if row["key"] == "link.fixed.header_bits"]
    assert header["unit"] == "bit" and header["default"] == "320" and header["bounds"] == ">= 0, <= 1000000"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("list keys lnik", "unknown section of keys 'lnik' (did you mean 'link'?)"),
        ("list keys link.nrr", "did you mean 'link.nr'"),
        ("list protocols tslt", "list protocols takes no section; list keys does"),
        ("list keyz", "unknown kind 'keyz' (did you mean 'keys'?)"),
        ("list keys --json --csv", "give --json or --csv, not both"),
    ],
)
def test_what_cannot_be_listed(capsys, arguments, says):
    assert _main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert says in captured.err and not captured.out


@pytest.mark.parametrize("kind", ["protocols", "links", "hardware", "scenarios", "columns"])
def test_lists_as_json_and_csv(capsys, kind):
    assert _main(["list", kind, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert _main(["list", kind, "--csv"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == told
    assert all(set(row) == {"name", "meaning"} for row in told)


def test_every_registry_is_listed_and_named_in_the_help(capsys):
    """All registries of the code, wherever they are made."""
    root = Path(__file__).resolve().parents[2]
    made = sum(len(re.findall(r"\] = Registry\(", path.read_text())) for path in (root / "sim").rglob("*.py"))
    assert len({id(part.registry) for part in REGISTRIES.values()}) == len(REGISTRIES) == made
    assert _main(["list", "--help"]) == 0
    words = set(re.findall(r"\w+", capsys.readouterr().out))
    assert set(REGISTRIES) <= words
    for kind, part in REGISTRIES.items():
        assert _main(["list", kind]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [entry.name for entry in part.registry]
        assert all(len(line.split()) > 3 for line in lines), kind


@pytest.fixture(scope="module")
def schema():
    return scenario_json_schema()


@pytest.fixture(scope="module")
def check(schema):
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid


def test_the_schema_says_its_dialect(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", sorted(bundled_scenarios()))
def test_the_schema_takes_what_ships_as_written_and_as_resolved(check, name):
    plain, _ = read_yaml(bundled_scenarios()[name])
    assert check(plain)
    assert check(Scenario.from_dict({"name": name, **plain}).dump())


@pytest.mark.parametrize(
    ("plain", "valid"),
    [
        ({"protocol": "mine:own"}, True),
        ({"protocol": {"name": "mine:own", "whatever": 3}}, True),
        ({"link": {"kind": "a.b:Own"}, "controller": "x:y"}, True),
        ({"edge": {"engine": "mine:Own"}, "compute": {"edge": "mine:own"}}, True),
        ({"cloud": {"one_way_delay_s": 0.1, "max_num_seqs": 4}}, True),
        ({"sweep": {"link.uplink_mbps": [1, 2]}}, True),
        ({"protocol": "tsllt"}, False),
        ({"protocol": {"name": "tslt", "top_kk": 3}}, False),
        ({"Seed": 1}, False),
        ({"seed": -1}, False),
        ({"seed": 1 << 64}, False),
        ({"workload": {"max-new-tokens": 3}}, False),
        ({"sweep": {"replications": 100_000_000}}, False),
        ({"compute": {"egde": "calibrated"}}, False),
        ({"link": {"kind": "fixed", "header_bits": 1e12}}, False),
    ],
)
def test_the_schema_and_the_loader_agree(check, plain, valid):
    assert check(plain) is valid
    own = "mine:" in str(plain) or ":y" in str(plain)
    if not own:
        try:
            Scenario.from_dict(plain)
            taken = True
        except Exception:
            taken = False
        assert taken is valid
