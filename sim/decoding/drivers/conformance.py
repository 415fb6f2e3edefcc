"""What every protocol owes, checked while it runs: rounds that its verdicts cover, and a text that is finished.

A protocol that breaks these rules would leave tables that look like results. The rules hold for every protocol, lossy
ones included; that a verdict was asked for does not mean that the text follows the target's distribution, which is
another question (``specran prove``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, RunError
from sim.decoding.core.steps import Compute, Round

if TYPE_CHECKING:
    from sim.decoding.core.request import Request
    from sim.models.interface import ForwardPass

# Without a round, a protocol is taken to go round in circles after so many steps (256 prepared branches of 64 tokens
# are the most that the drafts of one round take) or forward passes of the target (a round takes a few). A prompt may be
# sent and read token by token in four steps each, so its length comes on top.
MAX_STEPS_PER_ROUND = 20_000
MAX_TARGET_FORWARDS_PER_ROUND = 256
STEPS_PER_PROMPT_TOKEN = 4
_PACKAGE = Path(__file__).resolve().parent.parent.parent


class AskedRows:
    """Texts after which a row of the verifying model was asked for.

    Args:
        prompt: What the text begins with.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._text = list(prompt)  # up to the last token that was emitted
        self._works: list[ForwardPass] = []

    def ask(self, work: ForwardPass) -> None:
        """A forward pass was asked for; a recorder may draw the tokens of its block only while it is verified."""
        self._works.append(work)

    def covered(self, tokens: tuple[int, ...]) -> int:
        """How many of these tokens, from the first on, have a row that tells how probable they are."""
        after = {path for work in self._works for path in self._paths(work)}
        return next((place for place in range(len(tokens)) if tokens[:place] not in after), len(tokens))

    def emit(self, tokens: tuple[int, ...]) -> None:
        """These tokens are final; forward passes that end before them will cover nothing more."""
        self._text.extend(tokens)
        self._works = [work for work in self._works if work.text_length >= len(self._text)]

    def _paths(self, work: ForwardPass) -> Iterator[tuple[int, ...]]:
        """How the emitted text goes on before each row of a forward pass, where the row is after it."""
        common = min(len(work.context), len(self._text))
        if list(work.context[:common]) != self._text[:common]:
            return
        missing, paths = tuple(self._text[common:]), [tuple(work.context[common:])]
        for token, parent in zip(work.block, work.parent_nodes, strict=True):
            paths.append((*paths[parent + 1], token))
        for path in paths[work.first_row :]:
            if path[: len(missing)] == missing:
                yield path[len(missing) :]


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
        self._asked = None if request is None else AskedRows(request.prompt)
        self._emitted = 0
        self._steps = 0
        self._target_forwards = 0

    def step(self, step: object) -> None:
        """Another step was yielded.

        Raises:
            RunError: There were far too many since the last round.
        """
        self._steps += 1
        if isinstance(step, Compute):
            self._target_forwards += step.model == "target"
            if self._asked is not None and self._verifies(step.model):
                self._asked.ask(step.work)
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
        if self._request is not None:
            if list(round_.tokens) != self._request.tokens[self._emitted - count : self._emitted]:
                raise RunError(
                    f"protocol {self.name!r} emits tokens that are not in its request's text; use request.emit"
                )
            self._refuse_uncovered(round_, self._request)

    def _verifies(self, model: str) -> bool:
        """Whether rows of a model decide: those of the one that is followed; where none is, all but the draft's."""
        followed = None if self._request is None else self._request.lossless_to
        return model != "draft" if followed is None else model == followed

    def _refuse_uncovered(self, round_: Round, request: Request) -> None:
        """Refuse a round with a token that no row was asked for, if it or the protocol claims that there is one."""
        assert self._asked is not None
        covered, count = self._asked.covered(round_.tokens), len(round_.tokens)
        claim = f"says that its text follows the {request.lossless_to}" if request.lossless_to else ""
        claim = claim or (f"says that {round_.tested} positions were tested" if round_.tested else "")
        if claim and covered < count:
            raise RunError(
                f"protocol {self.name!r} {claim}, but no row of the {request.lossless_to or 'target'} was asked for at "
                f"token {covered + 1} of the {count} of a round (token {self._emitted - count + covered + 1} of the "
                "text): each needs a forward pass over the very text before it"
            )
        self._asked.emit(round_.tokens)

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
