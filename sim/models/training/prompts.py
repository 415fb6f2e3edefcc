"""Prompts from held-out files: module openings, function heads, docstring openings and class bodies."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from sim.models.training.corpus import Corpus, SourceFile

NUM_PROMPTS = 128
MIN_TOKENS, MAX_TOKENS = 24, 160
MAX_PER_FILE_AND_KIND = 2
KINDS = ("module", "function", "docstring", "class")


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a held-out file, whole lines, and what kind of place it stops at."""

    kind: str
    source: str
    text: str


def pick_prompts(corpus: Corpus, tokenizer: Any, seed: int, num_prompts: int = NUM_PROMPTS) -> list[dict[str, str]]:
    """Choose `num_prompts` unique prompts, the kinds in turn, none of which occurs in a training file.

    Returns records {"id", "source", "text"}; `source` is a path in the standard library. Raises ValueError if
    the held-out files do not yield enough.
    """
    training_text = "\0".join(source.text for source in corpus.train)
    generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
    by_kind: dict[str, list[Excerpt]] = {kind: [] for kind in KINDS}
    for source in corpus.held_out:
        for kind in KINDS:
            found = [excerpt for excerpt in excerpts(source, kind) if is_usable(excerpt.text, tokenizer)]
            order = generator.permutation(len(found))[:MAX_PER_FILE_AND_KIND]
            by_kind[kind] += [found[place] for place in order]
    for found in by_kind.values():
        generator.shuffle(found)
    chosen: dict[str, Excerpt] = {}
    for excerpt in chain.from_iterable(zip_longest(*by_kind.values())):
        if excerpt is not None and len(chosen) < num_prompts and excerpt.text not in training_text:
            chosen.setdefault(excerpt.text, excerpt)
    if len(chosen) < num_prompts:
        raise ValueError(f"num_prompts: got {num_prompts}, the held-out files yield {len(chosen)}")
    return [
        {"id": f"{excerpt.kind}-{index:03d}", "source": excerpt.source, "text": excerpt.text}
        for index, excerpt in enumerate(chosen.values())
    ]


def is_usable(text: str, tokenizer: Any) -> bool:
    """Whether a text is of prompt length and plain ASCII."""
    return text.isascii() and MIN_TOKENS <= len(tokenizer.encode(text).ids) <= MAX_TOKENS


def excerpts(source: SourceFile, kind: str) -> Iterator[Excerpt]:
    """All candidate excerpts of one kind in a file; none from a file that does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except (SyntaxError, ValueError):
        return
    lines = source.text.splitlines(keepends=True)
    for first, last in line_ranges(tree, kind, len(lines)):
        text = "".join(lines[first - 1 : last]).rstrip() + "\n"
        if text.strip():
            yield Excerpt(kind, source.path, text)


def line_ranges(tree: ast.Module, kind: str, num_lines: int) -> Iterable[tuple[int, int]]:
    """First and last line (counted from one, both included) of the excerpts of one kind."""
    if kind == "module":
        return [(1, last) for last in (6, 10, 16) if last <= num_lines]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if kind == "function":
        # The lines above give a model that starts cold some idea of the file.
        return [(max(1, node.lineno - 6), node.body[0].lineno - 1) for node in functions]
    if kind == "docstring":
        return [(node.lineno, node.body[0].lineno + 1) for node in functions if ast.get_docstring(node)]
    if kind == "class":
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        return [
            (node.lineno, node.lineno + extra)
            for node in classes
            for extra in (5, 9)
            if node.lineno + extra < (node.end_lineno or 0)
        ]
    raise ValueError(f"kind: got {kind!r}, valid: {', '.join(KINDS)}")
