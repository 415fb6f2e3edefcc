"""Messages charged as of a larger vocabulary take the bits that they really encode to in one of that size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log2

import pytest

from sim.core.errors import InputError
from sim.decoding.core.messages import Layout, Message
from sim.decoding.core.rows import Row
from sim.decoding.core.wire.refilled import ClosestCutCodec, RefilledRowLayout
from sim.decoding.drivers.protocol_run import Record, TransmitRecord, branches_of
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.wrapped import WidenedModel

SIZE, WIRE = 24, 150
FURTHER = {
    "tslt": [
        {"candidates": 2, "top_k": 8, "index": "bitmap"},
        {"top_k": 6, "index": "enumerative", "values": "lattice"},
        {"top_p": 0.8, "index": "fixed"},
        {"top_k": 40},
    ],
    "specedge": [{"rule": "recursive_without_replacement", "draw": "without_replacement", "top_k": 8}],
    "asym": [{"stages": [2, 4]}],
    "tk_slt": [{"accounting": "published"}],
    "residual": [{"max_messages": 1}],
    "dssd": [{"values": "fp32"}],
    "lazy_rows": [{"top_k": 6}, {"top_p": 0.8}],
}
# cu_hlm spreads the mass of what it cuts over the whole vocabulary: with more tokens it writes other texts.
# device_only sends nothing.
NAMES = [name for name in PROTOCOLS.names() if name not in ("cu_hlm", "device_only")]
CASES = [(name, keys) for name in NAMES for keys in [{}, *FURTHER.get(name, [])]]


@pytest.fixture(scope="module")
def trio(tables):
    """Draft, middle and target."""
    target = tables.model.random(1, SIZE, concentration=0.3)
    return [
        *(tables.model.random(seed, SIZE, concentration=0.3, near=target, nearness=0.5) for seed in (2, 3)),
        target,
    ]


def messages(records: Sequence[Record]) -> Iterator[TransmitRecord]:
    for record in records:
        for branch in branches_of(record):
            yield from messages(branch)
        if isinstance(record, TransmitRecord):
            yield record


@pytest.mark.parametrize(("name", "keys"), CASES)
def test_what_is_charged_is_what_a_larger_vocabulary_encodes_to(tables, trio, name, keys):
    """The oracle: the same models with ids that have probability zero, and the bytes of their messages."""
    draft, middle, target = trio
    wide = [WidenedModel(model, WIRE) for model in trio]
    charged = tables.run(
        name, draft, target, models={"middle": middle}, max_new_tokens=25, wire_vocab_size=WIRE, **keys
    )
    real = tables.run(name, wide[0], wide[2], models={"middle": wide[1]}, max_new_tokens=25, **keys)
    assert charged.tokens == real.tokens
    pairs = list(zip(messages(charged.steps), messages(real.steps), strict=True))
    assert pairs
    for told, true in pairs:
        assert (told.kind, told.charged_bits) == (true.kind, true.charged_bits)
        assert told.payload_bits <= true.payload_bits


def test_grants_of_a_controller_are_charged_too(tables, trio):
    draft, _, target = trio
    wide = [WidenedModel(model, WIRE) for model in trio]
    one = tables.run("tslt", draft, target, max_new_tokens=25, wire_vocab_size=WIRE, controller="goodspeed")
    other = tables.run("tslt", wide[0], wide[2], max_new_tokens=25, controller="goodspeed")
    told, true = ([record.charged_bits for record in messages(run.steps)] for run in (one, other))
    assert told == true


def test_refilled_rows_take_wider_ids_and_a_wider_number_of_entries(tables, trio):
    layout = RefilledRowLayout(ClosestCutCodec(SIZE, 0.2))
    body = layout.codec.code(Row.dense_row(range(1, SIZE + 1)))
    k = len(body.ids)
    assert 1 < k < SIZE
    for size in (SIZE, WIRE):  # 5 and 8 bits
        bits = ceil(log2(size)) * (1 + k) + 8 * k + 8
        assert Message(layout, body).charged_bits(size) == tables.padded(bits)


def test_a_message_type_that_does_not_say_is_refused():
    class Mine(Layout):
        kind = "mine"

        def write(self, writer, body):
            writer.write(body, 4)

        def read(self, reader):
            return reader.read(4)

    with pytest.raises(InputError, match="mine"):
        Message(Mine(), 3).charged_bits(WIRE)
