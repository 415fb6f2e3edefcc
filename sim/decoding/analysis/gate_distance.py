"""How far an uncertainty-gated protocol's tokens are from the target's distribution, worked out row by row."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sim.decoding.core.rows import Probabilities, Row, Sampling, residual
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.protocols.cu_hlm import CuHlmSettings, gate_of_cut_rows
from sim.decoding.protocols.u_hlm import Gate, GateSettings, gate_of_whole_rows, perturbed_rows
from sim.models.interface import ForwardPass, LanguageModel, Logits


def gate_distance(
    draft: LanguageModel,
    target: LanguageModel,
    texts: Iterable[list[int]],
    settings: GateSettings,
    sampling: Sampling | None = None,
) -> float:
    """Mean total variation per token between what ``u_hlm`` or ``cu_hlm`` emits and the target, over given texts.

    Exact at each position, given the text before it: the gate's chance to ask is summed over the perturbed samples
    (a Poisson binomial distribution), rows cross the wire as they would, and nothing is drawn.

    Args:
        draft: The device's model.
        target: The edge's model.
        texts: Token ids; rows after each of them but the last are compared.
        settings: ``GateSettings`` for ``u_hlm``, ``CuHlmSettings`` for ``cu_hlm``.
        sampling: Temperature and filters of both models.
    """
    sampling = sampling or Sampling()
    gate: Gate = gate_of_whole_rows(target.vocab_size, settings)
    if isinstance(settings, CuHlmSettings):
        gate = gate_of_cut_rows(target.vocab_size, settings)
    distances: list[float] = []
    for number, text in enumerate(texts):
        session = ("gate_distance", number)
        forward = ForwardPass(session, text[:1], tuple(text[1:-1]))
        (p_logits,), (q_logits,) = target.forward([forward]), draft.forward([forward])
        for p, q in zip(p_logits, q_logits, strict=True):
            row = sampling.row(p)
            distances.append(float(np.abs(gated_distribution(gate, sampling, row, q) - row.dense()).sum() / 2))
        for model in (draft, target):
            model.close(session)
    return float(np.mean(distances))


def gated_distribution(gate: Gate, sampling: Sampling, p: Row, draft_logits: Logits) -> Probabilities:
    """Distribution of the token that a gate emits at one position, [vocab_size].

    Args:
        gate: Of the protocol.
        sampling: Of the draft model.
        p: The target's row.
        draft_logits: The draft's logits, [vocab_size].
    """
    prepared = gate.prepare(sampling.row(draft_logits))
    writer = BitWriter()
    gate.row_layout.write(writer, prepared.body)
    received: Row = gate.row_layout.read(BitReader(writer.to_bytes()))
    drawn, proposal, wanted = prepared.source.dense(), received.dense(), p.dense()
    asked = drawn * chance_to_ask(gate.settings, sampling, draft_logits)
    accept = np.divide(wanted, proposal, out=np.ones_like(wanted), where=proposal > 0).clip(max=1.0)
    kept = drawn - asked + asked * accept
    corrected = float((asked * (1 - accept)).sum())
    emitted: Probabilities = kept + corrected * residual(p, received).dense() if corrected > 0 else kept
    return emitted


def chance_to_ask(settings: GateSettings, sampling: Sampling, draft_logits: Logits) -> Probabilities:
    """Probability that the target is asked about each token, were it the drafted one, [vocab_size]."""
    rows = perturbed_rows(sampling, draft_logits, settings.samples)
    counts = np.zeros(
        (settings.samples + 1, len(draft_logits))
    )  # distribution of how many samples differ from the token
    counts[0] = 1.0
    for row in rows:
        agree = row.dense()
        counts[1:] = counts[1:] * agree + counts[:-1] * (1 - agree)
        counts[0] *= agree
    doubts = np.arange(settings.samples + 1) / settings.samples
    chances: Probabilities = counts[doubts > settings.threshold].sum(axis=0)
    return chances
