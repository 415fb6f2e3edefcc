"""One sentence per figure that every run or sweep draws: what it shows."""

from __future__ import annotations

_CAPTIONS = {
    "breakdown": "Where the time of a mean request goes, in the order in which a round meets the parts.",
    "latency_ecdf": "How many requests, and how many first tokens, were done within a given time.",
    "latency": "Mean end-to-end latency of a request, with 95 % confidence bands over replications.",
    "best": "Which variant has the lowest mean latency where, and that latency.",
    "attainment": "Share of requests that meet all objectives, with 95 % intervals over replications.",
    "throughput": "Tokens per second of all devices together, with 95 % confidence bands over replications.",
    "cell_uplink": "Where the devices stand, how well they are heard, and who is on which PRBs in the busiest slots.",
    "cell_downlink": "The same for the downlink: SNR at the devices, and PRBs in its busiest slots.",
    "servers": "Each model server over time: requests that it runs and that wait for it (above), the share of its "
    "key-value memory that is held, and of its time that it computes (below).",
    "gpu": "The GPU that layer 1 and the model share, over time: what each had of it, and slots of layer 1 that were "
    "late.",
    "rows": "What is sent on the uplink for each token, and what share of the drafted tokens is accepted.",
}


def caption_of(stem: str) -> str:
    """The caption of a figure by its file's name without suffix; the name in words if it has none."""
    return _CAPTIONS.get(stem) or stem.replace("_", " ").capitalize()
