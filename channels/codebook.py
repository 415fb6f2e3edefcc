"""Precoders: the Type I single-panel codebook of TS 38.214 5.2.2.2.1, and open-loop precoder cycling."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice

Complex = npt.NDArray[np.complex128]
_OVERSAMPLING = 4


def _beam(num_horizontal: int, index: int) -> Complex:
    """v_l of a row of N1 ports: exp(j 2 pi l n / (O1 N1)). [N1]."""
    steps = np.arange(num_horizontal)
    return np.asarray(np.exp(2j * np.pi * index * steps / (_OVERSAMPLING * num_horizontal)))


def _stacked(first: list[Complex], second: list[Complex]) -> Complex:
    """Precoder of unit power from its columns on the two polarisations. [num_ports, num_layers]."""
    columns = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    matrix = np.stack(columns, axis=1)
    return np.asarray(matrix / np.linalg.norm(matrix))


@cache
def type_one_precoders(num_ports: int, num_layers: int) -> Complex:
    """All precoders of so many layers, each of unit power, i.e. ||W||_F = 1. [num_precoders, num_ports, num_layers].

    Two ports: Table 5.2.2.2.1-1. Four: Tables -5 to -8 with N1 = 2, N2 = 1, O1 = 4: beams v_l on the first two ports
    (one polarisation) and phi v_l on the others, phi = exp(j pi n / 2); further layers are orthogonal in the sign of
    phi or in the beam l + O1.

    Args:
        num_ports: 1, 2 or 4; a port's antennas of one polarisation come first.
        num_layers: 1 to num_ports.
    """
    require_choice("num_ports", num_ports, (1, 2, 4))
    require_between("num_layers", num_layers, 1, num_ports)
    if num_ports == 1:
        return np.ones((1, 1, 1), dtype=np.complex128)
    half = num_ports // 2
    beams = _OVERSAMPLING * half if half > 1 else 1
    phases = np.exp(0.5j * np.pi * np.arange(4 if num_layers == 1 else 2))
    # Two layers share a beam or take two orthogonal ones; with three and four, two beams are needed.
    steps: tuple[int, ...] = (0,) if half == 1 or num_layers == 1 else (_OVERSAMPLING,) if num_layers > 2 else (0, 4)
    made = []
    for index in range(beams):
        for step in steps:
            one, other = _beam(half, index), _beam(half, index + step)
            for phi in phases:
                upper = [one, other, one, other][:num_layers]
                signs = [1, -1] if num_layers == 2 else [1, 1, -1, -1]
                lower = [sign * phi * column for sign, column in zip(signs, upper, strict=False)]
                made.append(_stacked(upper, lower))
    return np.array(made)


@cache
def open_loop_precoders(num_ports: int, num_layers: int, num_groups: int) -> Complex:
    """Precoders that cycle over PRB groups without any report, equal power on all ports. [num_groups, ports, layers].

    Columns of a DFT matrix, turned by a phase ramp from group to group: with as many layers as ports each layer sees
    equal power of every port, with fewer the beams sweep over the band (precoder cycling).
    """
    require_choice("num_ports", num_ports, (1, 2, 4))
    require_between("num_layers", num_layers, 1, num_ports)
    ports = np.arange(num_ports)
    dft = np.exp(-2j * np.pi * np.outer(ports, ports) / num_ports)[:, :num_layers]
    # A full turn between neighbouring ports over the ports' number of groups, and never the same start.
    ramp = np.exp(2j * np.pi * np.outer(np.arange(num_groups), ports) / (num_ports + 0.5))
    made = ramp[:, :, None] * dft
    return np.asarray(made / np.sqrt(num_ports * num_layers))
