"""Closed forms of speculative decoding: tokens per round, speed-ups, optima, acceptance of couplings, break-evens."""

from __future__ import annotations

from math import exp, floor, log

import numpy as np
import numpy.typing as npt

from sim.decoding.core.rows import Probabilities


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in 0..1, got {alpha}")


def _check_length(draft_length: int) -> None:
    if draft_length < 0:
        raise ValueError(f"draft_length must be at least 0, got {draft_length}")


# ---- tokens per round -----------------------------------------------------------------------------------------------


def expected_tokens(alpha: float, draft_length: int) -> float:
    """Expected tokens per round, (1 - alpha^(gamma+1)) / (1 - alpha); i.i.d. acceptance (arXiv 2211.17192, eq. 1).

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: gamma.

    Raises:
        ValueError: alpha outside 0..1 or a negative length.
    """
    _check_alpha(alpha)
    _check_length(draft_length)
    return sum(alpha**accepted for accepted in range(draft_length + 1))


def accepted_fraction(alpha: float, draft_length: int) -> float:
    """Accepted tokens over drafted tokens, (E[tokens] - 1) / gamma: what several papers print as acceptance rate."""
    return (expected_tokens(alpha, draft_length) - 1) / draft_length


def alpha_from_tokens(tokens: float, draft_length: int) -> float:
    """The alpha whose expected tokens per round are these: the inverse of arXiv 2211.17192, eq. 1.

    Raises:
        ValueError: Fewer than 1 or more than gamma + 1 tokens.
    """
    if not 1 <= tokens <= draft_length + 1:
        raise ValueError(f"tokens per round must lie in 1..{draft_length + 1}, got {tokens}")
    low, high = 0.0, 1.0
    # 60 halvings reach the last bit of a double.
    for _ in range(60):
        middle = (low + high) / 2
        if expected_tokens(middle, draft_length) < tokens:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def alpha_from_accepted_fraction(fraction: float, draft_length: int) -> float:
    """The alpha per tested position behind an accepted fraction, solving (E[tokens] - 1) / gamma = fraction."""
    return alpha_from_tokens(1 + fraction * draft_length, draft_length)


# ---- speed-ups without a link ---------------------------------------------------------------------------------------


def walltime_ratio(alpha: float, draft_length: int, cost: float) -> float:
    """Speed-up over the target alone, E[tokens] / (gamma c + 1) (arXiv 2211.17192, Th. 3.8).

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: gamma.
        cost: c, seconds of one draft step over seconds of one target step.
    """
    if cost < 0:
        raise ValueError(f"cost must be at least 0, got {cost}")
    return expected_tokens(alpha, draft_length) / (draft_length * cost + 1)


def implied_cost(alpha: float, draft_length: int, speedup: float) -> float:
    """The c at which Th. 3.8 of arXiv 2211.17192 gives a measured speed-up.

    Negative where the measured speed-up exceeds what i.i.d. acceptance allows at no cost: acceptance was
    over-dispersed, and no constant alpha reproduces the measurement.
    """
    return (expected_tokens(alpha, draft_length) / speedup - 1) / draft_length


def expected_operations(alpha: float, draft_length: int, operations: float) -> float:
    """Growth of arithmetic operations per token (arXiv 2211.17192, Th. 3.11).

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: gamma.
        operations: c-hat, operations of one draft step over those of one target step.
    """
    return (draft_length * operations + draft_length + 1) / expected_tokens(alpha, draft_length)


def capacity_gain(draft_length: int, draft_token_s: float, verify_s: float) -> float:
    """Clients per server gained when drafting leaves the server, 1 + gamma t_d / t_v (arXiv 2606.25091).

    Args:
        draft_length: gamma.
        draft_token_s: Seconds per drafted token, t_d.
        verify_s: Seconds per verification, t_v.
    """
    return 1 + draft_length * draft_token_s / verify_s


# ---- TK-SLT ---------------------------------------------------------------------------------------------------------


def tk_slt_speedup(alpha: float, draft_length: int, load: float) -> float:
    """Asymptotic speed-up over the target alone, S = E[tokens] / (1 + gamma L) (arXiv 2509.04576, eq. 11).

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: gamma.
        load: L = b + c, uplink time of one distribution plus draft time of one token, over one target step (eq. 5).
    """
    if load < 0:
        raise ValueError(f"load must be at least 0, got {load}")
    return expected_tokens(alpha, draft_length) / (1 + draft_length * load)


def tk_slt_stationary_draft_length(alpha: float, load: float) -> float:
    """The real gamma at which the derivative of S vanishes (arXiv 2509.04576, Th. 2, eq. 21).

    gamma0 = (W_{-1}(-alpha^(1/L - 1) / e) + 1) / ln(alpha) - 1/L, with W_{-1} the lower branch of Lambert's W.

    Raises:
        ValueError: alpha outside (0, 1) or a load outside (0, 1), eq. 19.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if not 0 < load < 1:
        raise ValueError(f"load must lie strictly between 0 and 1, got {load}")
    return (_lambert_lower((1 / load - 1) * -log(alpha)) + 1) / log(alpha) - 1 / load


def _lambert_lower(u: float) -> float:
    """W_{-1}(-exp(-1 - u)) for u > 0, the w below -1 with -w - log(-w) = 1 + u."""
    from scipy.special import lambertw

    # Beyond, the argument underflows and the fixed point is solved for in logarithms.
    if u < 500:
        return float(lambertw(-exp(-1 - u), -1).real)
    v = 1 + u
    for _ in range(50):
        v = 1 + u + log(v)
    return -v


def tk_slt_optimal_draft_length(alpha: float, load: float) -> int:
    """The draft length that maximises S, 0 where speculation cannot pay (arXiv 2509.04576, Algorithms 1 and 2).

    Algorithm 1 (ODLD) takes the better of floor and ceiling of gamma0, at least 1; Algorithm 2 (AS2) leaves the draft
    out unless S > 1 there.

    Args:
        alpha: Acceptance probability per tested position, below 1: at 1 longer is always better.
        load: L = b + c, above 0: at 0 likewise.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must lie in 0..1 and below 1, got {alpha}")
    if load <= 0:
        raise ValueError(f"load must be above 0, got {load}")
    if alpha == 0 or load >= 1:
        return 0
    stationary = tk_slt_stationary_draft_length(alpha, load)
    shorter = max(1, floor(stationary))
    best = max((shorter, shorter + 1), key=lambda length: tk_slt_speedup(alpha, length, load))
    if stationary < 1:
        best = 1
    return best if tk_slt_speedup(alpha, best, load) > 1 else 0


# ---- round trips ----------------------------------------------------------------------------------------------------


def break_even_rtt_s(alpha: float, draft_length: int, target_token_s: float, draft_token_s: float) -> float:
    """Round-trip time below which distributed speculation beats the target alone (arXiv 2606.25091).

    RTT = (E[tokens] - 1) t_ar - gamma t_d, with a verification as long as one autoregressive step; negative where it
    never does.

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: gamma.
        target_token_s: Seconds per token of the target alone, t_ar.
        draft_token_s: Seconds per drafted token, t_d.
    """
    return (expected_tokens(alpha, draft_length) - 1) * target_token_s - draft_length * draft_token_s


def delayed_token_s(
    alpha: float, draft_length: int, draft_token_s: float, verify_token_s: float, one_way_delay_s: float
) -> float:
    """Seconds per token, (k (c_d + c_v) + 2 d + c_v) / E[tokens] (UCB-SpecStop, arXiv 2606.20591).

    Args:
        alpha: Acceptance probability per tested position.
        draft_length: k.
        draft_token_s: Seconds per drafted token, c_d.
        verify_token_s: Seconds per verified position, c_v; k drafted tokens make k + 1 positions.
        one_way_delay_s: d.
    """
    round_s = draft_length * (draft_token_s + verify_token_s) + 2 * one_way_delay_s + verify_token_s
    return round_s / expected_tokens(alpha, draft_length)


def critical_delay_s(alpha: float, draft_token_s: float, verify_token_s: float) -> float:
    """One-way delay up to which one drafted token is best: C(1) = C(2) in ``delayed_token_s`` (arXiv 2606.20591)."""
    draft = draft_token_s * (1 + alpha - alpha**2)
    verify = verify_token_s * (1 + alpha - 2 * alpha**2)
    return (draft + verify) / (2 * alpha**2)


def drafting_ahead_tokens_per_s(accepted: float, all_accepted: float, draft_s: float, verify_s: float) -> float:
    """Tokens per second of a device that drafts its next block while the last one is verified (arXiv 2603.19133).

    A block that is accepted whole brings no bonus token and its successor is there after max(T_d, T_v); any other
    brings a correction and is drafted anew: (A + 1 - P) / (P max(T_d, T_v) + (1 - P) (T_d + T_v)).

    Args:
        accepted: A, accepted tokens per block.
        all_accepted: P, share of blocks that are accepted whole.
        draft_s: T_d, seconds to draft a block.
        verify_s: T_v, seconds to verify one, with the round trip.
    """
    round_s = all_accepted * max(draft_s, verify_s) + (1 - all_accepted) * (draft_s + verify_s)
    return (accepted + 1 - all_accepted) / round_s


def dssd_crossover_rate_ratio(alpha: float, draft_length: int) -> float:
    """Uplink over downlink rate at which full rows up (DSD) take as long as rows down on rejection (DSSD).

    gamma V b / R_u = (1 - alpha^gamma) V b / R_d (arXiv 2507.12000, eqs. 8 and 9, scalars and ids neglected): DSSD is
    faster wherever R_u / R_d is below this ratio.
    """
    return draft_length / (1 - alpha**draft_length)


# ---- acceptance of couplings and of several candidates --------------------------------------------------------------


def gumbel_acceptance(p: npt.ArrayLike, q: npt.ArrayLike) -> float:
    """Probability that two Gumbel-max draws with common noise agree, sum_x 1 / sum_y max(q_y/q_x, p_y/p_x).

    Daliri, Musco, Suresh, arXiv 2408.07978; at least (1 - TV) / (1 + TV). In O(V log V) by sorting p/q: the inner sum
    is Q(ratios up to x's) / q_x + P(ratios above it) / p_x.

    Args:
        p: The target's row, [vocab_size].
        q: The draft's row, [vocab_size].
    """
    target, draft = _pair(p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(draft > 0, target / draft, np.inf)
    order = np.argsort(ratio, kind="stable")
    target, draft = target[order], draft[order]
    below = np.cumsum(draft)
    above = np.append(np.cumsum(target[::-1])[::-1][1:], 0.0)
    both = (target > 0) & (draft > 0)
    return float((1.0 / (below[both] / draft[both] + above[both] / target[both])).sum())


def multi_draft_optimum(p: npt.ArrayLike, q: npt.ArrayLike, candidates: int, replacement: bool) -> float:
    """Highest acceptance of any lossless verifier of k candidates, 1 + min_H [P(H) - Pr(all candidates in H)].

    Hu et al., arXiv 2502.18779; Khisti et al., arXiv 2410.18234, Th. 3, for two independent ones. The minimum is
    attained on a prefix of the tokens in order of rising p/q. Without replacement each of the V + 1 prefixes costs
    V^(candidates - 1).

    Args:
        p: The target's row, [vocab_size].
        q: The row that the candidates are drawn from, [vocab_size].
        candidates: k.
        replacement: Whether candidates are independent; else drawn one after another without replacement, and no more
            than q has tokens.
    """
    if candidates < 1:
        raise ValueError(f"candidates must be at least 1, got {candidates}")
    target, draft = _pair(p, q)
    in_support = draft > 0
    target, draft = target[in_support], draft[in_support]
    order = np.argsort(target / draft, kind="stable")
    target, draft = target[order], draft[order]
    sizes = range(len(draft) + 1)
    if replacement:
        inside = np.array([min(1.0, float(draft[:size].sum())) ** candidates for size in sizes])
    else:
        count = min(candidates, len(draft))
        inside = np.array([_all_distinct_inside(draft[:size], float(draft[size:].sum()), count) for size in sizes])
    return float(1 + np.min(np.append(0.0, np.cumsum(target)) - inside))


def _all_distinct_inside(inside: Probabilities, outside: float, count: int) -> float:
    """Probability that ``count`` draws without replacement all fall inside, given the weights there and the rest's."""
    if count == 0:
        return 1.0
    total = float(inside.sum()) + outside
    if count == 1 or not len(inside):
        return float(inside.sum()) / total if len(inside) else 0.0
    return sum(
        float(weight) / total * _all_distinct_inside(np.delete(inside, index), outside, count - 1)
        for index, weight in enumerate(inside)
    )


def _pair(p: npt.ArrayLike, q: npt.ArrayLike) -> tuple[Probabilities, Probabilities]:
    target, draft = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if target.ndim != 1 or target.shape != draft.shape:
        raise ValueError(f"p and q must be rows of one width, got shapes {target.shape} and {draft.shape}")
    return target, draft
