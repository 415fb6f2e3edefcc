"""5G NR arithmetic: numerology, PRBs, MCS, TBS, segmentation, TDD, BSR, headers, peak rate."""

from channels.nr.bandwidth import num_prb, prb_bandwidth_hz, prb_group_centres_hz, prb_group_sizes
from channels.nr.bsr import bsr_index, bsr_levels_bytes, bsr_reported_bytes
from channels.nr.dmrs import dmrs_re_per_prb
from channels.nr.mcs import McsTable, cqi_efficiency, cqi_to_mcs, efficiency_to_cqi, mcs_table, modulation_and_rate
from channels.nr.numerology import (
    SYMBOLS_PER_SLOT,
    check_sr_period,
    default_k2_rows,
    min_k2,
    numerology_of,
    pdsch_processing_time_s,
    processing_symbols,
    pusch_preparation_time_s,
    slot_duration_s,
    slots_per_frame,
    sr_periods_slots,
    symbol_duration_s,
)
from channels.nr.overhead import PHR_CE_BYTES, SHORT_BSR_CE_BYTES, HeaderModel
from channels.nr.peak_rate import peak_rate_bps
from channels.nr.segmentation import Segmentation, segment, transport_block_error
from channels.nr.tbs import quantise_transport_block_bits, resource_elements, transport_block_bits
from channels.nr.tdd import TddPattern

__all__ = [
    "PHR_CE_BYTES",
    "SHORT_BSR_CE_BYTES",
    "SYMBOLS_PER_SLOT",
    "HeaderModel",
    "McsTable",
    "Segmentation",
    "TddPattern",
    "bsr_index",
    "bsr_levels_bytes",
    "bsr_reported_bytes",
    "check_sr_period",
    "cqi_efficiency",
    "cqi_to_mcs",
    "default_k2_rows",
    "dmrs_re_per_prb",
    "efficiency_to_cqi",
    "mcs_table",
    "min_k2",
    "modulation_and_rate",
    "num_prb",
    "numerology_of",
    "pdsch_processing_time_s",
    "peak_rate_bps",
    "prb_bandwidth_hz",
    "prb_group_centres_hz",
    "prb_group_sizes",
    "processing_symbols",
    "pusch_preparation_time_s",
    "quantise_transport_block_bits",
    "resource_elements",
    "segment",
    "slot_duration_s",
    "slots_per_frame",
    "sr_periods_slots",
    "symbol_duration_s",
    "transport_block_bits",
    "transport_block_error",
]
