"""Chat templates: rendered as transformers renders them, and bounded in what they do, by count and not by time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from sim.core.errors import InputError
from sim.models.chat_template import MAX_NUMBER, ChatTemplate, template_file
from sim.models.describe import describe_model
from sim.models.tokenizer import light_tokenizer
from tests.models import builders

CHAT = [
    {"role": "system", "content": " Be  brief. "},
    {"role": "user", "content": "Why? <b>"},
    {"role": "assistant", "content": "<think>Well</think>So."},
    {"role": "user", "content": "And\nnow?"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
FILE = Path("model/chat_template.jinja")
# What templates of the field make use of.
USED = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "system first": "{%- if messages[0]['role'] == 'system' %}{%- set first = messages[0].content|trim %}"
    "{%- set rest = messages[1:] %}{%- else %}{% set first = '' %}{% set rest = messages %}{%- endif %}"
    "{{- bos_token ~ first }}{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}"
    "{{ eos_token if not loop.last }}{% endfor %}",
    "namespace": "{% set ns = namespace(last=-1, text='') %}{% for m in messages[::-1] %}{% if ns.last < 0 and "
    "m.role == 'user' %}{% set ns.last = messages|length - 1 - loop.index0 %}{% endif %}{% endfor %}{{ ns.last }}"
    "{% for m in messages %}{% if loop.index0 <= ns.last and '</think>' in m.content %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "macro": "{% macro line(m, mark='#') -%}\n{{ mark * 3 }} {{ m.role|upper }}: {{ m['content']|trim }}\n"
    "{%- endmacro %}{% for m in messages if m.role != 'system' %}{{ line(m) }}\n{% endfor %}",
    "json": "{{ messages|tojson }}{{ messages[0]|tojson(indent=2) }}{{ {'ü': [1, 2.5, none, true]}|tojson }}",
    "tools": "{% if tools is not none and tools %}tools{% endif %}{% if documents %}d{% endif %}"
    "{%- set x = tools|default([], true) %}{{ x|length }}{{ messages is defined }}{{ nothing is defined }}"
    "{{ nothing }}",
    "filters": "{{ messages|map(attribute='role')|join(', ') }}"
    "{{ messages|selectattr('role', 'equalto', 'user')|list|count }}"
    "{{ messages[-1].content|replace('\n', ' ')|indent(4) }}{{ 'a-b'.replace('-', '+') }}{{ '%s/%d'|format('a', 3) }}"
    "{{ '{:>4}|{}'.format('a', 2) }}{{ '%05.1f' % 2.25 }}{{ '%d' % 2000000000 }}"
    "{{ '{}'.format(2000000000) }}{{ ','.join(['a', 'b']) }}{{ range(3)|list }}"
    "{{ 'abc'|batch(2)|list }}{{ [3, 1]|sort }}{{ {'b': 1, 'a': 2}|dictsort }}{{ 2 ** 5 }}{{ 7 // 2 }}",
    "loops": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ loop.length }}{{ loop.revindex }}"
    "{{ loop.previtem.role }}{% if loop.index == 3 %}{% break %}{% endif %}{% else %}none{% endfor %}"
    "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}"
    "{% for x in nothing %}x{% else %}empty{% endfor %}"
    "{% for t in [[1, [2]], 3] recursive %}{% if t is sequence %}({{ loop(t) }}){% else %}{{ t }}"
    "{% endif %}{% endfor %}",
    "generation": "{% set x = 1 %}{% for m in messages %}{% generation %}{% set x = 2 %}{{ m.content }}"
    "{% endgeneration %}"
    "{{ x }}{% endfor %}",
    "blocks": "{% set x %}{% for m in messages %}{{ m.role }} {% endfor %}{% endset %}{{ x|upper }}"
    "{% filter upper %}{{ bos_token }}a{% endfilter %}{%- set d = dict(a=1) %}{{ d.a }}{{ d['b'] }}"
    "{{ d.get('c', 4) }}",
}


@pytest.mark.parametrize("name", USED)
def test_templates_are_rendered_as_transformers_renders_them(name: str):
    (expected,), _ = render_jinja_template([CHAT], chat_template=USED[name], add_generation_prompt=True, **TOKENS)
    assert ChatTemplate(USED[name], TOKENS, FILE)(CHAT) == expected


def test_long_chats_are_no_endless_ones():
    """Work is bounded by how long the chat is."""
    chat = [{"role": ("user", "assistant")[i % 2], "content": "word " * 2000} for i in range(801)]
    for name in ("chatml", "namespace", "macro", "json", "generation"):
        (expected,), _ = render_jinja_template([chat], chat_template=USED[name], add_generation_prompt=True, **TOKENS)
        assert ChatTemplate(USED[name], TOKENS, FILE)(chat) == expected


NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLED = (
    "{{% set n = namespace(x={0}) %}}{{% for i in range(64) %}}{{% set n.x = {1} %}}{{% endfor %}}{{{{ n.x|length }}}}"
)
ENDLESS = {
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "nested": NESTED,
    "loops over one list": "{% set x = range(300)|list %}{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}"
    "{% endfor %}{% endfor %}",
    "its own text": "{% for i in range(3000) %}" + "x" * 50_000 + "{% endfor %}",
    "in a macro": "{% macro m() %}" + NESTED + "{% endmacro %}{{ m() }}",
    "in a filter": "{{ range(90000)|map('upper')|list|length }}" * 20,
    "filtered": "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}",
    "recursion": "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "branching": "{% macro m(x) %}{% if x %}{{ m(x - 1) }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "loop in itself": "{% for i in [1, 1] recursive %}{{ loop(range(99999)) if loop.depth < 3 }}{% endfor %}",
    "loop of itself alone": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "times": "{{ ('x' * 10**9)|length }}",
    "times a list": "{{ ([1] * 10**9)|length }}",
    "times, the other way": "{{ (10**9 * 'x')|length }}",
    "power": "{{ 10 ** (10 ** 9) > 1 }}",
    "squares": DOUBLED.format("3", "n.x * n.x"),
    "doubled": DOUBLED.format("'x'", "n.x ~ n.x"),
    "added": DOUBLED.format("'x'", "n.x + n.x"),
    "joined": DOUBLED.format("'x'", "[n.x, n.x]|join"),
    "list added": DOUBLED.format("[1]", "n.x + n.x"),
    "nested lists": DOUBLED.format("[1]", "[n.x, n.x]"),
    "nested tuples": DOUBLED.format("(1,)", "(n.x, n.x)"),
    "nested objects": DOUBLED.format("{}", "{'a': n.x, 'b': n.x}"),
    "nested namespaces' lists": DOUBLED.format("[1]", "dict(a=n.x, b=n.x)"),
    "replaced": DOUBLED.format("'xx'", "n.x.replace('x', n.x)"),
    "replaced by a filter": DOUBLED.format("'xx'", "n.x|replace('x', n.x)"),
    "block": DOUBLED.format("'x'", "n.x").replace("{% set n.x = n.x %}", "{% set y %}{{ n.x }}{{ n.x }}"
    "{% endset %}{% set n.x = y %}"),
    "separators": "{{ (range(90000)|map('string')|join('x' * 90000))|length }}",
    "separators of a method": "{{ ('x' * 90000).join(range(90000)|map('string'))|length }}",
    "width": "{{ 'x'.ljust(10**9)|length }}",
    "width of a filter": "{{ ('x'|center(10**9))|length }}",
    "widths": "{{ ('{:90000}' * 9000).format(*([1] * 9000))|length }}",
    "width as an argument": "{{ ('%*d' % (10**9, 1))|length }}",
    "width as a named argument": "{{ '{:{w}}'.format_map({'w': 10**9, '': 1})|length }}",
    "width as an argument of many": "{{ '{:{}}'.format(1, 10**9)|length }}",
    "width in a format": "{{ ('%999999999d' % 1)|length }}",
    "width in a format filter": "{{ ('%999999999d'|format(1))|length }}",
    "arguments again and again": "{{ ('{0}' * 9000).format('x' * 90000)|length }}",
    "tabs": "{{ ('\t' * 90000).expandtabs(90000)|length }}",
    "indents": "{{ ('\n' * 90000)|indent('x' * 90000)|length }}",
    "json indents": "{{ ([1] * 9000)|tojson(indent=90000)|length }}",
    "slices": "{{ 'ab'|slice(10**9)|list|length }}",
    "batches": "{{ ('ab'|batch(10**9, 'x')|list)[0]|length }}",
    "bytes": "{{ (1).to_bytes(10**9, 'big')|length }}",
    "precision": "{{ 1.5|round(10**9, 'ceil') }}",
    "compared": "{% set x = 'x' * 900000 %}{% for i in range(99999) %}{% if 'y' in x %}{% endif %}{% endfor %}",
    "cut": "{% set x = 'x' * 900000 %}{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
    "tested": "{% set x = 'x' * 900000 %}{% for i in range(99999) %}{% if i is in x %}{% endif %}{% endfor %}",
    "said": "{% set x = 'x' * 900000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    "long": "x" * 100_001,
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_templates_that_do_too_much_are_refused(name: str):
    with pytest.raises(InputError) as error:
        ChatTemplate(ENDLESS[name], TOKENS, FILE)(CHAT[:2])
    assert re.match(f"{FILE}: the chat template refuses messages of roles system, user: ", str(error.value))
    assert re.search(
        "does not come to an end|too long a text|nests too|number above|Range too big|longer than", str(error.value)
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ raise_exception('no system\nprompt') }}", "refuses messages of roles system, user: no system$"),
        ("{{ messages[9].content.x }}", "has no element 9|no attribute"),
        ("\n{% if %}", "line 2: Expected an expression"),
        ("{% for m in messages %}", "line 1: Unexpected end of template"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ messages[0].__class__.__mro__ }}", "is unsafe"),
        ("{{ messages.append(1) }}", "not safely callable|is unsafe"),
        ("{{ namespace(__call__=1) }}", "a namespace holds no '__call__'"),
        ("{% set n = namespace() %}{% set n._x = 1 %}", "a namespace holds no '_x'"),
        ("{% include 'other' %}", "no loader|has no loader"),
        ("{{ messages|random }}", "No filter named 'random'"),
        ("{{ lipsum(1) }}", "'lipsum' is undefined"),
        ("{{ '%d' % 'x' }}", "TypeError: %d format"),
        ("(" * 9 + "{{" + "(" * 9000 + "1" + ")" * 9000 + "}}", "nests too deeply"),
        ("{% if 1 %}" * 200 + "{% endif %}" * 200, "SyntaxError|nests too deeply|IndentationError"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_in_one_line(source: str, says: str):
    with pytest.raises(InputError, match=says) as error:
        ChatTemplate(source, TOKENS, FILE)(CHAT[:2])
    assert str(error.value).startswith(f"{FILE}: ") and "\n" not in str(error.value)


def test_a_template_that_asks_for_the_date_gets_the_same_one_every_day():
    assert ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}, FILE)(CHAT) == "26 Jul 2024"


def test_the_bound_holds_for_each_chat_anew():
    template = ChatTemplate("{% for i in range(90000) %}{% endfor %}a", {}, FILE)
    assert {template(CHAT) for _ in range(9)} == {"a"}
    assert MAX_NUMBER >= 90000


def test_where_a_template_stands(tmp_path: Path):
    assert template_file(tmp_path) == tmp_path / "tokenizer_config.json"
    (tmp_path / "chat_template.jinja").write_text("a")
    assert template_file(tmp_path) == tmp_path / "chat_template.jinja"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (USED["macro"], None),
        ([{"name": "default", "template": USED["macro"]}, {"name": "rag", "template": "{% if"}], None),
        ("{{ bos_token + eos_token }}", None),
        ("{% for m in messages %}", r"tokenizer_config\.json: the chat template refuses .* line 1: Unexpected end"),
        (NESTED, "does not come to an end"),
        (3, "chat_template must be a text"),
    ],
)
def test_a_description_tells_of_a_template_that_does_not_work(tmp_path: Path, template: Any, says: str | None):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    notes = describe_model(str(folder))[0].notes
    assert (notes == ()) if says is None else re.search(says, notes[0])


def test_a_template_that_is_no_text_is_refused(tmp_path: Path):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    for read in (describe_model, lambda name: light_tokenizer(Path(name), name)):
        with pytest.raises(InputError, match=r"chat_template\.jinja cannot be read: UnicodeDecodeError"):
            read(str(folder))
