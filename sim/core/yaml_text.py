"""YAML 1.2 as scenarios use it: plain values with the line of each, and back to text.

Scalars follow the core schema of YAML 1.2 (section 10.3.2): ``1e-1`` is a number, ``10:2:2``, ``yes`` and dates are
strings. Merge keys (``<<``) are read as YAML 1.1 defined them, because they are in use; a mapping's own key wins over
a merged one.
"""

from __future__ import annotations

import io
import re
from typing import Any

from typing_extensions import override

from sim.core.errors import shortened

# Bounds of one document, read in a few seconds at most. Aliases count as what they stand for as well, so that a few
# lines cannot name a billion values.
MAX_CHARS = 1 << 18
MAX_NODES = 30_000
MAX_VALUES = 100_000
MAX_DEPTH = 64
_MAX_INT = 1 << 64
_BEYOND_UNICODE = re.compile(r"\\U(?!00(?:0|10))[0-9A-Fa-f]{8}")

_TAG = "tag:yaml.org,2002:"
# Pattern and first characters by tag.
_CORE_SCHEMA = (
    ("null", r"(?:null|Null|NULL|~|)", ["n", "N", "~", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
)

_BASES = {"0o": 8, "0x": 16}

Lines = dict[tuple[str | int, ...], int]


class YamlError(ValueError):
    """A text that is no YAML, or more than plain values within bounds.

    Attributes:
        line: Where, counted from 1; None if it is not known.
        problem: What is wrong.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem, line)
        self.problem = problem
        self.line = line

    def __str__(self) -> str:
        return self.problem if self.line is None else f"line {self.line}: {self.problem}"


def read_document(text: str) -> tuple[Any, Lines]:
    """Plain values of a YAML text, and the line of each of its keys and list entries by path.

    Args:
        text: One document; an empty one is None.

    Raises:
        YamlError: It is no YAML, has a key twice, tags of more than plain values, or is beyond the bounds.
    """
    if len(text) > MAX_CHARS:
        raise YamlError(f"{len(text)} characters; valid: at most {MAX_CHARS}")
    yaml = _yaml()
    node = _compose(yaml, text)
    if node is None:
        return None, {}
    _check_size(node)
    lines: Lines = {}
    return _Reader(yaml.constructor, lines).read(node, ()), lines


def read_values(text: str) -> Any:
    """Plain values of a YAML text.

    Raises:
        YamlError: As ``read_document``.
    """
    return read_document(text)[0]


def read_table_values(text: str) -> Any:
    """`read_values` of a well-formed text, by libyaml's parser where PyYAML has it: some ten times as fast.

    For tables that ship: what is wrong in other texts would be told in other words.
    """
    import yaml

    if not yaml.__with_libyaml__:
        return read_values(text)

    class TableLoader(yaml.CSafeLoader):
        """Plain scalars are those of the core schema."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- as in the base class

    for tag, pattern, first in _CORE_SCHEMA:
        TableLoader.add_implicit_resolver(_TAG + tag, re.compile(f"{pattern}$(?!\n)"), first)
    # To YAML 1.1, 017 is octal.
    TableLoader.add_constructor(f"{_TAG}int", lambda _, node: int(node.value, _BASES.get(node.value[:2], 10)))
    loader = TableLoader(text)
    try:
        return _Reader(loader, {}).read(loader.get_single_node(), ())
    finally:
        loader.dispose()


def write_values(values: Any) -> str:
    """YAML of plain values, a key per line, that reads back equal."""
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.representer.ignore_aliases = lambda data: True  # noqa: ARG005
    yaml.width = 120
    text = io.StringIO()
    yaml.dump(values, text)
    return text.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.resolver import BaseResolver

    class BoundedComposer(Composer):
        """Gives up on a text of too many nodes while it is read, not after."""

        num_nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.num_nodes += 1
            if self.num_nodes > MAX_NODES:
                raise YamlError(f"more than {MAX_NODES} keys and values", _line_of(self.parser.peek_event().start_mark))
            return super().compose_node(parent, index)

    class CoreResolver(BaseResolver):
        """Which plain scalars are more than strings."""

        @override
        def __init__(self, version: Any = None, loader: Any = None, loadumper: Any = None) -> None:
            super().__init__(loader if loader is not None else loadumper)

        @property
        def processing_version(self) -> tuple[int, int]:
            """Whatever a ``%YAML`` line says."""
            return (1, 2)

    for tag, pattern, first in _CORE_SCHEMA:
        CoreResolver.add_implicit_resolver_base(_TAG + tag, re.compile(f"{pattern}$(?!\n)"), first)
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = CoreResolver
    yaml.Composer = BoundedComposer
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    return yaml


def _compose(yaml: Any, text: str) -> Any:
    from ruamel.yaml.composer import MaxDepthExceededError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        return yaml.compose(text)
    except YamlError:
        raise
    except ReaderError as error:
        raise YamlError("control characters are not allowed", text.count("\n", 0, error.position) + 1) from None
    except MaxDepthExceededError as error:
        raise YamlError(f"nested deeper than {MAX_DEPTH} levels", _line_of(error.problem_mark)) from None
    except MarkedYAMLError as error:
        problem = str(error.problem or error.context)
        if problem.startswith("but "):
            problem = f"{error.context} {problem}"
        raise YamlError(problem, _line_of(error.problem_mark or error.context_mark)) from None
    except (YAMLError, RecursionError, ValueError, OverflowError, AssertionError) as error:
        # What the scanner does not foresee, without a place; an escape for a character beyond Unicode can be found.
        beyond = _BEYOND_UNICODE.search(text)
        line = None if beyond is None else text.count("\n", 0, beyond.start()) + 1
        raise YamlError(str(error) or type(error).__name__, line) from None


def _line_of(mark: Any) -> int | None:
    return None if mark is None else mark.line + 1


def _check_size(root: Any) -> None:
    """Refuse more values than ``MAX_VALUES``, aliases counted as often as they stand, and aliases within themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Any) -> int:
        if isinstance(node.value, str):
            return 1
        known = sizes.get(id(node))
        if known is not None:
            return known
        line = node.start_mark.line + 1
        if id(node) in open_nodes:
            raise YamlError("a YAML alias stands within what it names", line)
        open_nodes.add(id(node))
        total = 1
        for child in node.value:
            total += size(child[0]) + size(child[1]) if isinstance(child, tuple) else size(child)
        if total > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES} values, aliases counted as what they stand for", line)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root)


class _Reader:
    """Turns nodes into plain values and notes their lines."""

    def __init__(self, constructor: Any, lines: Lines) -> None:
        self._constructor = constructor
        self._lines = lines

    def read(self, node: Any, at: tuple[str | int, ...]) -> Any:
        """The value of a node that stands at a path."""
        line = node.start_mark.line + 1
        self._lines.setdefault(at, line)
        kind = str(node.tag).removeprefix(_TAG)
        if isinstance(node.value, str):
            return self._scalar(node, kind, line)
        if kind == "map" and (not node.value or isinstance(node.value[0], tuple)):
            return self._mapping(node, at)
        if kind == "seq" and not (node.value and isinstance(node.value[0], tuple)):
            return [self.read(child, (*at, index)) for index, child in enumerate(node.value)]
        raise YamlError(f"tag {_tag_name(node)} is of more than plain values", line)

    def _scalar(self, node: Any, kind: str, line: int) -> Any:
        if kind == "str":
            return node.value
        if kind == "merge":
            return node.value  # As a value it is no merge key.
        if kind not in ("null", "bool", "int", "float"):
            raise YamlError(f"tag {_tag_name(node)} is of more than plain values", line)
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, KeyError, IndexError) as error:
            raise YamlError(f"{_short(node.value)} is no {kind}", line) from error
        if isinstance(value, int) and abs(value) > _MAX_INT:
            raise YamlError(f"{_short(node.value)} is beyond 64 bits; write it with an exponent, such as 1e20", line)
        return value

    def _mapping(self, node: Any, at: tuple[str | int, ...]) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if str(key_node.tag) == f"{_TAG}merge":
                merged += self._merged(value_node)
                continue
            if not isinstance(key_node.value, str):
                raise YamlError("a key must be one word or text, not a list or mapping", line)
            kind = str(key_node.tag).removeprefix(_TAG)
            # Names of nothing and of truth are texts here, as they are written.
            key = (key_node.value or kind) if kind in ("null", "bool") else self._scalar(key_node, kind, line)
            if key in own:
                raise YamlError(f"key {key!r} is given twice", line)
            self._lines[(*at, key)] = line
            own[key] = self.read(value_node, (*at, key))
        result: dict[Any, Any] = {}
        for source in reversed(merged):
            result |= self.read(source, at)
        # The lines of own keys were overwritten by those of merged ones that they win over.
        for key_node, _ in node.value:
            if key_node.value in own:
                self._lines[(*at, key_node.value)] = key_node.start_mark.line + 1
        return result | own

    @staticmethod
    def _merged(node: Any) -> list[Any]:
        """Mappings that a merge key names; earlier ones win over later ones."""
        line = node.start_mark.line + 1
        sources = node.value if str(node.tag) == f"{_TAG}seq" else [node]
        if not all(str(source.tag) == f"{_TAG}map" for source in sources):
            raise YamlError("a merge key << takes a mapping or a list of mappings, by alias", line)
        return list(sources)


def _tag_name(node: Any) -> str:
    """A tag as YAML writes it."""
    return shortened(str(node.tag).replace(_TAG, "!!"))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
