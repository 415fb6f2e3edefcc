"""A language model whose forwards advance a clock by a known law, so that timing can be tested without waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sim.compute.base import WorkSize
from sim.compute.calibration import Coefficients
from sim.models.interface import ForwardPass, LanguageModel, Logits


class ClockedModel(LanguageModel):
    """Advances ``now`` by the law's seconds at every forward, times a noise factor; counts its forwards."""

    def __init__(self, law: Coefficients, noise: float = 0.0, max_context: int = 1024, seed: int = 0) -> None:
        super().__init__()
        self.name = "clocked"
        self.vocab_size = 11
        self.max_context = max_context
        self.eos_ids = frozenset()
        self.bos_id = 0
        self.fingerprint = f"clocked-{seed}"
        self.num_parameters = 7
        self.law = law
        self.noise = noise
        self.now = 0.0
        self.num_forwards = 0
        self._rng = np.random.Generator(np.random.Philox(seed))

    def clock(self) -> float:
        return self.now

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        sizes = [WorkSize(self.new_tokens(item), item.text_length, item.num_rows) for item in batch]
        # One-sided noise: other work on a host only ever adds time.
        self.now += self.law.seconds(sizes) * (1 + self.noise * float(self._rng.exponential()))
        self.num_forwards += 1
        return [np.zeros((item.num_rows, self.vocab_size)) for item in batch]


LAW = Coefficients(forward_s=3e-3, matrix_s=1e-3, request_s=4e-4, token_s=2e-4, attention_s=2e-7, row_s=5e-5)


@pytest.fixture
def make_model() -> Callable[..., ClockedModel]:
    """Makes models that follow ``LAW`` unless told otherwise."""

    def make(law: Coefficients = LAW, **options: float) -> ClockedModel:
        return ClockedModel(law, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def law() -> Coefficients:
    """The law that the models follow."""
    return LAW
