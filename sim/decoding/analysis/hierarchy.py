"""The best chain of models for hierarchical speculative decoding, planned from costs and pairwise acceptance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.decoding.theory import expected_tokens


@dataclass(frozen=True, slots=True)
class HopCosts:
    """What it costs to hand a block of tokens from one model to the next.

    Attributes:
        fixed_s: Seconds per block (round trip, grant), [num_models, num_models], from row to column.
        token_s: Seconds per token of a block (payload over rate), same shape.
    """

    fixed_s: npt.ArrayLike
    token_s: npt.ArrayLike = 0.0


@dataclass(frozen=True, slots=True)
class ChainChoice:
    """A chain of models and how many tokens each hands to the next.

    Attributes:
        token_s: Expected seconds per token at the top of the chain.
        chain: Models used, from the drafting one to the target (the last model).
        blocks: Tokens that chain[i] hands to chain[i + 1] per verification, one less than the chain is long.
    """

    token_s: float
    chain: tuple[int, ...]
    blocks: tuple[int, ...]


def best_chain(
    costs: npt.ArrayLike,
    acceptance: npt.ArrayLike,
    max_block: int,
    hop_costs: HopCosts | npt.ArrayLike | None = None,
) -> ChainChoice:
    """The hierarchy with the least expected seconds per token of the target (after arXiv 2510.19705).

    t_j = min(c_j, min over i < j and N of (N t_i + c_j + hop_ij(N)) / E[tokens](a_ij, N)): an edge from i to j scales
    the time below it and adds to it, and grows with it, so the best chain into each model extends best chains, and
    one pass in model order is exact. Assumes i.i.d. acceptance and long buffers. What level j accepts from level i
    depends on the two models alone, because a lossless level emits text with its own model's distribution.

    Args:
        costs: Seconds per forward of each model, smallest first, the target last, [num_models].
        acceptance: Probability that model j accepts a token of model i, read at [i, j] for i < j,
            [num_models, num_models].
        max_block: Longest block.
        hop_costs: Seconds for handing a block from i to j, an array [num_models, num_models] of fixed seconds per
            block, or ``HopCosts``; None for models at one site.

    Raises:
        ValueError: Wrong shapes, a cost that is not positive, an acceptance outside 0..1, a block below 1.
    """
    forward_s = np.asarray(costs, dtype=np.float64)
    alpha = np.asarray(acceptance, dtype=np.float64)
    fixed_s, token_s = _hop_arrays(hop_costs, len(forward_s))
    _check(forward_s, alpha, max_block)
    lengths = range(1, max_block + 1)
    plans: list[ChainChoice] = []
    for j, cost in enumerate(forward_s):
        best = ChainChoice(float(cost), (j,), ())
        for i in range(j):
            for n in lengths:
                hop_s = fixed_s[i, j] + n * token_s[i, j]
                seconds = (n * plans[i].token_s + cost + hop_s) / expected_tokens(float(alpha[i, j]), n)
                if seconds < best.token_s:
                    best = ChainChoice(float(seconds), (*plans[i].chain, j), (*plans[i].blocks, n))
        plans.append(best)
    return plans[-1]


def chain_token_s(
    costs: npt.ArrayLike,
    acceptance: npt.ArrayLike,
    chain: tuple[int, ...],
    blocks: tuple[int, ...],
    hop_costs: HopCosts | npt.ArrayLike | None = None,
) -> float:
    """Expected seconds per token at the top of one given chain with given blocks; arguments as for ``plan``."""
    forward_s = np.asarray(costs, dtype=np.float64)
    alpha = np.asarray(acceptance, dtype=np.float64)
    fixed_s, token_s = _hop_arrays(hop_costs, len(forward_s))
    seconds = float(forward_s[chain[0]])
    for i, j, n in zip(chain[:-1], chain[1:], blocks, strict=True):
        hop_s = float(fixed_s[i, j] + n * token_s[i, j])
        seconds = (n * seconds + float(forward_s[j]) + hop_s) / expected_tokens(float(alpha[i, j]), n)
    return seconds


def _hop_arrays(
    hop_costs: HopCosts | npt.ArrayLike | None, num_models: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if hop_costs is None:
        hop_costs = HopCosts(0.0)
    elif not isinstance(hop_costs, HopCosts):
        hop_costs = HopCosts(hop_costs)
    shape = (num_models, num_models)
    arrays = [np.asarray(values, dtype=np.float64) for values in (hop_costs.fixed_s, hop_costs.token_s)]
    if any(array.shape not in ((), shape) or (array < 0).any() for array in arrays):
        raise ValueError(f"hop_costs must be non-negative seconds [{num_models}, {num_models}], got {hop_costs!r}")
    fixed_s, token_s = (np.broadcast_to(array, shape) for array in arrays)
    return fixed_s, token_s


def _check(forward_s: npt.NDArray[np.float64], alpha: npt.NDArray[np.float64], max_block: int) -> None:
    if forward_s.ndim != 1 or not len(forward_s) or not (forward_s > 0).all():
        raise ValueError(f"costs must be positive seconds [num_models], got {forward_s.tolist()}")
    shape = (len(forward_s), len(forward_s))
    if alpha.shape != shape:
        raise ValueError(f"acceptance must have shape {shape}, got {alpha.shape}")
    above = alpha[np.triu_indices(len(forward_s), 1)]
    if not ((above >= 0) & (above <= 1)).all():
        raise ValueError(f"acceptance must lie in 0..1 for every pair, got {alpha.tolist()}")
    if max_block < 1:
        raise ValueError(f"max_block must be at least 1, got {max_block}")
