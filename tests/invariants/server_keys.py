"""Where keys of a model server act: what else is set beside them, and values that no rule can guess."""

from __future__ import annotations

from typing import Any

_ROOFLINE = {"kind": "roofline", "hardware": "l4", "model_size": "7B"}

_BESIDE: dict[str, dict[str, Any]] = {
    "fcfs.max_batch": {"max_batch": 1},
    "fcfs.max_batch_tokens": {"max_batch_tokens": 4096},
    "fcfs.replicas": {"max_batch": 1},
    "fcfs.routing": {"max_batch": 1, "replicas": 2},
    "continuous.max_num_seqs": {"max_num_seqs": 1},
    "continuous.max_batch": {"max_batch": 1},
    "continuous.replicas": {"max_num_seqs": 1},
    "continuous.routing": {"max_num_seqs": 1, "replicas": 2},
    "continuous.block_tokens": {"kv_blocks": 100},
    "continuous.chunked_prefill": {"max_batch_tokens": 2},
    "continuous.memory_share": {"memory_share": 0.9},
}
_VALUES: dict[str, Any] = {
    "fcfs.max_batch_tokens": 1,
    "fcfs.routing": "round_robin",
    "continuous.max_batch": 2,
    "continuous.max_batch_tokens": 1,
    "continuous.routing": "round_robin",
    "continuous.kv_blocks": 7,
    "continuous.block_tokens": 2,
    "continuous.memory_share": 0.6,
}


def beside(site: str, load: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes under which each key of a site's server acts."""
    names = {*_BESIDE, *_VALUES, "fcfs.batch_window_s", "continuous.batch_window_s"}
    names |= {"continuous.prefill_on_arrival", "continuous.prefix_cache"}
    found = {
        f"{site}.{name}": {**load, **{f"{site}.{key}": value for key, value in _BESIDE.get(name, {}).items()}}
        for name in names
    }
    share = found[f"{site}.continuous.memory_share"]
    share.pop(f"compute.{site}.per_forward_s", None)
    share[f"compute.{site}"] = _ROOFLINE
    return found


def values(site: str) -> dict[str, Any]:
    """Other values of keys of a site's server."""
    return {f"{site}.{name}": value for name, value in _VALUES.items()}
