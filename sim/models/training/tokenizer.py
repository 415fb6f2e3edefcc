"""The pair's tokenizer: a byte-level BPE trained on the corpus, and the corpus as one stream of token ids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.models.training.corpus import SourceFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCAB_SIZE = 8192
END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
MAX_POSITIONS = 1024
STREAM_DTYPE = np.uint16


def train_tokenizer(files: Iterable[SourceFile], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Train a byte-level BPE of `vocab_size` tokens; id 0 is the end of text. Any text round-trips through it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((source.text for source in files), trainer=trainer)
    if tokenizer.get_vocab_size() != vocab_size or tokenizer.token_to_id(END_OF_TEXT) != END_OF_TEXT_ID:
        raise ValueError(f"vocab_size: the corpus yields {tokenizer.get_vocab_size()} tokens, expected {vocab_size}")
    return tokenizer


def as_transformers_tokenizer(tokenizer: Tokenizer) -> Any:
    """Wrap for `save_pretrained`, so that AutoTokenizer loads it without executing any code of ours."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json`."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def encode_stream(tokenizer: Tokenizer, files: Iterable[SourceFile]) -> npt.NDArray[np.uint16]:
    """Encode the files into one stream, each followed by the end-of-text token. Shape [num_tokens], uint16."""
    pieces: list[npt.NDArray[np.uint16]] = []
    for source in files:
        ids = tokenizer.encode(source.text, add_special_tokens=False).ids
        pieces.append(np.asarray([*ids, END_OF_TEXT_ID], dtype=STREAM_DTYPE))
    return np.concatenate(pieces)
