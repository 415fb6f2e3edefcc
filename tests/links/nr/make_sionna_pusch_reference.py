"""Makes ``sionna_pusch_tdl.csv``: block errors of a PUSCH link simulated bit by bit with Sionna over a TDL channel.

    python -m tests.links.nr.make_sionna_pusch_reference

One transmit and one receive antenna, CP-OFDM, 30 kHz, 14 symbols with two DMRS symbols (24 resource elements per PRB),
perfect channel knowledge, LMMSE equaliser, LDPC with 20 iterations; every block sees a channel of its own. The SNR is
the mean one per resource element. A few minutes on one core.
"""

from __future__ import annotations

import csv
from importlib.metadata import version
from pathlib import Path

from channels.nr import transport_block_bits

CSV_FILE = Path(__file__).with_name("sionna_pusch_tdl.csv")
NUM_PRB = 16
DELAY_SPREAD_S = 100e-9
CARRIER_HZ = 3.5e9
SPEED_M_S = 3 / 3.6
BATCH = 64
NUM_BATCHES = 5
SEED = 1
# MCS of table 1: QPSK, 16QAM, 64QAM; SNRs around the middle of each curve.
POINTS = {4: (-3.0, 0.0, 3.0, 6.0, 10.0), 13: (4.0, 8.0, 11.0, 14.0, 18.0), 20: (10.0, 14.0, 17.0, 20.0, 24.0)}


def simulate(mcs: int, snrs_db: tuple[float, ...]) -> list[dict[str, float | int]]:
    """Errors of NUM_BATCHES * BATCH blocks of one MCS at each SNR."""
    import torch
    from sionna.phy.channel import OFDMChannel
    from sionna.phy.channel.tr38901 import TDL
    from sionna.phy.nr import PUSCHConfig, PUSCHReceiver, PUSCHTransmitter

    config = PUSCHConfig()
    config.carrier.subcarrier_spacing = 30
    config.carrier.n_size_grid = NUM_PRB
    config.dmrs.additional_position = 1
    config.dmrs.num_cdm_groups_without_data = 2
    config.tb.mcs_table = 1
    config.tb.mcs_index = mcs
    transmitter = PUSCHTransmitter(config)
    receiver = PUSCHReceiver(transmitter, channel_estimator="perfect")
    tdl = TDL("A", DELAY_SPREAD_S, CARRIER_HZ, min_speed=SPEED_M_S, max_speed=SPEED_M_S)
    channel = OFDMChannel(tdl, transmitter.resource_grid, normalize_channel=False, return_channel=True)
    rows: list[dict[str, float | int]] = []
    for snr_db in snrs_db:
        errors = 0
        for _ in range(NUM_BATCHES):
            with torch.no_grad():
                sent, bits = transmitter(BATCH)
                noise = 10 ** (-snr_db / 10)
                received, response = channel(sent, noise)
                decoded = receiver(received, noise, response)
            wrong = (decoded != bits).reshape(BATCH, -1).any(dim=1)
            errors += int(wrong.sum())
        rows.append(
            {
                "mcs": mcs,
                "tb_bits": int(bits.shape[-1]),
                "snr_db": snr_db,
                "num_blocks": BATCH * NUM_BATCHES,
                "num_errors": errors,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Simulate all points and write the file."""
    import sionna.phy
    import torch

    torch.set_num_threads(1)
    sionna.phy.config.seed = SEED
    rows = [row for mcs, snrs in POINTS.items() for row in simulate(mcs, snrs)]
    with CSV_FILE.open("w", newline="", encoding="utf-8") as file:
        file.write(
            "# Block errors of PUSCH over TDL-A, 100 ns, 3 km/h, 3.5 GHz; made by make_sionna_pusch_reference.py\n"
        )
        file.write(
            f"# {NUM_PRB} PRBs, 30 kHz, 14 symbols, 2 DMRS symbols, 1x1, perfect channel knowledge, seed {SEED}\n"
        )
        file.write(f"# sionna-no-rt {version('sionna-no-rt')}, torch {torch.__version__}\n")
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    expected = transport_block_bits(NUM_PRB, 14, 24, 0, 2, 308 / 1024)
    assert rows[0]["tb_bits"] == expected, (rows[0]["tb_bits"], expected)


if __name__ == "__main__":
    main()
