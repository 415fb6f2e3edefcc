"""Cohorts that are verified together: who gets which bandwidth, how long each drafts, and who shares a batch.

Closed forms and small exact searches: the controllers ``multi_spin`` and ``dip_sd`` plan by them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from sim.decoding.theory import expected_tokens

_HALVINGS = 200
MAX_EXACT_USERS = 8
"""Users up to which the best batches of given lengths are found exactly."""
MAX_COMBINATIONS = 50_000
"""Combinations of draft lengths up to which the best one is found exactly; beyond, lengths are climbed."""

Rate = Callable[[Sequence[int]], float]


@dataclass(frozen=True, slots=True)
class CohortUser:
    """One user of a cohort.

    Attributes:
        alpha: Acceptance probability per drafted position.
        draft_token_s: Seconds to draft one token.
        token_bits: Bits on the uplink per drafted token.
        efficiency_bps_hz: Spectral efficiency of its uplink.
    """

    alpha: float
    draft_token_s: float
    token_bits: float
    efficiency_bps_hz: float


def equal_finish(
    bits: Sequence[float],
    efficiencies_bps_hz: Sequence[float],
    bandwidth_hz: float,
    ready_s: Sequence[float] | None = None,
) -> tuple[list[float], float]:
    """Bandwidths with which the uploads of a batch end together, the earliest end that all of them can have.

    Where all begin at once it is a closed form, T = sum(D_u / e_u) / B and B_u = D_u / (e_u T) (arXiv 2510.11331);
    where they begin as their drafts are ready, sum(D_u / e_u / (T - r_u)) = B has one root beyond the last r_u
    (arXiv 2606.04581).

    Args:
        bits: D_u, of each upload.
        efficiencies_bps_hz: e_u.
        bandwidth_hz: B, of all.
        ready_s: r_u, when each upload begins; at once by default.

    Returns:
        B_u in Hz, and T in seconds.
    """
    work = [size / efficiency for size, efficiency in zip(bits, efficiencies_bps_hz, strict=True)]
    starts = [0.0] * len(work) if ready_s is None else list(ready_s)
    low = max(starts)
    high = low + sum(work) / bandwidth_hz
    if ready_s is not None:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            needed = sum(hertz_s / (middle - start) for hertz_s, start in zip(work, starts, strict=True))
            low, high = (middle, high) if needed > bandwidth_hz else (low, middle)
    shares = [hertz_s / (high - start) if hertz_s else 0.0 for hertz_s, start in zip(work, starts, strict=True)]
    return shares, high


def multi_spin_rate(
    users: Sequence[CohortUser], lengths: Sequence[int], bandwidth_hz: float, verify_s: float
) -> tuple[float, list[float]]:
    """Sum goodput of one synchronous round over FDMA in tokens/s, and the bandwidths with which it is reached.

    sum(E_u) / (T + t_v), with T the common end of drafting and upload (Multi-SPIN, arXiv 2606.04581).

    Args:
        users: The cohort.
        lengths: Draft length of each.
        bandwidth_hz: Of all.
        verify_s: Seconds to verify the batch, with the way back.
    """
    shares, end_s = equal_finish(
        [length * user.token_bits for user, length in zip(users, lengths, strict=True)],
        [user.efficiency_bps_hz for user in users],
        bandwidth_hz,
        [length * user.draft_token_s for user, length in zip(users, lengths, strict=True)],
    )
    tokens = sum(expected_tokens(user.alpha, length) for user, length in zip(users, lengths, strict=True))
    return tokens / (end_s + verify_s), shares


def multi_spin(
    users: Sequence[CohortUser], bandwidth_hz: float, verify_s: float, max_length: int, equal_lengths: bool = False
) -> tuple[list[int], float]:
    """Draft lengths with the highest sum goodput under the best bandwidths: all alike, or each its own.

    Own lengths are exact up to ``MAX_COMBINATIONS``, and a local optimum beyond (arXiv 2606.04581).

    Args:
        users: The cohort.
        bandwidth_hz: Of all.
        verify_s: Seconds to verify the batch, with the way back.
        max_length: Longest draft.
        equal_lengths: Whether all draft alike.

    Returns:
        Lengths, and tokens/s.
    """

    def rate(lengths: Sequence[int]) -> float:
        return multi_spin_rate(users, lengths, bandwidth_hz, verify_s)[0]

    def upper_bound(lengths: Sequence[int]) -> float:
        tokens = sum(expected_tokens(user.alpha, length) for user, length in zip(users, lengths, strict=True))
        drafted_s = max(user.draft_token_s * length for user, length in zip(users, lengths, strict=True))
        hertz_s = sum(u.token_bits * length / u.efficiency_bps_hz for u, length in zip(users, lengths, strict=True))
        return tokens / (max(drafted_s, hertz_s / bandwidth_hz) + verify_s)

    if not equal_lengths:
        best = _best_lengths(len(users), max_length, rate, upper_bound)
    else:
        best = max(((length,) * len(users) for length in range(1, max_length + 1)), key=rate)
    return list(best), rate(best)


def _best_lengths(count: int, max_length: int, rate: Rate, upper_bound: Rate) -> tuple[int, ...]:
    """The lengths of the highest rate: those that could have it are tried, the most promising first.

    Args:
        count: Users.
        max_length: Longest draft.
        rate: Of some lengths.
        most: An upper bound of it that is cheap to compute.
    """
    if max_length**count > MAX_COMBINATIONS:
        return _climb(max(((length,) * count for length in range(1, max_length + 1)), key=rate), max_length, rate)
    every = product(range(1, max_length + 1), repeat=count)
    promising = sorted(((upper_bound(lengths), lengths) for lengths in every), reverse=True)
    best, best_rate = promising[0][1], 0.0
    for bound, lengths in promising:
        if bound <= best_rate:
            break
        if (value := rate(lengths)) > best_rate:
            best, best_rate = lengths, value
    return best


def _climb(start: tuple[int, ...], max_length: int, rate: Rate) -> tuple[int, ...]:
    """Change one user's length by one, user after user, as long as that helps."""
    best, value, unchanged, user = start, rate(start), 0, 0
    while unchanged < len(best):
        steps = [length for length in (best[user] - 1, best[user] + 1) if 1 <= length <= max_length]
        moves = [(*best[:user], length, *best[user + 1 :]) for length in steps]
        unchanged += 1
        for move in moves:
            if (move_rate := rate(move)) > value:
                best, value, unchanged = move, move_rate, 0
        user = (user + 1) % len(best)
    return best


@dataclass(frozen=True, slots=True)
class Batches:
    """A plan of DiP-SD.

    Attributes:
        lengths: Draft length of each user.
        batches: Users of each verify batch.
        cycle_s: S, after which each user has had one round.
        tokens_per_s: Expected tokens of all users per second.
    """

    lengths: tuple[int, ...]
    batches: tuple[tuple[int, ...], ...]
    cycle_s: float
    tokens_per_s: float


def dip_sd(
    users: Sequence[CohortUser],
    upload_s: Sequence[float],
    verify_fixed_s: float,
    verify_token_s: float,
    max_length: int,
) -> Batches:
    """Verify batches and draft lengths of a fixed cohort whose batches follow one another (DiP-SD, arXiv 2604.20919).

    R = sum(E_u(l_u)) / S with T_n = c0 + c1 sum(l_u + 1) over batch n, S >= sum T_n and S >= l_u t_u + upload + T_n of
    its own batch. The batches of given lengths are exact up to ``MAX_EXACT_USERS``, by dynamic programming over subsets
    in 3^N; beyond, a batch holds users that are neighbours in the order of their time away. Lengths are exact up to
    ``MAX_COMBINATIONS``, by branch and bound, and a local optimum beyond.

    Args:
        users: The cohort; of a user, ``alpha`` and ``draft_token_s`` count.
        upload_s: Seconds on the air of each user per round, both ways.
        verify_fixed_s: c0, of each batch.
        verify_token_s: c1, of each position.
        max_length: Longest draft.
    """

    def planned(lengths: Sequence[int]) -> Batches:
        away_s = [u.draft_token_s * length + s for u, length, s in zip(users, lengths, upload_s, strict=True)]
        cycle_s, batches = _best_batches(lengths, away_s, verify_fixed_s, verify_token_s)
        tokens = sum(expected_tokens(user.alpha, length) for user, length in zip(users, lengths, strict=True))
        return Batches(tuple(lengths), batches, cycle_s, tokens / cycle_s)

    def rate(lengths: Sequence[int]) -> float:
        return planned(lengths).tokens_per_s

    def upper_bound(lengths: Sequence[int]) -> float:
        tokens = sum(expected_tokens(user.alpha, length) for user, length in zip(users, lengths, strict=True))
        server_s = verify_fixed_s + verify_token_s * sum(length + 1 for length in lengths)
        alone_s = max(
            user.draft_token_s * length + up_s + verify_fixed_s + verify_token_s * (length + 1)
            for user, length, up_s in zip(users, lengths, upload_s, strict=True)
        )
        return tokens / max(server_s, alone_s)

    return planned(_best_lengths(len(users), max_length, rate, upper_bound))


def _best_batches(
    lengths: Sequence[int], away_s: Sequence[float], fixed_s: float, token_s: float
) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """The shortest cycle of given lengths, and its batches."""
    count = len(lengths)
    if count > MAX_EXACT_USERS:
        return _neighbouring_batches(lengths, away_s, fixed_s, token_s)

    def members(mask: int) -> tuple[int, ...]:
        return tuple(user for user in range(count) if mask >> user & 1)

    def batch_s(mask: int) -> float:
        inside = members(mask)
        return fixed_s + token_s * sum(lengths[u] + 1 for u in inside) + max(away_s[u] for u in inside)

    @cache
    def split(mask: int, parts: int) -> tuple[float, tuple[int, ...]]:
        """The least slowest batch of so many that cover these users."""
        if parts == 1:
            return batch_s(mask), (mask,)
        first, best = mask & -mask, (float("inf"), ())
        rest = sub = mask ^ first
        while True:
            if sub != rest:
                others_s, others = split(rest ^ sub, parts - 1)
                best = min(best, (max(batch_s(first | sub), others_s), (first | sub, *others)))
            if sub == 0:
                return best
            sub = (sub - 1) & rest

    server_s = token_s * sum(length + 1 for length in lengths)
    everyone = (1 << count) - 1
    found = []
    for parts in range(1, count + 1):
        slowest_s, masks = split(everyone, parts)
        found.append((max(slowest_s, parts * fixed_s + server_s), masks))
    cycle_s, masks = min(found)
    return cycle_s, tuple(members(mask) for mask in masks)


def _neighbouring_batches(
    lengths: Sequence[int], away_s: Sequence[float], fixed_s: float, token_s: float
) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """The shortest cycle among batches of users that are neighbours in the order of their time away."""
    order = sorted(range(len(lengths)), key=lambda user: away_s[user])
    server_s, count = token_s * sum(length + 1 for length in lengths), len(order)
    slowest, begins = [0.0] + [float("inf")] * count, []
    best: tuple[float, tuple[tuple[int, ...], ...]] = (float("inf"), ())
    for parts in range(1, count + 1):
        following, begin_of = [float("inf")] * (count + 1), [0] * (count + 1)
        for end in range(parts, count + 1):
            work_s = fixed_s
            for begin in range(end - 1, parts - 2, -1):
                work_s += token_s * (lengths[order[begin]] + 1)
                cycle_s = max(slowest[begin], work_s + away_s[order[end - 1]])
                if cycle_s < following[end]:
                    following[end], begin_of[end] = cycle_s, begin
        slowest = following
        begins.append(begin_of)
        cycle_s = max(slowest[count], parts * fixed_s + server_s)
        if cycle_s < best[0]:
            best = cycle_s, _cut(order, begins)
        if parts * fixed_s + server_s >= best[0]:
            break
    return best


def _cut(order: Sequence[int], begins: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Batches of users in order, from where each batch of so many begins by where it ends."""
    batches, end = [], len(order)
    for begin_of in reversed(begins):
        batches.append(tuple(sorted(order[begin_of[end] : end])))
        end = begin_of[end]
    return tuple(reversed(batches))
