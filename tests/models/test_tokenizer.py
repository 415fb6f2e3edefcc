"""Tokenizers: chats by the model's own template, as transformers renders it, and what models carry along."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding import decode
from sim.models import load_pair
from sim.models.chat_template import ChatTemplate
from sim.models.loading import load_tokenizer
from sim.models.tokenizer import light_tokenizer, transformers_tokenizer
from tests.models import builders

TEMPLATE = (
    "{% for message in messages %}\n"
    "    {%- if loop.first and message['role'] != 'system' %}{{ bos_token }}w90 {% endif %}\n"
    "    {%- if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}\n"
    "{{ message['role'] }} {{ message['content'] | trim }}{% if message['role'] == 'stop' %}{% break %}{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}w91{% endif %}"
)
CHAT = [{"role": "w4", "content": " w5 w6 "}, {"role": "w7", "content": "w8"}]


@pytest.fixture
def folder(tmp_path):
    tokenizer = builders.words(builders.VOCAB_SIZE)
    tokenizer.chat_template = TEMPLATE
    return builders.save(
        builders.network("Llama", **{**builders.MODERN, "pad_token_id": 0}), tmp_path, tokenizer=tokenizer
    )


def test_chats_are_rendered_as_transformers_renders_them(folder):
    from transformers import AutoTokenizer

    source = AutoTokenizer.from_pretrained(folder)
    expected = source.apply_chat_template(CHAT, tokenize=True, add_generation_prompt=True, return_dict=False)
    ours = transformers_tokenizer(source, "wrapped", folder)
    light = light_tokenizer(folder, "light")
    assert ours.encode_chat(CHAT) == light.encode_chat(CHAT) == expected
    assert ours.has_chat_template
    assert ours.all_special_ids == light.all_special_ids == {0, 1, 2}
    text = source.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert ChatTemplate(TEMPLATE, {"bos_token": "<s>"}, folder / "x")(CHAT) == text


def test_what_a_template_refuses_is_said_in_one_line(folder):
    for tokenizer in (load_tokenizer(str(folder)), light_tokenizer(folder, "light")):
        with pytest.raises(InputError, match="refuses messages of roles user, tool: no tools here"):
            tokenizer.encode_chat([{"role": "user", "content": "w5"}, {"role": "tool", "content": "w6"}])


def test_without_a_template_a_chat_is_its_texts(checkpoint):
    tokenizer = load_tokenizer(str(checkpoint("opt")))
    assert not tokenizer.has_chat_template
    assert tokenizer.encode_chat(CHAT) == [5, 6, 8]


def test_models_carry_their_tokenizer_so_that_text_goes_in_and_comes_out():
    """The recipe of the README."""
    draft, target = load_pair("embedded/draft", "embedded/target")
    done = decode("tslt", draft, target, "def main(", seed=1, max_new_tokens=40, top_k=64)
    assert done.text == target.tokenizer.decode(done.tokens)
    assert len(done.text) > 40
    assert done.text != decode("tslt", draft, target, "def main(", seed=2, max_new_tokens=40, top_k=64).text


def test_a_chat_is_decoded_through_the_template(folder):
    draft, target = load_pair(str(folder), str(folder), device="cpu")
    ids = target.tokenizer.encode_chat(CHAT)
    done = decode("tslt", draft, target, CHAT, seed=1, max_new_tokens=8, top_k=8)
    assert done.tokens == decode("tslt", draft, target, ids, seed=1, max_new_tokens=8, top_k=8).tokens
