"""Keys and values of sessions: which slot is taken away, and what a copied session has of its own."""

from __future__ import annotations

import torch

from sim.models.interface import ForwardPass
from sim.models.kv_store import KvStore, LayerShape


def store(max_slots: int) -> KvStore:
    return KvStore([LayerShape(1, 2, 2)], torch.float32, torch.device("cpu"), max_slots)


def test_a_session_that_is_asked_for_is_never_evicted_for_another_one():
    kept = store(max_slots=2)
    kept.admit(["a"], 4)
    kept.admit(["b"], 4)
    slots = kept.admit(["a", "c"], 4)  # "a" was used least recently, and is to be held
    assert "a" in kept and "c" in kept and "b" not in kept
    assert len(set(slots)) == 2 and kept.num_evicted == 1


def test_a_copied_session_goes_its_own_way():
    kept = store(max_slots=2)
    kept.admit(["a"], 4)
    kept.text("a").remember(ForwardPass("a", [1, 2, 3]))
    kept.copy("a", "b")
    assert kept.text("b").chain == [1, 2, 3]
    kept.text("b").remember(ForwardPass("b", [1, 2, 3, 4]))
    assert kept.text("a").chain == [1, 2, 3]
