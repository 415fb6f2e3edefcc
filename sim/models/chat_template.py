"""Chat templates of checkpoints: Jinja programs of strangers, rendered as transformers does, within a bound of work.

Work is counted and not timed, so that what is refused is the same on every machine. A unit is an iteration, a call, an
element of a list or 64 characters of a text that an operation reads or makes; where an operation could make much of
little (``'x' * 10**9``), what it would make is worked out before.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from sim.core.errors import InputError

ChatMessage = Mapping[str, str]
"""One message of a chat: its ``role`` (system, user, assistant) and its ``content``."""

TEMPLATE_FILE = "chat_template.jinja"
MAX_SOURCE = 100_000
"""Characters of a template."""
MAX_WORK, MAX_WORK_PER_UNIT = 300_000, 50
"""Units of work that a template may do, and how many more for each unit that its messages are long."""

_UNIT = 64
_MAX_BITS, MAX_NUMBER = 4096, 100_000
# Templates may ask for today's date, and a run must not depend on the day.
_TODAY = datetime(2024, 7, 26)
# Filters that look at one element at most, whatever they are given.
_CHEAP = {"count", "d", "default", "first", "last", "length"}
# Filters that take far longer than what they read and make is long, or draw random numbers.
_LEFT_OUT = ("lipsum", "pprint", "random", "striptags", "sum", "urlize", "xmlattr")
_WIDENING = ("batch", "expandtabs", "indent", "slice", "tojson", "translate", "wordwrap")
_PADDING = ("center", "ljust", "rjust", "to_bytes", "zfill")
_FORMATTING = ("%", "format", "format_map")


class TooMuchWorkError(TemplateError):
    """A template does more than it may."""


class ChatTemplate:
    """A template as a function from messages to text.

    Args:
        source: Jinja source.
        special_tokens: Texts that it may name, such as ``bos_token``.
        path: File that it stands in, for messages.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], path: Path) -> None:
        self._source = source
        self._special_tokens = dict(special_tokens)
        self._path = path
        self._environment = _Environment()

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """The text of a chat up to where the assistant's answer begins.

        Raises:
            InputError: The template is none, refuses the messages, or does more work than it may.
        """
        plain = [dict(message) for message in messages]
        self._environment.work_left = MAX_WORK + MAX_WORK_PER_UNIT * _units(plain, 10**12)
        try:
            text: str = self._compiled.render(
                messages=plain, tools=None, documents=None, add_generation_prompt=True, **self._special_tokens
            )
            return text
        except Exception as error:  # templates are programs
            roles = ", ".join(message["role"] for message in plain[:8])
            reason = "it nests too deeply" if isinstance(error, RecursionError) else _said(error)
            said = f"{self._path}: the chat template refuses messages of roles {roles}: {reason}"
            raise InputError(said) from error

    @functools.cached_property
    def _compiled(self) -> Any:
        if len(self._source) > MAX_SOURCE:
            raise TooMuchWorkError(f"it is longer than {MAX_SOURCE} characters")
        return self._environment.from_string(self._source)


def template_file(folder: Path) -> Path:
    """The file of a folder that its chat template stands in."""
    own = folder / TEMPLATE_FILE
    return own if own.is_file() else folder / "tokenizer_config.json"


def _said(error: Exception) -> str:
    """What an error says, in a line of bounded length; of a mistake in the source also where."""
    line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
    kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
    return line + kind + (str(error).strip().split("\n")[0][:300] or "no reason given")


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, every operation of which is counted."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
            finalize=self._charged,
            optimized=False,
        )
        self.work_left = 0
        self.concat = self._bounded_concat  # type: ignore[method-assign]
        self.globals |= {"raise_exception": _refuse, "strftime_now": _TODAY.strftime, "namespace": _Namespace}
        del self.globals["lipsum"]
        kept = {name: entry for name, entry in self.filters.items() if name not in _LEFT_OUT} | {"tojson": _to_json}
        self.filters = {name: self._guarded(name, entry) for name, entry in kept.items()}
        self.filters |= {_CHARGED: self._charged, _COUNTED: self._counted}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return parsed

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operation on two values."""
        self._allow(operator, (left, right))
        return self._charged(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call of a function, method or macro."""
        if isinstance(__obj, LoopContext) and args:
            __self.charge(1)
            args = (__self._counted(args[0]), *args[1:])
        elif isinstance(__obj, Macro):
            __self.charge(1)
        else:
            owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
            args = tuple(_at_hand(value) for value in args)
            values = (*args, *(value for key, value in kwargs.items() if not key.startswith("_")))
            if isinstance(owner, str | bytes | int | float | list | tuple | dict):
                __self._allow(__obj.__name__, (owner, *values))
            else:
                __self.charge(_units(values, __self.work_left))
        return __self._charged(super().call(__context, __obj, *args, **kwargs))

    def charge(self, units: int) -> None:
        """Count units of work.

        Raises:
            TooMuchWorkError: There were too many.
        """
        self.work_left -= units
        if self.work_left < 0:
            raise TooMuchWorkError("it does not come to an end, or makes too long a text")

    def _charged(self, value: Any) -> Any:
        self.charge(_units(value, self.work_left))
        return value

    def _counted(self, values: Any) -> _Counted:
        return _Counted(values, self)

    def _bounded_concat(self, parts: Iterable[str]) -> str:
        kept = []
        for part in parts:
            self.charge(1 + len(part) // _UNIT)
            kept.append(part)
        return "".join(kept)

    def _guarded(self, name: str, entry: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(entry)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if name in _CHEAP:
                self.charge(1)
                return entry(*args, **kwargs)
            args = tuple(_at_hand(value) for value in args) if name == "join" else args
            given = args[1:] if hasattr(entry, "jinja_pass_arg") else args
            self._allow(name, (*given, *kwargs.values()))
            return self._charged(entry(*args, **kwargs))

        return guarded

    def _allow(self, name: str, values: Sequence[Any]) -> None:
        """Charge what an operation reads, and refuse it if it would make too much of that."""
        self.charge(_units(values, self.work_left))
        is_bounded = name in self.intercepted_binops or name in _FORMATTING
        if not is_bounded and any(_magnitude(value) > MAX_NUMBER for value in values[1:]):
            raise TooMuchWorkError(f"it calls {name} with a number above {MAX_NUMBER}")
        if _made_by(name, values) // _UNIT > self.work_left:
            raise TooMuchWorkError("it makes too long a text")


_CHARGED, _COUNTED = "_charged", "_counted"


class _Counting(NodeTransformer):
    """Makes iterations and operations countable for which the environment has no method of its own."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """A node whose parts are visited first."""
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            node.iter = _through(node.iter, _COUNTED)
        elif isinstance(node, nodes.Compare):
            node.expr = _through(node.expr, _CHARGED)
            for operand in node.ops:
                operand.expr = _through(operand.expr, _CHARGED)
        elif isinstance(node, nodes.Test):
            if node.name not in _CHEAP_TESTS:
                node.node = _through(node.node, _CHARGED)
                node.args = [_through(one, _CHARGED) for one in node.args or []]
        elif isinstance(node, nodes.Concat):
            node.nodes = [_through(part, _CHARGED) for part in node.nodes]
        elif (
            (isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice))
            or isinstance(node, nodes.List | nodes.Dict)
            or (isinstance(node, nodes.Tuple) and node.ctx == "load")
        ):
            return _through(node, _CHARGED)
        return node


_CHEAP_TESTS = {"boolean", "callable", "defined", "false", "float", "integer", "iterable", "mapping", "none", "number"}
_CHEAP_TESTS |= {"sequence", "string", "true", "undefined"}


def _through(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Counted:
    """Values to iterate over, each of which is charged when it is taken."""

    def __init__(self, values: Any, environment: _Environment) -> None:
        self._values = values
        self._environment = environment

    def __iter__(self) -> Iterator[Any]:
        for value in self._values:
            self._environment.charge(1)
            yield value

    def __len__(self) -> int:
        return len(self._values)


class _Generation(Extension):
    """``{% generation %}``, by which templates mark the assistant's own text; it changes nothing of it."""

    tags = {"generation"}  # noqa: RUF012 -- as the library has it

    def parse(self, parser: Parser) -> nodes.Node:
        """The body, in a scope of its own."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class _Namespace(Namespace):
    """Jinja's namespace without names that begin with an underscore, as transformers has it."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        values = dict(*args[1:], **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        Namespace.__setitem__(self, name, value)


def _refuse_private(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace holds no {name!r}")


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it; Jinja's own is for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _units(value: Any, limit: int) -> int:
    """Units that a value counts with all that it holds, or more than ``limit`` if that is exceeded."""
    units, waiting = 0, [value]
    while waiting and units <= limit:
        one = waiting.pop()
        units += 1
        if isinstance(one, str | bytes):
            units += len(one) // _UNIT
        elif isinstance(one, int):
            units += one.bit_length() // _UNIT
        elif isinstance(one, range):
            units += len(one)
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset | type({}.items()) | type({}.keys()) | type({}.values())):
            waiting += one
    return units


def _at_hand(value: Any) -> Any:
    """A list in place of an iterator, whose length nothing tells."""
    return list(value) if isinstance(value, Iterator) else value


def _magnitude(value: Any) -> int:
    return abs(value) if isinstance(value, int) else 0


def _made_by(name: str, values: Sequence[Any]) -> int:
    """Characters that an operation makes at most, where that is not of the order of what it reads."""
    first, others = values[0] if values else "", values[1:]
    numbers = [_magnitude(value) for value in values]
    read = _UNIT * _units(values, 10**12)
    if name in ("*", "**"):
        return _product(name, first, others[0], read)
    if name in _PADDING:
        return max(numbers)
    if name in _WIDENING:
        return read * max(1, *numbers, *(len(value) for value in others if isinstance(value, str)))
    if name == "replace" and len(others) >= 2:
        old, new = str(others[0]), str(others[1])
        text = str(first)
        return len(text) + len(new) * (text.count(old) if old else len(text) + 1)
    if name == "join":
        return read + sum(len(value) for value in values if isinstance(value, str)) * read // _UNIT
    if name in _FORMATTING and isinstance(first, str):
        widths = [int(digits[:12]) for digits in re.findall(r"\d+", first)]
        if re.search(r"\*|\{[^}]*\{", first):
            widths += [_magnitude(value) for value in _leaves(others)]
        return (first.count("%") + first.count("{")) * (max([0, *widths]) + read)
    return 0


def _leaves(value: Any) -> Iterator[Any]:
    """What lists, tuples and objects hold in the end; how much it is was charged before."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _product(name: str, first: Any, second: Any, read: int) -> int:
    """Characters of a repeated text or list; a number that grows out of bounds counts as one that nothing can hold."""
    if not isinstance(first, int) or not isinstance(second, int):
        return read * max(_magnitude(first), _magnitude(second), 1) if name == "*" else 0
    bits = first.bit_length() * abs(second) if name == "**" else first.bit_length() + second.bit_length()
    return 0 if bits <= _MAX_BITS else 1 << 62
