"""PicoSpec: lossy by its cut residual, exact with the whole row, and as fast as drafting ahead can be."""

from __future__ import annotations

import pytest

from sim.decoding import theory
from sim.decoding.protocols import picospec
from tests.validation.closed_forms import constant_pair
from tests.worlds import simulate, small_scenario


@pytest.mark.parametrize("keys", [{}, {"values": "fp16"}, {"draft_ahead": False}], ids=str)
def test_the_whole_row_is_exact(assert_exact, keys):
    assert_exact("picospec_exact", draft_length=2, seeds=3, **keys)


def test_blocks_behind_blocks_are_exact(assert_exact):
    assert_exact("picospec_exact", seeds=2, vocab_size=2, length=4, draft_length=1)


def test_the_published_cut_is_caught_by_enumeration(tables):
    """The negative control: the two best of six entries, and ten of twelve, are as far off as the tail they drop."""
    pair = tables.pair(1, vocab_size=6, odd=False)
    keys = {"length": 2, "draft_length": 1, "lattice_levels": 7}
    distances = [tables.distance("picospec", *pair, down_top_k=k, down_values="fp32", **keys) for k in (1, 2, 4, 6)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.05 and distances[1] > 0.01
    assert distances[-1] < 1e-6  # the whole row in single precision
    assert tables.distance("picospec_exact", *pair, **keys) < tables.tolerance


def test_ten_entries_of_a_larger_vocabulary_are_measurably_off(tables):
    """K = 10 as published, of 13 tokens: the first token's law is off by 0.001 to 0.1, whatever the paper says."""
    pair = tables.pair(1, vocab_size=13, odd=False)
    assert 0.001 < tables.distance("picospec", *pair, length=2, draft_length=1, lattice_levels=31) < 0.1


@pytest.mark.parametrize("name", ["picospec", "picospec_exact"])
@pytest.mark.parametrize("seed", [2, 3])
def test_the_text_is_the_same_without_drafting_ahead(tables, name, seed):
    draft, target = tables.pair(seed, vocab_size=8)
    ahead, after = (
        tables.run(name, draft, target, max_new_tokens=60, draft_ahead=flag, draft_length=2) for flag in (True, False)
    )
    assert ahead.tokens == after.tokens
    assert repr(ahead.rounds) == repr(after.rounds)
    whole = [len(round_.tokens) for round_ in ahead.rounds[:-1] if round_.accepted == round_.drafted]
    assert whole and set(whole) == {2}  # no bonus token behind a block that is accepted whole


def test_a_block_that_is_accepted_whole_is_answered_by_one_bit(tables):
    """Up: flag, last correction, count, 3 + 16 bits a token; down: one bit, or the verdict and ten rounded entries."""
    draft, target = tables.pair(2, vocab_size=8)
    done = tables.run("picospec_exact", draft, target, max_new_tokens=60, draft_length=2)
    for round_, up, down in list(
        zip(done.rounds, tables.sent(done.steps, "draft"), tables.sent(done.steps, "verdict"), strict=True)
    )[:-1]:
        assert up.payload_bits <= 50 * 8  # as published
        whole = round_.accepted == round_.drafted
        assert down.payload_bits == tables.padded(1 if whole else 1 + 2 + 1 + 1 + 8 * 64)


def timed(alpha: float, draft_ahead: bool, draft_s: float, verify_s: float, requests: int = 6):
    """Rounds and requests of a device alone: drafting takes a time per token, verifying one per block, the air none."""
    draft, target = constant_pair(alpha)
    scenario = small_scenario(
        devices={"count": 1, "requests": requests},
        workload={"max_new_tokens": 100},
        protocol={"name": "picospec_exact", "draft_length": 4, "draft_ahead": draft_ahead},
        link={"kind": "fixed", "uplink_mbps": 1e6, "downlink_mbps": 1e6, "one_way_delay_s": 0, "header_bits": 0},
        edge={"max_batch": 1},
        compute={
            "device": {"kind": "fixed", "per_forward_s": draft_s / 4, "power_w": 2.0},
            "edge": {"kind": "fixed", "per_forward_s": verify_s},
            "cloud": {"kind": "fixed", "per_forward_s": verify_s},
        },
    )
    return simulate(scenario, {"draft": draft, "target": target})


@pytest.mark.parametrize(("draft_s", "verify_s"), [(0.0975, 0.0874), (0.0404, 0.0881), (0.1454, 0.0881)])
def test_rounds_take_what_the_closed_form_says(draft_s, verify_s):
    """Whole blocks take max(T_d, T_v), others T_d + T_v: drafting ahead is stopped at once when one is rejected."""
    output = timed(0.8, True, draft_s, verify_s)
    seconds = whole = accepted = count = 0.0
    for before, row, after in zip(output.rounds, output.rounds[1:], output.rounds[2:], strict=False):
        of_one_text = after["round"] - row["round"] == row["round"] - before["round"] == 1
        if not of_one_text or {before["drafted_tokens"], after["drafted_tokens"]} != {4}:
            continue  # the first round carries the prompt, the last blocks are shorter
        is_whole = row["accepted_tokens"] == 4
        draft_left_s = 0.0 if before["accepted_tokens"] == 4 else draft_s
        expected = draft_left_s + (max(draft_s, verify_s) if is_whole else verify_s)
        assert row["duration_s"] == pytest.approx(expected, abs=1e-4)
        seconds, whole, accepted = seconds + expected, whole + is_whole, accepted + row["accepted_tokens"]
        count += 1
    rate = theory.drafting_ahead_tokens_per_s(accepted / count, whole / count, draft_s, verify_s)
    # Rounds at the ends of texts begin or end a run of whole blocks.
    assert (accepted + count - whole) / seconds == pytest.approx(rate, rel=0.05)


def test_what_is_stopped_costs_neither_time_nor_energy_from_then_on():
    """Drafting takes longer than verifying: a rejected block pays for the time of its verification."""
    ahead, after = (timed(0.5, flag, 0.16, 0.04, requests=3) for flag in (True, False))
    assert [row["tokens"] for row in ahead.rounds] == [row["tokens"] for row in after.rounds]
    watts = 2.0
    dropped = sum(row["accepted_tokens"] < 4 for row in ahead.rounds if row["drafted_tokens"] == 4)
    more_j = sum(row["device_energy_j"] for row in ahead.requests) - sum(
        row["device_energy_j"] for row in after.requests
    )
    assert 0.9 * dropped * 0.04 * watts < more_j <= (1 + 1e-5) * dropped * 0.04 * watts
    assert sum(row["e2e_s"] for row in ahead.requests) < sum(row["e2e_s"] for row in after.requests)


def test_a_correction_from_the_wrong_row_is_caught(tables, monkeypatch):
    """Negative control: the correction is drawn from the target's row in place of the residual."""
    pair = tables.pair(1, odd=False)
    assert tables.distance("picospec_exact", *pair, length=3, draft_length=1) < tables.tolerance
    monkeypatch.setattr(picospec, "residual", lambda p, q: p)
    assert tables.distance("picospec_exact", *pair, length=3, draft_length=1) > 1e-3
