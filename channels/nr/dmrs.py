"""Resource elements that DMRS takes from a PRB (TS 38.211 6.4.1.1.3, 7.4.1.1.2)."""

from __future__ import annotations

from channels._validation import require_choice

# Resource elements of one CDM group per PRB and symbol, by DMRS configuration type.
_RE_PER_GROUP = {1: 6, 2: 4}


def dmrs_re_per_prb(num_dmrs_symbols: int, cdm_groups_without_data: int = 2, configuration_type: int = 1) -> int:
    """N_DMRS per PRB: symbols * CDM groups that carry no data * 6 (type 1) or 4 (type 2).

    >>> dmrs_re_per_prb(2)  # two full DMRS symbols
    24
    """
    require_choice("configuration_type", configuration_type, tuple(_RE_PER_GROUP))
    require_choice("num_dmrs_symbols", num_dmrs_symbols, (1, 2, 3, 4))
    max_groups = 12 // _RE_PER_GROUP[configuration_type]
    require_choice("cdm_groups_without_data", cdm_groups_without_data, tuple(range(1, max_groups + 1)))
    return num_dmrs_symbols * cdm_groups_without_data * _RE_PER_GROUP[configuration_type]
