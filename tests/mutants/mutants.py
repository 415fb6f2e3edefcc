"""The faults: one line of code each, with the tests that must notice it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A one-line fault.

    Attributes:
        name: Unique.
        path: File, from the repository's root.
        old: Text that occurs once in the file.
        new: What takes its place.
        tests: Test files or folders of which one must fail.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, original: str) -> str:
        """The file's text with the fault.

        Raises:
            ValueError: The text to replace is not there exactly once.
        """
        count = original.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: {self.path} holds {self.old!r} {count} times")
        return original.replace(self.old, self.new)


def _of(path: str, tests: tuple[str, ...], *faults: tuple[str, str, str]) -> Iterator[Mutant]:
    for name, old, new in faults:
        yield Mutant(name, path, old, new, tests)


_RULES = ("tests/decoding/test_rules.py",)
_ROWS = ("tests/decoding/test_rows_and_random_sources.py",)
_WIRE = ("tests/decoding/test_wire.py",)
_PROTOCOLS = ("tests/protocols/test_every_protocol.py", "tests/decoding/test_protocol_laws.py")
_WORLD = ("tests/world", "tests/invariants/test_invariants.py")
_BOOKINGS = ("tests/nodes/test_model_server.py", "tests/invariants/test_bookings.py")

MUTANTS: tuple[Mutant, ...] = (
    # Figures of the target's rows, and the standard error of the acceptance rate.
    *_of(
        "sim/decoding/verification/round.py",
        ("tests/protocols/test_target_figures.py",),
        (
            "surprise_at_the_text_so_far",
            "target.append(target_figures(p, draft.tokens[node]))",
            "target.append(target_figures(p, draft.tokens[0]))",
        ),
    ),
    *_of(
        "sim/results/ratio.py",
        ("tests/world/test_model_figures.py",),
        ("replays_count_as_texts", "if recording is None:", "if recording is not None or recording is None:"),
    ),
    # N-grams as a draft.
    *_of(
        "sim/decoding/protocols/prompt_lookup.py",
        ("tests/protocols/test_prompt_lookup.py",),
        ("shortest_ngram_first", "range(longest, shortest - 1, -1)", "range(shortest, longest + 1)"),
        (
            "ngram_of_the_very_end",
            "for end in range(self._known + 1, len(text)):",
            "for end in range(1, len(text) + 1):",
        ),
    ),
    # What is charged as of another vocabulary.
    *_of(
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
    *_of(
        "sim/decoding/verification/single.py",
        _RULES,
        ("single_inverted_ratio", "p.prob(token) / proposal_of(q, token)", "proposal_of(q, token) / p.prob(token)"),
        ("single_corrects_from_p", "rng.categorical(residual(p, q))", "rng.categorical(p)"),
    ),
    *_of(
        "sim/decoding/verification/recursive.py",
        _RULES,
        ("recursive_keeps_target", "            target = residual(target, q)", "            target = residual(p, q)"),
    ),
    *_of(
        "sim/decoding/verification/recursive_without_replacement.py",
        _RULES,
        ("distinct_proposal_not_renormalised", "            proposal = rest", "            proposal = proposal"),
    ),
    *_of(
        "sim/decoding/verification/k_seq.py",
        _RULES,
        ("k_seq_no_inflation", "ratio = inflation(inside, q.probs, len(candidates))", "ratio = 1.0"),
        ("k_seq_residual_once", "(1 - (1 - beta) ** len(candidates)) / beta", "1.0"),
    ),
    *_of(
        "sim/decoding/verification/greedy_multi.py",
        _RULES,
        ("greedy_multi_whole_row", "proposal = q.without(best)", "proposal = q.without([])"),
    ),
    *_of(
        "sim/decoding/verification/round.py",
        _PROTOCOLS,
        ("verify_other_position", "position + draft.depth_of(node))", "position)"),
        ("bonus_from_draft_position", "drafted=len(draft.tokens),", "drafted=len(tested),"),
    ),
    *_of(
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
    *_of(
        "sim/decoding/core/random_source.py",
        _ROWS,
        (
            "uniforms_not_mixed",
            "_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))",
            "_SHIFTS = (np.uint64(63), np.uint64(63), np.uint64(63))",
        ),
    ),
    # The wire.
    *_of(
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
    *_of(
        "sim/decoding/core/wire/subsets.py",
        _WIRE,
        (
            "subset_bits_short",
            "def subset_bits(n: int, k: int) -> int:",
            "def subset_bits(n: int, k: int, n_less: int = 1) -> int:\n    n = n - n_less",
        ),
    ),
    # Protocols.
    *_of(
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
    *_of(
        "sim/decoding/protocols/specedge.py",
        ("tests/protocols/test_specedge.py",),
        ("specedge_reuses_wrong_guess", "ahead is not None and ahead.tokens == emitted", "ahead is not None"),
    ),
    *_of(
        "sim/decoding/protocols/residual.py",
        ("tests/protocols/test_residual.py",),
        ("residual_accepts_wrong_share", "1 - q.prob(token) / p_token", "q.prob(token) / p_token"),
    ),
    *_of(
        "sim/decoding/protocols/hsd.py",
        ("tests/protocols/test_hsd.py",),
        (
            "hsd_gathers_too_many",
            "given = min(block, count - len(gathered.tokens) - 1)",
            "given = min(block, count - len(gathered.tokens))",
        ),
    ),
    *_of(
        "sim/decoding/protocols/u_hlm.py",
        ("tests/protocols/test_u_hlm.py",),
        ("u_hlm_asks_when_sure", "        if doubt <= settings.threshold:", "        if doubt >= settings.threshold:"),
    ),
    *_of(
        "sim/decoding/protocols/tk_slt.py",
        ("tests/protocols/test_tk_slt.py",),
        ("tk_slt_published_bits", "* PROBABILITY_BITS", "* 2 * PROBABILITY_BITS"),
    ),
    # Closed forms.
    *_of(
        "sim/decoding/theory.py",
        ("tests/decoding/test_theory.py",),
        (
            "theory_expected_tokens",
            "return sum(alpha**accepted for accepted in range(draft_length + 1))",
            "return sum(alpha**accepted for accepted in range(draft_length))",
        ),
    ),
    # Propagation, fading, HARQ, numerology.
    *_of(
        "channels/fading.py",
        ("tests/channels/test_fading.py",),
        ("doppler_in_km_h", "* 1e9 / 299_792_458.0)", "* 1e9 / 3.6 / 299_792_458.0)"),
        (
            "fading_power",
            "amplitudes = np.sqrt(profile.powers / profile.powers.sum())",
            "amplitudes = np.sqrt(profile.powers / 2 / profile.powers.sum())",
        ),
        ("fading_conjugate_delay", "np.exp(-2j * np.pi * turns)", "np.exp(-1j * np.pi * turns)"),
    ),
    *_of(
        "channels/harq.py",
        ("tests/channels", "tests/links/nr/test_harq_closed_form.py"),
        (
            "chase_forgets",
            "np.asarray(accumulated_sinr, dtype=np.float64) + np.asarray(new_sinr, dtype=np.float64)",
            "np.maximum(accumulated_sinr, new_sinr)",
        ),
        ("incremental_rate", "np.maximum(rate / np.asarray(num_transmissions), floor)", "np.maximum(rate / 2, floor)"),
        ("incremental_no_repetition", "repetition = count * lower / rate", "repetition = np.ones_like(count)"),
    ),
    *_of(
        "channels/power.py",
        ("tests/channels/test_power.py",),
        ("power_control_full_compensation", "alpha *", "1.0 *"),
    ),
    *_of(
        "channels/noise.py",
        ("tests/channels",),
        ("noise_floor", "THERMAL_NOISE_DBM_HZ = -174.0", "THERMAL_NOISE_DBM_HZ = -164.0"),
    ),
    # Links.
    *_of(
        "sim/links/processor_sharing.py",
        ("tests/links/test_shannon.py",),
        ("sharing_ignores_others", "(now_ns - self._now_ns) / len(self._active)", "(now_ns - self._now_ns) / 1"),
        ("sharing_access_as_air", "access_ns = message.started_ns - message.sent_ns", "access_ns = 0"),
    ),
    *_of(
        "sim/links/fifo.py",
        ("tests/links", "tests/invariants/test_bookings.py"),
        (
            "fifo_no_header",
            "        bits = packet.payload_bits + self.header_bits",
            "        bits = packet.payload_bits",
        ),
    ),
    *_of(
        "sim/links/nr/mac/uplink.py",
        ("tests/links/nr/test_control.py", "tests/links/nr/test_timing.py", "tests/links/nr/test_conservation.py"),
        ("bsr_forgets_grants_in_flight", "block.reported_bytes - since)", "block.reported_bytes)"),
        (
            "bsr_takes_older_report",
            "if block.granted_bytes < self._reported_at[device]:",
            "if block.granted_bytes < 0:",
        ),
        (
            "sr_decision_time",
            "heard = np.flatnonzero(self._request_slot <= slot - 1 - self.carrier.decision_slots)",
            "heard = np.flatnonzero(self._request_slot <= slot - 1)",
        ),
        (
            "sr_wait_as_grant",
            'return {"sr_wait": waited_ns, "grant": message.grant_ns - message.request_end_ns, "k2": k2_ns}',
            'return {"grant": waited_ns, "sr_wait": message.grant_ns - message.request_end_ns, "k2": k2_ns}',
        ),
        (
            "no_new_request_after_loss",
            "            self._request(device, slot * self.carrier.slot_ns)\n\n    def _access_notes",
            "            pass\n\n    def _access_notes",
        ),
    ),
    *_of(
        "sim/links/nr/rrc/handover.py",
        ("tests/links/nr/test_mobility.py",),
        ("a3_without_hysteresis", "above_db > self._hysteresis_db, ", "above_db > 0, "),
    ),
    *_of(
        "sim/links/nr/rrc/radio_links.py",
        ("tests/links/nr/test_mobility.py",),
        (
            "handover_without_interruption",
            "delay_s: float) -> None:\n        if delay_s:",
            "delay_s: float) -> None:\n        if not delay_s:",
        ),
    ),
    *_of(
        "sim/links/nr/mac/schedulers/proportional_fair.py",
        ("tests/links/nr/test_schedulers.py",),
        ("pf_is_max_ci", "np.maximum(queues.average_rate_bps, 1e-3)[:, None]", "1.0"),
    ),
    *_of(
        "sim/links/nr/phy/radio_receiver.py",
        ("tests/links/nr/test_harq_closed_form.py", "tests/links/nr/test_harq.py"),
        (
            "receiver_forgets_third_round",
            "                block.effective, block.combined_re = kept, elements",
            "                block.effective, block.combined_re = (kept, block.effective)[block.attempt > 0], elements",
        ),
        (
            "receiver_more_errors",
            "block.received = block.uniform >= block.error_rate",
            "block.received = block.uniform >= block.error_rate / 2",
        ),
    ),
    *_of(
        "sim/links/nr/rlc/message.py",
        ("tests/links/nr/test_message.py", "tests/links/nr/test_control.py"),
        ("segment_header_free", "cost += 2 if cost < 256 else 3", "cost += 2"),
    ),
    # Engines, key-value memory, routing.
    *_of(
        "sim/nodes/engine/blocks.py",
        ("tests/nodes/engine/test_blocks.py",),
        ("blocks_evicted_newest_first", "self._cached.popitem(last=False)", "self._cached.popitem()"),
        ("blocks_hashed_without_parent", "parent = hash((parent, content) if", "parent = hash((0, content) if"),
        ("blocks_shared_with_everybody", "else (parent, content, salt))", "else (parent, content))"),
    ),
    *_of(
        "sim/nodes/engine/step_scheduler.py",
        ("tests/nodes/engine/test_step_scheduler.py", "tests/nodes/test_model_server.py"),
        ("prefix_reused_to_the_last_row", "pending.extent - pending.job.size.num_rows)", "pending.extent)"),
        ("preempted_keep_progress", "            pending.progress = None", "            pass"),
        (
            "preempts_the_first",
            "last = max(others, key=lambda other: other.rank)",
            "last = min(others, key=lambda other: other.rank)",
        ),
        (
            "block_count_rounded_down",
            "return -(-tokens // self.limits.block_tokens)",
            "return tokens // self.limits.block_tokens",
        ),
        (
            "decodes_outside_the_budget",
            "budget -= self._add_whole(sequence, budget, items)",
            "self._add_whole(sequence, budget, items)",
        ),
    ),
    *_of(
        "sim/nodes/routing/session_affinity.py",
        ("tests/nodes/test_routing.py",),
        ("affinity_forgotten", "            self._replica_of[request.salt] = chosen", "            pass"),
    ),
    # Placement of PRBs, power headroom, control channel.
    *_of(
        "sim/links/nr/mac/grant_width.py",
        ("tests/links/nr/test_allocation.py", "tests/links/nr/test_schedulers.py"),
        (
            "leftover_to_the_last",
            "raised = np.minimum(needed[start], np.maximum(cut[start], levels[:, None]))",
            "raised = np.minimum(needed[start], cut[start] + levels[:, None])",
        ),
        ("headroom_not_shared", "cut = np.minimum(needed, limit)", "cut = needed"),
    ),
    *_of(
        "sim/links/nr/phy/power_reduction.py",
        ("tests/links/nr/test_radio.py",),
        (
            "reduction_of_inner_blocks",
            "return 0 if is_inner_allocation(first, width, self._num_prb) else 1",
            "return 0",
        ),
    ),
    *_of(
        "sim/links/nr/mac/pdcch.py",
        ("tests/links/nr/test_control.py",),
        ("cce_for_all", "return self.grants_left > 0 and cost <= self.cce_left", "return self.grants_left > 0"),
    ),
    # Objectives and prices.
    *_of(
        "sim/scenario/slo.py",
        ("tests/world/test_slo.py",),
        ("slo_always_met", "not latencies[name] > limit for name", "True for name"),
    ),
    # Addresses of results.
    *_of(
        "sim/core/addresses.py",
        ("tests/tape/test_identity.py",),
        ("address_of_written_order", "sort_keys=True, separators", "sort_keys=False, separators"),
    ),
    # Nodes: queue, batches, breakdown, energy.
    *_of(
        "sim/nodes/engine/fcfs.py",
        ("tests/nodes", *_WORLD),
        ("batch_over_limit", "fits = len(taken) < self._max_batch and", "fits = len(taken) <= self._max_batch and"),
    ),
    *_of(
        "sim/nodes/model_server.py",
        _BOOKINGS,
        ("queue_as_compute", "queue_ns = spent_ns - job.compute_ns", "queue_ns = 0"),
        (
            "batch_energy_not_shared",
            "self.cost_models[step.model].split(step.sizes, price.joules))",
            "[price.joules] * len(step.sizes))",
        ),
    ),
    *_of(
        "sim/nodes/executor.py",
        _BOOKINGS,
        (
            "access_booked_as_air",
            "        parts[access] += delivery.access_ns\n        parts[air] += delivery.air_ns",
            "        parts[air] += delivery.access_ns\n        parts[access] += delivery.air_ns",
        ),
        (
            "retransmission_booked_as_air",
            "        parts[retransmission] += delivery.retransmission_ns",
            "        parts[air] += delivery.retransmission_ns",
        ),
        (
            "queue_booked_as_verify",
            '        parts["edge_queue"] += served.queue_ns',
            '        parts["verify_compute"] += served.queue_ns',
        ),
        (
            "transport_booked_as_air",
            '        parts["transport"] += delivery.transport_ns',
            "        parts[air] += delivery.transport_ns",
        ),
        (
            "receive_energy_as_send",
            "metrics.device_joules += self.context.rx_power_w * airtime_ns / NS_PER_S",
            "metrics.device_joules += self.context.tx_power_w * airtime_ns / NS_PER_S",
        ),
        (
            "payload_counts_charged",
            "            metrics.uplink_bits += record.payload_bits",
            "            metrics.uplink_bits += record.charged_bits + 8",
        ),
        ("branches_first_is_critical", "breakdown.include(ends[-1][1])", "breakdown.include(ends[0][1])"),
    ),
    # Identity.
    *_of(
        "sim/inputs/identity.py",
        ("tests/tape/test_identity.py",),
        (
            "key_without_sampling",
            '        "sampling": [workload.temperature, workload.top_k, workload.top_p],',
            '        "sampling": [],',
        ),
        ("key_without_controller", '        "controller": with_contents(controller),', '        "controller": {},'),
        ("key_without_code", '        "code": decoding_code(),', '        "code": "",'),
        ("key_without_numerics", '        "numerics": [scenario.models.dtype, *', '        "numerics": [*'),
        ("key_by_path", 'return {"sha256": file_digest(Path(plain))}', "return plain"),
    ),
    # Files that are kept.
    *_of(
        "sim/tape/store.py",
        ("tests/tape/test_tape.py",),
        ("entry_unsealed", "if hashlib.sha256(rest).hexdigest().encode() != stated:", "if not stated:"),
        (
            "entry_of_any_address",
            "if address_of(hashlib.sha256(shared).hexdigest(), own) != key:",
            "if not own:",
        ),
    ),
    *_of(
        "sim/results/point_log.py",
        ("tests/sweep/test_sweep.py",),
        ("point_unsealed", "if left or digest.hexdigest().encode() != header[1]:", "if left:"),
    ),
    *_of(
        "sim/core/files.py",
        ("tests/tape/test_files.py",),
        ("name_before_content", "            os.fsync(file.fileno())", "            pass"),
        ("update_without_lock", "    with locked(path):", "    with suppress(FileExistsError):"),
    ),
    # Inputs.
    *_of(
        "sim/inputs/workload.py",
        ("tests/world/test_workload.py",),
        ("prompts_keep_head", "*ids[len(ids) - (limit - kept) :]]", "*ids[kept:limit]]"),
    ),
    *_of(
        "sim/inputs/arrivals.py",
        ("tests/inputs/test_arrivals.py", "tests/world/test_steady_load.py"),
        ("think_time_rate", "_DRAWN_AT_ONCE) * devices.think_time_s", "_DRAWN_AT_ONCE) / devices.think_time_s"),
        ("gamma_of_inverse_variation", "shape = 1 / cv**2", "shape = cv**2"),
    ),
    # The measurement window.
    *_of(
        "sim/runs/window.py",
        ("tests/world/test_steady_load.py",),
        (
            "tokens_per_s_per_request",
            '"tokens_per_s": self.tokens / seconds if',
            '"tokens_per_s": self.tokens / max(1, issued) if',
        ),
        ("tokens_of_all_time", "if self.contains(emitted.time_ns):", "if True:"),
        ("warm_up_counts", "return self.contains(outcome.issued_ns)", "return True"),
        ("overload_not_told", "return issued - ended > max(", "return ended - issued > max("),
    ),
    *_of(
        "sim/nodes/monitor.py",
        ("tests/world/test_steady_load.py",),
        ("littles_law_unchecked", "if area_ns != spent_ns:", "if False:"),
        ("busy_all_the_time", "counts.busy_ns += passed * self.is_busy", "counts.busy_ns += passed"),
    ),
    # Compute.
    *_of(
        "sim/compute/step_cost.py",
        ("tests/compute",),
        ("roofline_no_weights", "(weights_s + kv_s) ** 2", "kv_s**2"),
        (
            "roofline_hard_knee",
            "(arithmetic_s**2 + (weights_s + kv_s) ** 2) ** 0.5",
            "max(arithmetic_s, weights_s + kv_s)",
        ),
        ("roofline_one_layer", "layer_s * shape.layers", "layer_s"),
        ("roofline_one_sequence", "reached.sequence_s * len(batch)", "reached.sequence_s"),
        ("roofline_one_exchange", "return 2.0 * self.shape.layers * each_s", "return self.shape.layers * each_s"),
        ("power_above_zero", "(hardware.peak_power_w - hardware.idle_power_w)", "hardware.peak_power_w"),
    ),
    *_of(
        "sim/compute/base.py",
        ("tests/compute",),
        (
            "energy_shared_equally",
            "joules * part / total if total > 0 else joules / len(batch)",
            "joules / len(batch)",
        ),
    ),
    # Results.
    *_of(
        "sim/results/summary.py",
        ("tests/world/test_slo.py", "tests/world/test_model_figures.py", "tests/invariants/test_invariants.py"),
        (
            "acceptance_over_drafted",
            '_ratio(sums["accepted_tokens"], sums["tested_positions"])',
            '_ratio(sums["accepted_tokens"], sums["drafted_tokens"])',
        ),
    ),
)
