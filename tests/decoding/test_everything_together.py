"""Protocols under every controller and over every kind of air: what lossless and coupled schemes promise there."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from sim.decoding import decode
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS, controls_of
from sim.models.interface import LanguageModel
from sim.models.tabular import TabularModel
from sim.nodes.device import RequestOutcome
from sim.runs.device_group import DeviceGroup
from tests.worlds import VOCABULARY, simulate, small_scenario, table_models

# With ``auto`` tk_slt turns its controls itself.
PLAIN: dict[str, dict[str, Any]] = {"tk_slt": {"draft_length": 3}}


def fitting() -> list[tuple[str, str]]:
    """Every protocol with every controller whose controls it has."""
    found = []
    for entry in PROTOCOLS:
        has = set(controls_of(entry, entry.settings(**PLAIN.get(entry.name, {}))))
        for controller in CONTROLLERS:
            if set(controller.make(controller.settings()).adjusts) <= has:
                found.append((entry.name, controller.name))
    return found


def texts_over(link: dict[str, Any], protocol: dict[str, Any], controller: str, draft: LanguageModel) -> Any:
    """Texts by device and request, seconds lost to retransmissions, and the drafted tokens of each round."""
    models = {**table_models(), "draft": draft}
    texts: dict[tuple[int, int], list[int]] = {}
    keep = DeviceGroup._keep

    def noted(group: DeviceGroup, outcome: RequestOutcome) -> None:
        rounds = [emitted.round for emitted in outcome.metrics.emitted]
        texts[outcome.planned.device, outcome.planned.index] = [token for round_ in rounds for token in round_.tokens]
        keep(group, outcome)

    with mock.patch.object(DeviceGroup, "_keep", noted):
        output = simulate(small_scenario(link=link, protocol=protocol, controller=controller), models)
    lost_s = sum(row["uplink_retransmission_s"] + row["downlink_retransmission_s"] for row in output.requests)
    return texts, lost_s, [row["drafted_tokens"] for row in output.rounds]


LINKS: dict[str, dict[str, Any]] = {
    "fast": {"kind": "fixed", "uplink_mbps": 100},
    "slow": {"kind": "fixed", "uplink_mbps": 0.001, "downlink_mbps": 0.01, "one_way_delay_s": 0.1},
    "fading": {"kind": "shannon", "uplink_bandwidth_mhz": 0.05, "downlink_bandwidth_mhz": 0.05},
    "lossy cell": {"kind": "nr", "channel": "ideal", "mcs": 4, "block_error_rate": 0.4},
    "cell": {"kind": "nr"},
}


def test_gumbel_texts_do_not_depend_on_draft_model_draft_length_controller_loss_or_channel():
    """One text per request, whatever lies between the seed and the target; rejection sampling has no such promise."""
    near, stranger = table_models()["draft"], TabularModel.random(77, VOCABULARY, name="stranger")
    told, *_ = texts_over(LINKS["fast"], {"name": "edge_only"}, "fixed", near)
    assert len(told) == 6
    lost_s, lengths = {}, set()
    for name, link in LINKS.items():
        for draft in (near, stranger):
            for draft_length, controller in ((1, "fixed"), (5, "fixed"), (4, "odld"), (4, "ucb_specstop")):
                protocol = {"name": "gumbel", "draft_length": draft_length}
                texts, lost_s[name], drafted = texts_over(link, protocol, controller, draft)
                lengths.add(tuple(drafted))
                assert texts == told, f"{name} link, {draft.name}, {draft_length} tokens, {controller}"
    assert lost_s["lossy cell"] > 0
    assert len(lengths) > 8
    rejection, *_ = texts_over(LINKS["fast"], {"name": "tslt", "draft_length": 3}, "fixed", near)
    assert rejection != told


def test_combinations_are_many():
    pairs = fitting()
    assert len({protocol for protocol, _ in pairs}) >= 13
    assert len({controller for _, controller in pairs}) == len(CONTROLLERS.names()) >= 7
    assert len(pairs) > 80


@pytest.mark.parametrize(("protocol", "controller"), fitting())
def test_every_protocol_runs_under_every_controller_that_fits(protocol: str, controller: str):
    """Lossless ones give the one text that follows the target at temperature 0; all keep to the length limit."""
    models = table_models()
    settings = {**PLAIN.get(protocol, {}), "models": {"middle": models["middle"]}}
    draft, target = models["draft"], models["target"]
    done = decode(protocol, draft, target, [0], max_new_tokens=24, controller=controller, temperature=0, **settings)
    assert len(done.tokens) == 24
    if PROTOCOLS.find(protocol).traits["lossless"]:
        assert done.tokens == decode("edge_only", None, target, [0], max_new_tokens=24, temperature=0).tokens
