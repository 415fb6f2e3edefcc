"""Faults of looking at prompts before a run: what devices and models take, and what a file's settings come to."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

_TESTS = ("tests/inputs/test_prompt_limits.py",)

PROMPTS: tuple[Mutant, ...] = (
    *faults_of(
        "sim/inputs/prompt_limits.py",
        _TESTS,
        ("ids_may_be_one_beyond", "max(ids) >= limits.vocab_size", "max(ids) > limits.vocab_size"),
        ("devices_need_no_prompt", "if without is not None:", "if False:"),
        ("every_device_asks", "workload.distinct_requests or devices.count)", "devices.count)"),
        ("prompts_of_nobody_are_checked", "else prompt.device in asked:", "else True:"),
        ("common_prompts_are_always_asked", "is_common = not _all_have_own(own, asked)", "is_common = True"),
        ("system_prompts_need_no_room", "num_tokens += workload.system_prompt_tokens", "pass"),
        ("contexts_have_one_token_more", "if num_tokens + asked > context:", "if num_tokens + asked > context + 1:"),
        ("decoded_prompts_are_not_cut", ", workload.decoded_prompt_tokens)", ",)"),
        (
            "ids_count_where_lengths_are_drawn",
            "prompt.ids is not None and workload.prompt_tokens is None:\n                check",
            "prompt.ids is not None:\n                check",
        ),
        ("drawn_limits_are_refused", "or workload.output_tokens is not None:", "or False:"),
        ("devices_of_other_kinds_are_missed", "device >= devices.stop] if is_alone else []", "device >= devices.stop]"),
    ),
    *faults_of(
        "sim/models/quick_limits.py",
        _TESTS,
        ("added_tokens_are_no_ids", 'for one in tokenizer.get("added_tokens", [])', "for one in []"),
        ("listed_added_tokens_are_no_ids", 'settings.get("added_tokens_decoder", {})', "{}"),
        ("heads_have_all_ids", "return min(width, max(by_text.values()) + 1)", "return width"),
        (
            "special_tokens_are_all_known",
            "    return None  # transformers gives it",
            "    pass  # transformers gives it",
        ),
        ("contexts_of_all_are_known", "None if LlamaSizes.from_config(config) is None else ", ""),
    ),
    *faults_of(
        "sim/inputs/prompt_keys.py",
        _TESTS,
        ("greedy_requests_are_not_told", "request[key] is not False and", "request[key] and"),
        ("single_answers_are_told", '{"n": 1, "best_of": 1,', '{"best_of": 1,'),
    ),
    *faults_of(
        "sim/inputs/prompts.py",
        _TESTS,
        ("settings_are_not_told", "return PromptFile(prompts, notes)", "return PromptFile(prompts)"),
        ("settings_of_data_sets_are_told", "() if inner is entry else unused_keys", "unused_keys"),
    ),
    *faults_of(
        "sim/inputs/requests.py",
        _TESTS,
        ("runs_take_what_validate_refuses", "        check_prompts(file.prompts, named,", "        (lambda *_: None)("),
        ("cut_requests_are_of_no_kind", 'of = f" of {self._kind}" if self._kind else ""', 'of = ""'),
    ),
    *faults_of(
        "sim/core/wording.py",
        _TESTS,
        ("one_is_several", "noun if number == 1 else ", ""),
    ),
)
