"""A request: one prompt, the tokens generated for it so far, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from sim.decoding.core.controller import Controller
from sim.decoding.core.prepared import PreparedDrafts
from sim.decoding.core.random_source import Path
from sim.decoding.core.reproducible import rounded_stats
from sim.decoding.core.rows import Sampling
from sim.decoding.core.steps import Compute, Emit, Location, Round
from sim.models.interface import ForwardPass, Logits

__all__ = ["Logits", "Request"]


class Request:
    """One prompt and its generation, as both ends of the link know it.

    Args:
        request_id: Unique within a run; keys its random numbers and its caches.
        prompt: Token ids, at least one.
        vocab_size: Width of the rows.
        max_new_tokens: Length limit of the generation.
        eos_ids: Ids that end the text.
        sampling: How the target's logits become rows; the draft's by default.
        controller: Adjusts the protocol's controls between rounds; None leaves them alone.
        wire_vocab_size: Messages are charged as if rows had this width; None charges what they really encode to.
        draft_temperature: Of the draft's rows where a target verifies; None draws them at the target's. Filters are
            the same, applied after it.
        rounding_key: Seed and request, by which figures of rounds are rounded; the id alone by default.
        lossless_to: Role of the model whose distribution the protocol claims to follow exactly, so that each token
            needs one of its rows; None where it does not.

    Attributes:
        prepared: Drafts that were made for what the text might become; None where nobody makes any.

    Raises:
        ValueError: An empty prompt, an id outside the vocabulary, or nothing to generate.
    """

    def __init__(
        self,
        request_id: int,
        prompt: Sequence[int],
        vocab_size: int,
        max_new_tokens: int,
        eos_ids: frozenset[int] = frozenset(),
        sampling: Sampling | None = None,
        controller: Controller | None = None,
        wire_vocab_size: int | None = None,
        draft_temperature: float | None = None,
        rounding_key: Path | None = None,
        lossless_to: str | None = None,
    ) -> None:
        if not prompt:
            raise ValueError("a request needs at least one prompt token")
        if not all(0 <= token < vocab_size for token in prompt):
            raise ValueError(f"prompt ids must lie in 0..{vocab_size - 1}, got {list(prompt)}")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        self.id = request_id
        self.prompt = tuple(prompt)
        self.vocab_size = vocab_size
        self.wire_vocab_size = wire_vocab_size if wire_vocab_size is not None else vocab_size
        self.max_new_tokens = max_new_tokens
        self.eos_ids = eos_ids
        self.sampling = sampling if sampling is not None else Sampling()
        self.draft_sampling = self.sampling
        if draft_temperature is not None:
            self.draft_sampling = replace(self.sampling, temperature=draft_temperature)
        self.controller = controller if controller is not None else Controller(None)
        self.rounding_key: Path = (request_id,) if rounding_key is None else rounding_key
        self.lossless_to = lossless_to
        self.tokens: list[int] = []
        self.rounds: list[Round] = []
        self.finished = False
        self.prepared: PreparedDrafts | None = None

    @property
    def text(self) -> list[int]:
        """Prompt and generated tokens."""
        return [*self.prompt, *self.tokens]

    @property
    def position(self) -> int:
        """Index of the next token to be generated, 0 for the first after the prompt."""
        return len(self.tokens)

    @property
    def remaining(self) -> int:
        """Tokens that may still be generated."""
        return self.max_new_tokens - len(self.tokens)

    def draft_limit(self, draft_length: int) -> int:
        """How many tokens a round may usefully draft: one of the round's tokens comes from the target."""
        return max(0, min(draft_length, self.remaining - 1))

    def supposing(self, tokens: Sequence[int]) -> Request:
        """A request whose text goes on with these tokens, for work that is done before they are known to be right.

        It shares this one's id, hence caches and random numbers; it is finished if the tokens end the text.
        """
        supposed = copy(self)
        supposed.tokens = [*self.tokens, *tokens]
        supposed.prepared = None
        supposed.rounds = list(self.rounds)
        supposed.finished = supposed.remaining <= 0 or any(token in self.eos_ids for token in tokens)
        return supposed

    def forward(
        self,
        site: Location,
        model: str,
        drafted: Sequence[int] = (),
        parents: tuple[int, ...] | None = None,
        first_row: int = 0,
        on_demand: bool = False,
    ) -> Compute:
        """The step that runs a model over the text so far followed by drafted tokens."""
        session = (self.id, site.value, model)
        block = tuple(drafted) if isinstance(drafted, list) else drafted
        return Compute(site, model, ForwardPass(session, self.text, block, parents, first_row), on_demand)

    def num_kept(self, tokens: Sequence[int]) -> int:
        """How many of a round's tokens belong to the text: those up to an end-of-text token or the length limit."""
        ends = (place for place, token in enumerate(tokens, start=1) if token in self.eos_ids)
        return min(next(ends, len(tokens)), self.remaining)

    def emit(self, tokens: Sequence[int], **counts: object) -> Emit:
        """Append a round's tokens, cut at an end-of-text token or the length limit, and make the step that says so.

        Args:
            tokens: Tokens in order.
            counts: ``drafted``, ``tested``, ``accepted`` and ``stats`` of the round; the latter are rounded by
                :func:`rounded_stats`.
        """
        key = (*self.rounding_key, self.position)
        kept = tuple(int(token) for token in tokens[: self.num_kept(tokens)])
        self.tokens.extend(kept)
        self.finished = self.finished or self.remaining <= 0 or any(token in self.eos_ids for token in kept[-1:])
        counts["stats"] = rounded_stats(counts.get("stats", ()), key)  # type: ignore[arg-type]
        round_result = Round(kept, **counts)  # type: ignore[arg-type]
        self.rounds.append(round_result)
        return Emit(round_result)
