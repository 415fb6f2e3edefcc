"""Faults of verification, rows, messages, protocols and closed forms."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

_RULES = ("tests/decoding/test_rules.py",)
_ROWS = ("tests/decoding/test_rows_and_random_sources.py",)
_WIRE = ("tests/decoding/test_wire.py",)
_PROTOCOLS = ("tests/protocols/test_every_protocol.py", "tests/decoding/test_protocol_laws.py")

DECODING: tuple[Mutant, ...] = (
    *faults_of(
        "sim/decoding/drivers/conformance.py",
        ("tests/decoding/test_conformance.py",),
        (
            "forwards_without_a_round_uncounted",
            "self._target_forwards += step.model",
            "self._target_forwards += not step.model",
        ),
        ("rows_of_any_text_cover", "if list(work.context[:common]) != self._text[:common]:", "if not common:"),
        ("all_rows_asked_for", "for path in paths[work.first_row :]:", "for path in paths:"),
        ("trees_read_as_chains", "(*paths[parent + 1], token)", "(*paths[-1], token)"),
        ("rows_kept_over_rounds", "self._text.extend(tokens)", "self._text.extend(())"),
        ("lossy_claims_unchecked", 'if round_.tested else "")', 'if round_.tested < 0 else "")'),
        ("middle_rows_cover", "if followed is None else model == followed", "if True else model == followed"),
    ),
    *faults_of(
        "sim/decoding/drivers/conformance.py",
        ("tests/protocols/test_recording.py",),
        (
            "blocks_read_before_they_are_drawn",
            "self._works.append(work)",
            "self._works.append(type(work)(0, work.context, tuple(work.block), work.parents, work.first_row))",
        ),
    ),
    *faults_of(
        "sim/decoding/core/reproducible.py",
        ("tests/decoding/test_reproducible.py",),
        ("rounded_to_the_nearest", 'uniform_at(("reproducible", *key))', "0.5"),
        ("rounded_by_the_value", 'uniform_at(("reproducible", *key))', 'uniform_at(("reproducible", repr(value)))'),
        ("bounds_rounded_away", "_WHOLE = 1e-9", "_WHOLE = 1e-15"),
        ("all_names_rounded_alike", ", *key, name)", ", *key)"),
        ("steps_of_one_octave", "math.ldexp(1 / _STEPS_PER_OCTAVE, exponent - 1)", "1 / _STEPS_PER_OCTAVE"),
    ),
    *faults_of(
        "sim/decoding/core/request.py",
        ("tests/decoding/test_reproducible.py",),
        ("rounded_by_the_cache_key", "key = (*self.rounding_key, self.position)", "key = (self.id, self.position)"),
    ),
    *faults_of(
        "sim/decoding/analysis/proof.py",
        ("tests/decoding/test_proof.py",),
        ("one_outcome_beyond_the_limit", "if self.count >= self.limit:", "if self.count > self.limit:"),
    ),
    # Figures of the target's rows, and the standard error of the acceptance rate.
    *faults_of(
        "sim/decoding/verification/round.py",
        ("tests/protocols/test_target_figures.py",),
        (
            "surprise_at_the_text_so_far",
            "target.append(target_figures(p, draft.tokens[node]))",
            "target.append(target_figures(p, draft.tokens[0]))",
        ),
    ),
    *faults_of(
        "sim/results/ratio.py",
        ("tests/world/test_model_figures.py",),
        ("replays_count_as_texts", "if recording is None:", "if recording is not None or recording is None:"),
    ),
    *faults_of(
        "sim/decoding/core/request.py",
        ("tests/protocols/test_draft_temperature.py",),
        (
            "draft_at_the_targets_temperature",
            "replace(self.sampling, temperature=draft_temperature)",
            "replace(self.sampling)",
        ),
    ),
    *faults_of(
        "sim/decoding/protocols/lazy_rows.py",
        ("tests/protocols/test_lazy_rows.py",),
        (
            "lazy_row_of_the_next_position",
            "draft.row_after(wanted - 1)",
            "draft.row_after(min(wanted, draft.depth - 1))",
        ),
        (
            "lazy_row_not_subtracted",
            "last_row = residual(last_row, coded.row)",
            "last_row = residual(last_row, last_row)",
        ),
    ),
    *faults_of(
        "sim/decoding/protocols/pipesd.py",
        ("tests/protocols/test_pipesd.py",),
        ("cuts_wait_for_nothing", "max(ends[i][0], draft_token_s * j)", "max(ends[i][0], draft_token_s * i)"),
        ("part_sent_twice", "                sent = len(draft.tokens)", "                sent = len(draft.tokens) - 1"),
    ),
    *faults_of(
        "sim/decoding/protocols/picospec.py",
        ("tests/protocols/test_picospec.py",),
        ("bonus_behind_every_block", "return bool(tokens) and not supposed.finished", "return False"),
        ("ahead_kept_after_a_rejection", "        ahead = None\n        supposed", "        supposed"),
    ),
    *faults_of(
        "sim/nodes/executor.py",
        ("tests/protocols/test_picospec.py",),
        (
            "dropped_work_runs_on",
            "left_ns = max(0, begun.owed_until_ns - self.now_ns)",
            "left_ns = max(0, self.now_ns - self.now_ns)",
        ),
    ),
    *faults_of(
        "sim/decoding/core/prepared.py",
        ("tests/protocols/test_outcome_cache.py",),
        ("any_outcome_is_a_hit", "self.drafts.get(self.emitted)", "next(iter(self.drafts.values()), None)"),
    ),
    *faults_of(
        "sim/decoding/protocols/feature_draft.py",
        ("tests/protocols/test_feature_draft.py",),
        (
            "hidden_states_without_the_last_token",
            "return (body.last_accepted + 2) *",
            "return (body.last_accepted + 1) *",
        ),
    ),
    *faults_of(
        "sim/decoding/cohorts.py",
        ("tests/decoding/test_cohorts.py",),
        ("uploads_begin_at_once", "hertz_s / (middle - start) for", "hertz_s / middle for"),
        ("batches_share_the_server", "max(slowest_s, parts * fixed_s + server_s)", "max(slowest_s, server_s)"),
    ),
    *faults_of(
        "sim/decoding/controllers/wisp.py",
        ("tests/controllers/test_wisp.py",),
        ("rejections_count_as_accepted", "+= place < last.accepted", "+= place <= last.accepted"),
    ),
    *faults_of(
        "sim/decoding/protocols/outcome_cache.py",
        ("tests/protocols/test_outcome_cache.py",),
        ("prepared_from_the_text_of_later", "prepare(request.supposing(()), prepared,", "prepare(request, prepared,"),
    ),
    *faults_of(
        "sim/decoding/controllers/dip_sd.py",
        ("tests/controllers/test_cohorts.py",),
        ("uploads_take_no_time", "(member.token_bits or 0.0) / (member.uplink_bps or 1.0)", "0.0"),
    ),
    *faults_of(
        "sim/decoding/protocols/hat.py",
        ("tests/protocols/test_hat.py",),
        ("any_guess_is_a_hit", " and verdict.token == guess", ""),
        ("chunks_as_long_as_the_prompt_so_far", "carry_up(hidden(end - begin))", "carry_up(hidden(end))"),
    ),
    # N-grams as a draft.
    *faults_of(
        "sim/decoding/protocols/prompt_lookup.py",
        ("tests/protocols/test_prompt_lookup.py",),
        ("shortest_ngram_first", "range(longest, shortest - 1, -1)", "range(shortest, longest + 1)"),
        (
            "ngram_of_the_very_end",
            "for end in range(self._known + 1, len(text)):",
            "for end in range(1, len(text) + 1):",
        ),
    ),
    # Drafts of another vocabulary.
    *faults_of(
        "sim/models/chat_template.py",
        ("tests/models/test_chat_template.py",),
        ("iterations_are_not_counted", "            self._environment.charge(1)\n", ""),
        ("output_is_not_counted", "self.charge(1 + len(part) // _UNIT)", "self.charge(1)"),
        ("what_is_made_is_not_worked_out", "if _made_by(name, values) // _UNIT > self.work_left:", "if False:"),
        ("elements_are_not_counted", "waiting += one\n", "pass\n"),
        ("work_is_bounded_whatever_the_chat", "MAX_WORK + MAX_WORK_PER_UNIT * _units(plain, 10**12)", "MAX_WORK"),
        ("dates_are_of_today", '"strftime_now": _TODAY.strftime', '"strftime_now": datetime.now().strftime'),
    ),
    *faults_of(
        "sim/models/config_check.py",
        ("tests/models/test_broken_folders.py",),
        ("ids_below_zero_end_texts", "type(one) is int and first <= one <= last", "type(one) is int and one <= last"),
        ("quantised_checkpoints_are_read", "    if quantised is not None:", "    if False:"),
        (
            "bases_of_rotary_embeddings_may_be_zero",
            "is_number and 0 < value < math.inf",
            "is_number and value < math.inf",
        ),
    ),
    *faults_of(
        "sim/models/checkpoint.py",
        ("tests/models/test_broken_folders.py",),
        ("layers_are_built_that_no_file_holds", "0 < held < stated - _MAX_MISSING_LAYERS", "0 < held < stated - 10**6"),
        ("whole_numbers_are_weights", "(dtype in _NO_WEIGHTS and", "(False and"),
        ("links_to_nothing_are_passed_over", "if path.is_symlink() and not path.exists():", "if False:"),
    ),
    *faults_of(
        "sim/models/hub.py",
        ("tests/models/test_pickled.py",),
        ("pickles_of_the_hub_are_left_there", 'if weights and not any(folder.glob("*.safetensors")):', "if False:"),
    ),
    *faults_of(
        "sim/models/safetensors_head.py",
        ("tests/models/test_broken_folders.py",),
        ("tensors_may_end_beyond_the_file", "    if stop != num_bytes:", "    if False:"),
        ("values_are_finite_unseen", "if len(values) == 0 or not is_finite.all():", "if len(values) == 0:"),
    ),
    *faults_of(
        "sim/models/gguf_header.py",
        ("tests/models/test_broken_folders.py",),
        ("gguf_tensors_may_end_beyond_the_file", "        if stop > num_bytes:", "        if False:"),
        ("gguf_ids_may_lie_beyond_the_vocabulary", "0 <= token < len(tokens)", "0 <= token"),
    ),
    *faults_of(
        "sim/models/pairing.py",
        ("tests/models/test_special_ids.py",),
        (
            "further_ends_are_not_told",
            "if set(draft_ends) == set(target_ends):",
            "if set(draft_ends) & set(target_ends):",
        ),
    ),
    *faults_of(
        "sim/models/alibi.py",
        ("tests/models/test_huggingface.py",),
        ("places_of_keys_are_columns", "(attention_mask >= 0).cumsum", "(attention_mask > -9e999).cumsum"),
    ),
    *faults_of(
        "sim/models/special_ids.py",
        ("tests/models/test_special_ids.py",),
        ("ends_of_the_configuration_are_passed_over", 'config.get("eos_token_id"), own_end', "own_end"),
    ),
    *faults_of(
        "sim/models/describe.py",
        ("tests/models/test_broken_folders.py",),
        (
            "check_passes_what_transformers_refuses",
            "        checked = check_network(source, remote_code_is_trusted())\n",
            "",
        ),
    ),
    *faults_of(
        "sim/models/tied.py",
        ("tests/models/test_pickled.py::test_a_head_beside_its_embedding_counts_as_in_a_run",),
        ("all_heads_are_tied", "return head if is_large or _are_equal(ends[0], ends[1]) else None", "return head"),
        ("no_head_is_tied", "return head if is_large or", "return None if is_large or"),
    ),
    *faults_of(
        "sim/models/loading.py",
        ("tests/models/test_loading.py::test_notes_of_a_pair_are_not_told_of_the_next_one",),
        (
            "notes_of_a_pair_stay_with_the_model",
            "paired = PairedModel(draft) if same else",
            "paired = draft if same else",
        ),
    ),
    *faults_of(
        "sim/models/interface.py",
        ("tests/models/test_broken_checkpoints.py::test_logits_that_are_not_finite_name_the_place_in_the_text",),
        ("drafted_tokens_are_counted_by_index", "forward.depths[node] if node >= 0", "node + 1 if node >= 0"),
    ),
    *faults_of(
        "sim/models/direct_tokenizer.py",
        ("tests/models/test_direct_tokenizer.py",),
        ("any_configuration_is_taken", "or not _is_taken(config):", "or False:"),
        ("byte_level_texts_are_read_as_metaspace", "if class_name == _LLAMA and whole.", "if False and whole."),
        ("code_of_a_tokenizer_is_passed_over", ' and "auto_map" not in settings', ""),
        ("paths_have_no_say", "or str(folder).lower().startswith(OWNERS) or", "or"),
    ),
    *faults_of(
        "sim/models/cross_vocabulary.py",
        ("tests/models/test_cross_vocabulary.py",),
        (
            "shared_rows_by_id",
            "wide[:, self._targets] = rows[:, self._shared]",
            "wide[:, self._shared] = rows[:, self._shared]",
        ),
        (
            "rows_of_the_first_piece",
            "            ends.append(at)",
            "            ends.append(len(block) - len(self._map.read(token)))",
        ),
    ),
    # What is charged as of another vocabulary.
    *faults_of(
        "sim/decoding/core/messages.py",
        ("tests/protocols/test_wire_vocabulary.py",),
        ("charged_ids_as_real", "return len(body) * (bits_for(wire_vocab_size) - self.id_bits)", "return 0"),
        (
            "charged_places_forgotten",
            "total += self.codec.extra_bits(k, wire_vocab_size) + places",
            "total += self.codec.extra_bits(k, wire_vocab_size)",
        ),
    ),
    # Acceptance and correction.
    *faults_of(
        "sim/decoding/verification/single.py",
        _RULES,
        (
            "single_inverted_ratio",
            "p.prob(token) / proposal_of(q, token)",
            "proposal_of(q, token) / p.prob(token)",
        ),
        ("single_corrects_from_p", "rng.categorical(residual(p, q))", "rng.categorical(p)"),
    ),
    *faults_of(
        "sim/decoding/verification/recursive.py",
        _RULES,
        ("recursive_keeps_target", "            target = residual(target, q)", "            target = residual(p, q)"),
    ),
    *faults_of(
        "sim/decoding/verification/recursive_without_replacement.py",
        _RULES,
        ("distinct_proposal_not_renormalised", "            proposal = rest", "            proposal = proposal"),
    ),
    *faults_of(
        "sim/decoding/verification/k_seq.py",
        _RULES,
        ("k_seq_no_inflation", "ratio = inflation(inside, q.probs, len(candidates))", "ratio = 1.0"),
        ("k_seq_residual_once", "(1 - (1 - beta) ** len(candidates)) / beta", "1.0"),
    ),
    *faults_of(
        "sim/decoding/verification/greedy_multi.py",
        _RULES,
        ("greedy_multi_whole_row", "proposal = q.without(best)", "proposal = q.without([])"),
    ),
    *faults_of(
        "sim/decoding/verification/round.py",
        _PROTOCOLS,
        ("verify_other_position", "position + draft.depth_of(node))", "position)"),
        ("bonus_from_draft_position", "drafted=len(draft.tokens),", "drafted=len(tested),"),
    ),
    *faults_of(
        "sim/decoding/core/rows.py",
        _ROWS,
        (
            "residual_absolute",
            "    np.maximum(rest, 0.0, out=rest)\n    total = rest.sum()\n    return Row(p.vocab_size",
            "    np.abs(rest, out=rest)\n    total = rest.sum()\n    return Row(p.vocab_size",
        ),
        ("temperature_multiplies", "powers /= self.temperature", "powers *= self.temperature"),
        ("nucleus_one_short", "mass * (1 - 1e-12))) + 1, len(probs))", "mass * (1 - 1e-12))), len(probs))"),
        ("largest_keeps_last_ties", "[: count - len(above)]", "[-(count - len(above)) :]"),
        ("entropy_in_nats", " / math.log(2))", ")"),
    ),
    *faults_of(
        "sim/decoding/core/random_source.py",
        _ROWS,
        (
            "uniforms_not_mixed",
            "_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))",
            "_SHIFTS = (np.uint64(63), np.uint64(63), np.uint64(63))",
        ),
    ),
    # The wire.
    *faults_of(
        "sim/decoding/core/wire/row_codec.py",
        (*_WIRE, "tests/decoding/test_protocol_laws.py"),
        ("codec_unnormalised", "codes = self._quantise(kept / mass)", "codes = self._quantise(kept)"),
        ("codec_tail_mass", "max(0.0, 1.0 - mass))", "max(0.0, mass))"),
        (
            "codec_length_off_by_one",
            "reader.read(bits_for(self.vocab_size)) + 1",
            "reader.read(bits_for(self.vocab_size))",
        ),
        (
            "codec_worst_index_code",
            "return min(sizes, key=lambda code: sizes[code])",
            "return max(sizes, key=lambda code: sizes[code])",
        ),
        (
            "codec_bits_without_values",
            "self._index_bits(self.index_code(k), k) + value_bits",
            "self._index_bits(self.index_code(k), k)",
        ),
        ("codec_log8_scale", "np.exp2(-codes / 8.0)", "np.exp2(-codes / 4.0)"),
    ),
    *faults_of(
        "sim/decoding/core/wire/subsets.py",
        _WIRE,
        (
            "subset_bits_short",
            "def subset_bits(n: int, k: int) -> int:",
            "def subset_bits(n: int, k: int, n_less: int = 1) -> int:\n    n = n - n_less",
        ),
    ),
    # Protocols.
    *faults_of(
        "sim/decoding/protocols/dssd.py",
        ("tests/protocols/test_dssd.py", "tests/protocols/test_every_protocol.py"),
        (
            "dssd_correction_address",
            'return rng.at("verify", position).categorical(residual(received_verdict.correction_info, q))',
            'return rng.at("verify", position).categorical(received_verdict.correction_info)',
        ),
        (
            "dssd_forgets_correction",
            "token = pending_correction = yield from resample(",
            "token = yield from resample(",
        ),
    ),
    *faults_of(
        "sim/decoding/protocols/specedge.py",
        ("tests/protocols/test_specedge.py",),
        ("specedge_reuses_wrong_guess", "ahead is not None and ahead.tokens == emitted", "ahead is not None"),
    ),
    *faults_of(
        "sim/decoding/protocols/residual.py",
        ("tests/protocols/test_residual.py",),
        ("residual_accepts_wrong_share", "1 - q.prob(token) / p_token", "q.prob(token) / p_token"),
    ),
    *faults_of(
        "sim/decoding/protocols/hsd.py",
        ("tests/protocols/test_hsd.py",),
        (
            "hsd_gathers_too_many",
            "given = min(block, count - len(gathered.tokens) - 1)",
            "given = min(block, count - len(gathered.tokens))",
        ),
    ),
    *faults_of(
        "sim/decoding/protocols/u_hlm.py",
        ("tests/protocols/test_u_hlm.py",),
        ("u_hlm_asks_when_sure", "asked = doubt > settings.threshold", "asked = doubt < settings.threshold"),
        ("u_hlm_row_of_a_rejected_token", "ahead = ahead if received_verdict == token else None", "pass"),
        ("u_hlm_reads_for_nothing", "ahead, importance = yield", "_, importance = yield"),
    ),
    *faults_of(
        "sim/models/llama_weights.py",
        ("tests/models/test_llama_fast.py",),
        ("halves_scaled", "self._packed).float()", "self._packed).float() * 1.02"),
        ("packed_weight_unchecked", "return self._packed.to_dense()", "return torch.zeros(1)"),
        (
            "large_weight_twice_normed",
            "packed = pack(weight.bfloat16() if halves else weight)",
            "packed = pack(weight * 2)",
        ),
    ),
    *faults_of(
        "sim/models/llama_compiled.py",
        ("tests/models/test_llama_compiled.py",),
        ("compiled_product_of_whole_fours", "in range(whole, width):", "in range(width, width):"),
        ("compiled_norm_without_epsilon", "dot(own, own) / width + epsilon", "dot(own, own) / width"),
        ("compiled_turn_backwards", "real * cosine - imaginary * sine", "real * cosine + imaginary * sine"),
        ("compiled_groups_take_turns", "head * num_kv_heads // num_heads", "head % num_kv_heads"),
        ("compiled_tokens_see_all", "own[column] += bias[row, column - free]", "own[column] += 0"),
        ("compiled_nodes_in_a_row", "if chunk.ancestors is None else self._turns[chunk.positions]", ""),
        ("compiled_gate_open", "value / (1 + math.exp(-value))", "value"),
        ("compiled_softmax_unshifted", "math.exp(scores[column] - highest)", "math.exp(scores[column])"),
    ),
    *faults_of(
        "sim/models/llama_single.py",
        ("tests/models/test_llama_compiled.py",),
        ("compiled_whatever_the_layers", "sizes.layer_numbers > COMPILED_NUMBERS", "sizes.layer_numbers > 1e99"),
        ("compiled_whatever_the_tokens", "len(chunk.tokens) <= FEW_ROWS", "chunk.tokens"),
        ("compiled_never", "self.compiled is not None and watched", "False and watched"),
    ),
    *faults_of(
        "sim/models/loading.py",
        ("tests/models/test_llama_fast.py",),
        ("halves_by_transformers", "halves = dtype == HALF_DTYPE and has_half_products()", "halves = False"),
    ),
    *faults_of(
        "sim/models/importance.py",
        ("tests/protocols/test_u_hlm.py",),
        ("importance_with_the_first_token", "others = weights[1:]", "others = weights"),
    ),
    *faults_of(
        "sim/decoding/protocols/tk_slt.py",
        ("tests/protocols/test_tk_slt.py",),
        ("tk_slt_published_bits", "* PROBABILITY_BITS", "* 2 * PROBABILITY_BITS"),
    ),
    # Closed forms.
    *faults_of(
        "sim/decoding/theory.py",
        ("tests/decoding/test_theory.py",),
        (
            "theory_expected_tokens",
            "return sum(alpha**accepted for accepted in range(draft_length + 1))",
            "return sum(alpha**accepted for accepted in range(draft_length))",
        ),
    ),
)
