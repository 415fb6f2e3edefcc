"""What every protocol owes, checked while it runs: rounds that its verdicts cover, and a text that is finished.

A protocol that breaks these rules would leave tables that look like results. The rules hold for every protocol, lossy
ones included; whether a text follows the target's distribution is another question (``specran prove``).
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, RunError

if TYPE_CHECKING:
    from sim.decoding.core.request import Request
    from sim.decoding.core.steps import Round

# Without a round, a protocol is taken to go round in circles after so many steps (256 prepared branches of 64 tokens
# are the most that the drafts of one round take) or forward passes of the target (a round takes a few). A prompt may be
# sent and read token by token in four steps each, so its length comes on top.
MAX_STEPS_PER_ROUND = 20_000
MAX_TARGET_FORWARDS_PER_ROUND = 256
STEPS_PER_PROMPT_TOKEN = 4
_PACKAGE = Path(__file__).resolve().parent.parent.parent


class RoundChecks:
    """Counts what a protocol has done, its concurrent branches included, and refuses what cannot be.

    Args:
        protocol: The coroutine, for messages.
        request: Whose text it generates; None checks the rounds alone.
    """

    def __init__(self, protocol: Any, request: Request | None = None) -> None:
        if not isinstance(protocol, Generator):
            raise RunError(
                f"a protocol is a generator that yields steps, got {type(protocol).__name__}; "
                "its function must hold a yield"
            )
        self.name = str(getattr(protocol, "__name__", "protocol"))
        self._request = request
        self._emitted = 0
        self._steps = 0
        self._target_forwards = 0

    def step(self, runs_target: bool = False) -> None:
        """Another step was yielded.

        Args:
            runs_target: Whether it is a forward pass of the target.

        Raises:
            RunError: There were far too many since the last round.
        """
        self._steps += 1
        self._target_forwards += runs_target
        prompt_tokens = 0 if self._request is None else len(self._request.prompt)
        over_steps = self._steps > MAX_STEPS_PER_ROUND + STEPS_PER_PROMPT_TOKEN * prompt_tokens
        if over_steps or self._target_forwards > MAX_TARGET_FORWARDS_PER_ROUND + prompt_tokens:
            raise RunError(
                f"protocol {self.name!r} emitted no token in {self._steps} steps, {self._target_forwards} of them "
                "forward passes of the target; a round ends with finish_round(...) or request.emit(...), yielded"
            )

    def round(self, round_: Round) -> None:
        """A round is to be emitted.

        Raises:
            RunError: It emits nothing, or tokens that its verdicts do not cover, or counts that cannot be.
        """
        self._steps = self._target_forwards = 0
        count, sums = len(round_.tokens), (round_.accepted, round_.tested, round_.drafted)
        if count < 1:
            raise RunError(f"protocol {self.name!r} emits a round without a token")
        if not 0 <= round_.accepted <= round_.tested <= round_.drafted:
            raise RunError(
                f"protocol {self.name!r} emits a round of {sums[0]} accepted, {sums[1]} tested and {sums[2]} drafted "
                "tokens; valid: accepted <= tested <= drafted"
            )
        if count > round_.accepted + 1:
            raise RunError(
                f"protocol {self.name!r} emits {count} tokens in a round whose verdicts cover {round_.accepted + 1}: "
                f"{round_.accepted} accepted and one of the target's own"
            )
        self._emitted += count
        if self._request is not None and self._emitted > len(self._request.tokens):
            raise RunError(f"protocol {self.name!r} emits tokens that are not in its request's text; use request.emit")

    def end(self) -> None:
        """The protocol has ended.

        Raises:
            RunError: It has emitted nothing, not all of the text, or the text goes on.
        """
        if not self._emitted:
            raise RunError(f"protocol {self.name!r} ended without having emitted a round")
        if self._request is None:
            return
        if self._emitted != len(self._request.tokens):
            raise RunError(
                f"protocol {self.name!r} ended with {len(self._request.tokens)} tokens in its request's text, of which "
                f"its rounds emitted {self._emitted}"
            )
        if not self._request.finished:
            raise RunError(
                f"protocol {self.name!r} ended after {self._emitted} tokens, before its request was finished "
                f"(max_new_tokens {self._request.max_new_tokens}, or an end of text)"
            )


def failure_of(name: str, error: Exception) -> Exception:
    """What to raise for an error within a protocol: one line with the place, if a user's own code is to blame.

    Args:
        name: The protocol.
        error: As it was raised.
    """
    if isinstance(error, InputError | RunError):
        return error
    place = None
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_absolute() and _PACKAGE not in file.parents and "site-packages" not in file.parts:
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return error if place is None else RunError(f"protocol {name!r} failed at {place}: {type(error).__name__}: {error}")
