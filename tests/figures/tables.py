"""Made-up tables for the tests of figures and reports."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sim.core.breakdown import PARTS

UPLINK = "link.uplink_mbps"
DELAY = "link.one_way_delay_s"
SCHEMES = {"full rows": (0.6, 200_000.0), "top-8": (0.3, 600.0), "edge only": (np.nan, 20.0)}


def sweep_table(replications: int = 3, rates: tuple[float, ...] = (0.5, 2.0, 10.0, 100.0)) -> pd.DataFrame:
    """Three schemes over uplink rates: seconds = 1 + bits / rate + noise of the replication, which all points share."""
    rng = np.random.Generator(np.random.Philox(7)).normal(0.0, 0.1, size=replications)
    rows = []
    for rate in rates:
        for name, (acceptance, bits) in SCHEMES.items():
            for replication in range(replications):
                channel = bits / rate / 1e6
                parts = {f"{part}_mean_s": 0.0 for part in PARTS}
                parts |= {"uplink_air_mean_s": channel, "verify_compute_mean_s": 1.0 + rng[replication]}
                rows.append(
                    {
                        UPLINK: rate,
                        "variant": name,
                        "replication": replication,
                        "seed": 1 + replication,
                        "run_id": f"{rate}-{name}-{replication}",
                        "e2e_mean_s": sum(parts.values()),
                        "tokens_per_s": 48 / sum(parts.values()),
                        "acceptance_rate": acceptance,
                        "uplink_bits_per_token": bits,
                        "edge_utilisation": 0.5,
                        "uplink_utilisation": 0.5,
                        **parts,
                    }
                )
    return pd.DataFrame(rows)


def two_axes_table() -> pd.DataFrame:
    """The sweep once more at a hundredfold delay, which costs a second."""
    table = sweep_table()
    near, far = (table.assign(**{DELAY: delay}) for delay in (0.001, 0.1))
    far["e2e_mean_s"] += 1.0
    return pd.concat([near, far], ignore_index=True)


def requests_table(requests: int = 12) -> pd.DataFrame:
    """Requests whose parts add up, the n-th one taking n + 1 times as long as the first."""
    rows = []
    for place in range(requests):
        parts = {f"{part}_s": 0.0 for part in PARTS}
        parts |= {"draft_compute_s": 0.2 * (place + 1), "uplink_air_s": 0.3 * (place + 1), "edge_queue_s": 0.001}
        total = sum(parts.values())
        rows.append({"device": place, "request": 0, "e2e_s": total, "ttft_s": total / 4, "tokens": 48, **parts})
    return pd.DataFrame(rows)
