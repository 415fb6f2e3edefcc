"""Faults of reading checkpoints: pickles, buffers and layers."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

CHECKPOINTS: tuple[Mutant, ...] = (
    *faults_of(
        "sim/models/pickle_reasons.py",
        ("tests/models/test_pickled.py",),
        ("newer_pickles_ask_for_nothing", 'elif opcode.name == "STACK_GLOBAL":', "elif False:"),
        ("texts_may_ask_for_code", 'if opcode.name in ("GLOBAL", "INST"):', "if False:"),
    ),
    *faults_of(
        "sim/models/buffers.py",
        ("tests/models/test_buffers.py",),
        ("masks_of_gpt_neo_are_surplus", "(attn|attention)\\.(bias|causal_mask)$", "attn\\.(bias|causal_mask)$"),
        ("weights_pass_as_buffers", "pattern.search(name) and has_shape(shape)", "pattern.search(name)"),
        ("masks_count_as_parameters", "if not is_buffer(name, tensor.shape)", "if True"),
        ("masks_of_every_head_pass", "and set(shape[:-2]) <= {1}", ""),
    ),
    *faults_of(
        "sim/models/describe.py",
        ("tests/models/test_gguf.py",),
        ("rotary_factors_are_parameters", "if not is_buffer(name, shape)),", "),"),
    ),
    *faults_of(
        "sim/models/networks.py",
        ("tests/models/test_checked_as_loaded.py",),
        ("check_runs_no_token", "    refuse_cacheless(network, source.name)\n", ""),
    ),
    *faults_of(
        "sim/models/huggingface.py",
        ("tests/models/test_checked_as_loaded.py",),
        ("offset_positions_pass", 'dict.fromkeys(("mpt", "megatron-bert", *_OFFSET), _BLIND)', '{"mpt": _BLIND}'),
    ),
    *faults_of(
        "sim/models/limits.py",
        ("tests/models/test_early_exits.py",),
        ("layers_have_one_name", "for key in LAYER_KEYS if", "for key in LAYER_KEYS[:1] if"),
    ),
    *faults_of(
        "sim/models/networks.py",
        ("tests/models/test_early_exits.py",),
        ("layers_of_gpt_neo_keep_their_numbers", '("layer_idx", "layer_id")', '("layer_idx",)'),
    ),
    *faults_of(
        "sim/models/pickled.py",
        ("tests/models/test_pickled.py",),
        ("tensors_without_values_are_read", 'if value.device.type != "cpu":', "if False:"),
        ("nested_tensors_are_read", "if value.is_nested:", "if False:"),
        ("torch_warns_of_pickles", 'warnings.simplefilter("ignore")', "pass"),
        ("pickles_run_code", "weights_only=True", "weights_only=False"),
        (
            "shapes_of_pickles_are_believed",
            "if value.numel() * value.itemsize > value.untyped_storage().nbytes():",
            "if False:",
        ),
        ("shared_values_count_twice", "size = 0 if values in seen else", "size ="),
    ),
    *faults_of(
        "sim/models/limits.py",
        ("tests/models/test_limits.py",),
        ("bloom_has_its_default_whatever_it_states", "if _is_count(text.get(_BLOOM_KEY)):", "if False:"),
    ),
    *faults_of(
        "sim/inputs/prompts.py",
        ("tests/inputs/test_requests.py",),
        ("conversations_have_one_form", '{"role", "content"} <= message.keys()', "False"),
    ),
    *faults_of(
        "sim/inputs/requests.py",
        ("tests/inputs/test_requests.py",),
        ("unasked_prompts_are_not_told", "(*self._file_notes, *self._unasked())", "self._file_notes"),
    ),
)
