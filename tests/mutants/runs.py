"""Faults of engines, prices, nodes, files, inputs and results."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

_WORLD = ("tests/world", "tests/invariants/test_invariants.py")
_BOOKINGS = ("tests/nodes/test_model_server.py", "tests/invariants/test_bookings.py")

RUNS: tuple[Mutant, ...] = (
    *faults_of(
        "sim/scenario/kinds.py",
        ("tests/sweep/test_advise.py", "tests/cli/test_wrong_input.py"),
        ("prices_of_a_kind_are_blamed_elsewhere", 'own = ("compute", *where[2:])', "own = where"),
    ),
    *faults_of(
        "channels/compiled.py",
        ("tests/channels/test_compiled_on_disk.py",),
        ("callees_do_not_count", 'callee = getattr(value, "py_func", None)', "callee = None"),
        ("code_for_other_types_runs", "tuple(found.signature.args) == tuple(wanted)", "wanted"),
    ),
    *faults_of(
        "sim/nodes/device.py",
        ("tests/world/test_background.py",),
        (
            "chats_end_with_the_run",
            "hooks.watched(self._next_turn(planned.index + 1, think_s))",
            "self._next_turn(planned.index + 1, think_s)",
        ),
    ),
    *faults_of(
        "sim/inputs/requests.py",
        ("tests/inputs/test_requests.py",),
        ("chats_of_a_device_are_one", "REQUESTS_PER_DEVICE + index // self.turns", "REQUESTS_PER_DEVICE"),
    ),
    *faults_of(
        "sim/inputs/arrivals.py",
        ("tests/inputs/test_requests.py",),
        ("turns_think_alike", "generator(seed, _TURN + request), 1)", "generator(seed, _TURN), 1)"),
    ),
    *faults_of(
        "sim/scenario/schema.py",
        ("tests/world/test_kinds.py",),
        ("speeds_of_all_kinds", "kind.link.get(key, None if isinstance(own, list) else own)", "own"),
    ),
    *faults_of(
        "sim/serving/ran_sharing/receiver.py",
        ("tests/serving/test_ran_sharing.py",),
        ("late_slots_lose_nothing", "                block.received = False", "                pass"),
        (
            "failed_blocks_decoded_at_once",
            "settings.ldpc_iterations if b.received else settings.max_ldpc_iterations",
            "settings.ldpc_iterations",
        ),
    ),
    *faults_of(
        "sim/serving/ran_sharing/gpu.py",
        ("tests/serving/test_ran_sharing.py", "tests/serving/test_orchestrators.py"),
        ("slots_of_others_delay_nothing", "(end - first - len(own)) *", "0 *"),
        (
            "shares_change_within_a_step",
            "if self._step_since_ns is None:\n            self._move",
            "if True:\n            self._move",
        ),
        ("changes_cost_nothing", "+ to_ns(self.settings.change_s)", ""),
    ),
    *faults_of(
        "sim/serving/ran_sharing/site_gpus.py",
        ("tests/nodes/test_sites_with_shared_gpus.py", "tests/serving/test_ran_sharing.py"),
        ("layer1_draws_nothing", "layer1_j = first.cost.busy_w * counts.layer1_s", "layer1_j = 0.0"),
        ("all_cells_at_the_first_site", "own.setdefault(self.site_of(block.cell), [])", "own.setdefault(0, [])"),
        ("every_site_does_it_all", "yield self.gpus[site], some", "yield self.gpus[site], blocks"),
    ),
    *faults_of(
        "sim/serving/ran_sharing/orchestrators/prb_load.py",
        ("tests/serving/test_orchestrators.py",),
        ("loads_have_no_trend", "self._trend += weight**2 * error", "self._trend += 0.0"),
    ),
    *faults_of(
        "sim/runs/shared_gpu_env.py",
        ("tests/serving/test_orchestrators.py",),
        ("agents_are_not_heard", "orchestration.move(self.shares[int(action)])", "orchestration.move(self.shares[0])"),
    ),
    *faults_of(
        "sim/serving/ran_sharing/other_cells.py",
        ("tests/serving/test_ran_sharing.py",),
        ("cells_all_have_data_at_once", "rng.binomial(self.count, ", "self.count * rng.binomial(1, "),
    ),
    *faults_of(
        "sim/serving/policies/wisp.py",
        ("tests/serving/test_verify_batching.py",),
        ("deadlines_of_others_ignored", "if step_s + draft.own_s <= limit_s and", "if"),
        ("any_draft_helps", "draft.tokens * step_s >= tokens * draft.own_s", "True"),
    ),
    *faults_of(
        "sim/serving/policies/cohort.py",
        ("tests/serving/test_verify_batching.py",),
        ("batches_wait_for_nobody", "if batch not in awaited:", "if True:"),
    ),
    *faults_of(
        "sim/scenario/shared_parts.py",
        ("tests/scenario/test_shared_parts.py",),
        ("parts_known_by_their_keys_alone", "repr(sorted(own.items()))", "repr(sorted(own))"),
        ("parts_are_never_shared", "if place not in self._known:", "if True:"),
    ),
    *faults_of(
        "sim/scenario/schema.py",
        ("tests/scenario/test_shared_parts.py",),
        ("parts_of_a_point_need_not_fit", "        changed._refuse_misfits()\n", ""),
    ),
    *faults_of(
        "sim/links/processor_sharing.py",
        ("tests/links/test_shares.py",),
        ("weights_count_from_the_next_message", "message.weight = weight", "pass"),
    ),
    *faults_of(
        "sim/nodes/sites/edge_sites.py",
        ("tests/nodes/test_sites.py",),
        ("moves_forget_who_waits", "for call in waiting:", "for call in waiting[1:]:"),
        ("lost_forwards_uncounted", "self.site_counts.lost_forwards += 1", "self.site_counts.lost_forwards += 0"),
        ("moved_without_a_release", "self._group(session).release(session.request, None)", "pass"),
        ("carried_without_going", "self._leave(session, to)\n            refused", "refused"),
    ),
    *faults_of(
        "sim/runs/city/layout.py",
        ("tests/sweep/test_city.py",),
        ("a_city_of_one_row", "(number + i + b * j) % num_cells", "(number + i + j) % num_cells"),
    ),
    *faults_of(
        "sim/links/nr/phy/interference.py",
        ("tests/sweep/test_city.py",),
        ("neighbours_not_heard", "total += self._from_outside(self.outside, slot, blocks)", "pass"),
        ("neighbours_do_not_fade", "outside.faded_at(slot) if is_uplink else outside.at(slot)", "outside.at(slot)"),
        ("neighbours_not_reported", "self._mean += sent / _WINDOW_SLOTS", "pass"),
    ),
    *faults_of(
        "sim/nodes/sites/paths.py",
        ("tests/nodes/test_sites.py",),
        ("transfers_beside_each_other", "waits_ns = max(0, self._free_ns[source] - now_ns)", "waits_ns = 0"),
        ("bytes_as_bits_on_xn", "waits_ns + to_ns(8 * num_bytes / bps)", "waits_ns + to_ns(num_bytes / bps)"),
    ),
    *faults_of(
        "sim/nodes/model_server.py",
        ("tests/nodes/test_sites.py",),
        ("steps_survive_a_failure", "if num_crashes == self._num_crashes:", "if True:"),
    ),
    *faults_of(
        "sim/nodes/model_server.py",
        ("tests/nodes/test_sites_with_shared_gpus.py",),
        (
            "failed_steps_keep_the_gpu",
            "                self.gpu.end_step()\n        self.engine",
            "                pass\n        self.engine",
        ),
    ),
    *faults_of(
        "sim/compute/shares.py",
        ("tests/serving/test_ran_sharing.py",),
        (
            "bandwidth_not_sliced",
            "whole.memory_bandwidth_bytes_per_s * memory_share",
            "whole.memory_bandwidth_bytes_per_s",
        ),
    ),
    *faults_of(
        "sim/sweep/processes.py",
        ("tests/sweep/test_executors.py",),
        ("workers_end_when_they_like", "wait=self._last is None or self._last.done()", "wait=False"),
    ),
    *faults_of(
        "sim/sweep/advice/search.py",
        ("tests/sweep/test_advise.py",),
        ("advice_ignores_constraints", "if violation > 0 or math.isnan(loss):", "if math.isnan(loss):"),
        ("advice_keeps_the_worst", "return False, loss", "return False, -loss"),
        (
            "advice_runs_everything_to_the_end",
            "kept = list(ordered[: max(2, -(-len(ordered) // _KEEP_ONE_IN))])",
            "kept = list(ordered)",
        ),
    ),
    *faults_of(
        "sim/sweep/advice/sensitivity.py",
        ("tests/sweep/test_advise.py",),
        ("advice_never_changes", "return mean > (half if math.isfinite(half) else 0.0)", "return False"),
    ),
    *faults_of(
        "sim/runs/counterfactual.py",
        ("tests/world/test_explain.py",),
        (
            "the_other_direction_free",
            "if packet.direction is not self.direction:",
            "if packet.direction is self.direction:",
        ),
        ("draft_as_bad_as_before", '"draft": target, "middle": target}}', '"middle": target}}'),
        ("all_roles_free", "if site in (None, place) and roles(role) else", "if site in (None, place) else"),
    ),
    # Engines, key-value memory, routing.
    *faults_of(
        "sim/serving/blocks.py",
        ("tests/serving/test_blocks.py",),
        ("blocks_evicted_newest_first", "self._cached.popitem(last=False)", "self._cached.popitem()"),
        ("blocks_hashed_without_parent", "parent = hash((parent, content) if", "parent = hash((0, content) if"),
        ("blocks_shared_with_everybody", "else (parent, content, salt))", "else (parent, content))"),
    ),
    *faults_of(
        "sim/serving/step_scheduler.py",
        ("tests/serving/test_step_scheduler.py", "tests/nodes/test_model_server.py"),
        ("preempted_keep_progress", "            pending.progress = None", "            pass"),
        (
            "preempts_the_first",
            "last = max(others, key=lambda other: other.rank)",
            "last = min(others, key=lambda other: other.rank)",
        ),
        (
            "decodes_outside_the_budget",
            "budget -= self._add_whole(sequence, budget, items)",
            "self._add_whole(sequence, budget, items)",
        ),
    ),
    *faults_of(
        "sim/serving/sequence_memory.py",
        ("tests/serving/test_step_scheduler.py", "tests/nodes/test_model_server.py"),
        ("prefix_reused_to_the_last_row", "pending.extent - pending.job.size.num_rows)", "pending.extent)"),
        ("block_count_rounded_down", "return -(-tokens // self._block_tokens)", "return tokens // self._block_tokens"),
    ),
    *faults_of(
        "sim/serving/routing/session_affinity.py",
        ("tests/nodes/test_routing.py",),
        ("affinity_forgotten", "            self._replica_of[request.salt] = chosen", "            pass"),
    ),
    # Objectives and prices.
    *faults_of(
        "sim/scenario/slo.py",
        ("tests/world/test_slo.py",),
        ("slo_always_met", "not latencies[name] > limit for name", "True for name"),
    ),
    # Nodes: queue, batches, breakdown, energy.
    *faults_of(
        "sim/serving/fcfs.py",
        ("tests/nodes", *_WORLD),
        ("batch_over_limit", "fits = len(taken) < self._max_batch and", "fits = len(taken) <= self._max_batch and"),
    ),
    *faults_of(
        "sim/nodes/model_server.py",
        _BOOKINGS,
        ("queue_as_compute", "queue_ns = spent_ns - job.compute_ns", "queue_ns = 0"),
        (
            "batch_energy_not_shared",
            "self.cost_models[step.model].split(step.sizes, price.joules))",
            "[price.joules] * len(step.sizes))",
        ),
    ),
    *faults_of(
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
    # Files that are kept.
    *faults_of(
        "sim/tape/store.py",
        ("tests/tape/test_tape.py",),
        ("entry_unsealed", "if hashlib.sha256(rest).hexdigest().encode() != stated:", "if not stated:"),
        (
            "entry_of_any_address",
            "if address_of(hashlib.sha256(shared).hexdigest(), own) != key:",
            "if not own:",
        ),
    ),
    *faults_of(
        "sim/tape/store.py",
        ("tests/tape/test_shipped.py",),
        ("what_ships_unread", "            return self._read_second(key)", "            return None"),
    ),
    *faults_of(
        "sim/tape/archive.py",
        ("tests/tape/test_shipped.py",),
        ("entries_shifted", "range(0, len(lines), _LINES_OF_ENTRY)", "range(1, len(lines), _LINES_OF_ENTRY)"),
        ("keys_of_other_members", "for key in group}", "for key in group[1:]}"),
    ),
    *faults_of(
        "sim/tape/encoding.py",
        ("tests/tape/test_tape.py",),
        (
            "rounds_unverified",
            '        if kind == "e":\n            _, own_round = item',
            '        if kind == "e":\n            continue',
        ),
    ),
    *faults_of(
        "sim/results/point_log.py",
        ("tests/sweep/test_sweep.py",),
        ("point_unsealed", "if left or digest.hexdigest().encode() != header[1]:", "if left:"),
    ),
    *faults_of(
        "sim/core/files.py",
        ("tests/tape/test_files.py",),
        ("name_before_content", "            os.fsync(file.fileno())", "            pass"),
        ("update_without_lock", "    with locked(path):", "    with suppress(FileExistsError):"),
    ),
    # Inputs.
    *faults_of(
        "sim/inputs/prompt_keys.py",
        ("tests/world/test_prompts.py",),
        ("exchanged_letters_are_not_near", "best = min(best, older[j - 2] + 1)", "pass"),
        ("keys_of_data_sets_are_misspelt", '_FOREIGN = ("id", "test", "min_tokens",', '_FOREIGN = ("id",'),
        ("a_count_of_turns_is_a_prompt", "if _may_hold(name, entry[name])] or given[:1]", "]"),
    ),
    *faults_of(
        "sim/inputs/prompts.py",
        ("tests/world/test_prompts.py",),
        ("answers_of_alpaca_are_prompts", 'del contents["text"]', 'del contents["instruction"]'),
        ("contradictions_are_passed_over", "if conflict is not None:", "if False:"),
        (
            "a_conversation_without_a_human_is_asked",
            'if not any(role == "user" for role, _ in found):',
            "if not found:",
        ),
        ("json_is_plain_text", " and 2 * len(objects) > len(lines):", " and len(objects) > len(lines):"),
        ("one_object_among_texts_refuses_them", " and 2 * len(objects) > len(lines):", ":"),
        ("left_out_entries_are_not_told", "    if not left_out:", "    if prompts:"),
    ),
    *faults_of(
        "sim/runs/inputs.py",
        ("tests/inputs/test_requests.py",),
        ("a_file_of_several_kinds_is_told_of_twice", "if note not in notes or not", "if note or not"),
    ),
    *faults_of(
        "sim/inputs/scenario_models.py",
        ("tests/inputs/test_scenario_models.py",),
        ("a_model_of_two_roles_is_told_of_one", "        if len(blamed) > 1:", "        if len(blamed) > 9:"),
    ),
    *faults_of(
        "sim/inputs/workload.py",
        ("tests/world/test_workload.py",),
        ("prompts_keep_head", "*ids[len(ids) - (limit - kept) :]]", "*ids[kept:limit]]"),
    ),
    *faults_of(
        "sim/inputs/arrivals.py",
        ("tests/inputs/test_arrivals.py", "tests/world/test_steady_load.py"),
        ("think_time_rate", "_DRAWN_AT_ONCE) * devices.think_time_s", "_DRAWN_AT_ONCE) / devices.think_time_s"),
        ("gamma_of_inverse_variation", "shape = 1 / cv**2", "shape = cv**2"),
    ),
    # The measurement window.
    *faults_of(
        "sim/runs/window.py",
        ("tests/world/test_steady_load.py",),
        (
            "tokens_per_s_per_request",
            '"tokens_per_s": self.tokens / seconds if',
            '"tokens_per_s": self.tokens / max(1, issued) if',
        ),
        ("tokens_of_all_time", "if self.contains(emitted.time_ns):", "if True:"),
        ("warm_up_counts", "return self.contains(outcome.issued_ns)", "return True"),
    ),
    *faults_of(
        "sim/runs/backlog.py",
        ("tests/world/test_overload.py",),
        ("overload_by_half_the_error", "_MIN_DEVIATION) * math.sqrt(len(gains))", "_MIN_DEVIATION) * 2"),
        ("overload_not_told", "return self.inside[-1] - self.inside[0]", "return self.inside[0] - self.inside[-1]"),
    ),
    *faults_of(
        "sim/nodes/monitor.py",
        ("tests/world/test_steady_load.py",),
        ("littles_law_unchecked", "if area_ns != spent_ns:", "if False:"),
        ("busy_all_the_time", "counts.busy_ns += passed * self.is_busy", "counts.busy_ns += passed"),
        ("state_holds_for_the_past", "        if now_ns != self._last_ns:\n            self.advance(now_ns)\n", ""),
    ),
    # Compute.
    *faults_of(
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
    *faults_of(
        "sim/compute/base.py",
        ("tests/compute",),
        (
            "energy_shared_equally",
            "joules * part / total if total > 0 else joules / len(batch)",
            "joules / len(batch)",
        ),
    ),
    # Results.
    *faults_of(
        "sim/results/summary.py",
        ("tests/world/test_slo.py", "tests/world/test_model_figures.py", "tests/invariants/test_invariants.py"),
        (
            "acceptance_over_drafted",
            '_ratio(sums["accepted_tokens"], sums["tested_positions"])',
            '_ratio(sums["accepted_tokens"], sums["drafted_tokens"])',
        ),
    ),
    # What users look at.
    *faults_of(
        "sim/report/asked.py",
        ("tests/report/test_asked.py",),
        ("intervals_of_one_more", "max(n - 1, 1), 0.975", "max(n, 1), 0.975"),
        ("names_leave_the_script", '.replace("<", "\\\\u003c")', ""),
    ),
    *faults_of(
        "sim/report/warnings.py",
        ("tests/report/test_incidents.py",),
        ("given_up_are_of_the_answered", 'asked = count.get("failed", 0) + int(', "asked = int("),
    ),
    *faults_of(
        "sim/sweep/tasks.py",
        ("tests/sweep/test_executors.py::test_workers_get_ready_and_a_call_that_goes_wrong_there_goes_wrong_here",),
        ("calls_that_went_wrong_are_left_out", "function(items[number]) if failure else result", "result"),
    ),
    *faults_of(
        "sim/core/yaml_text.py",
        ("tests/core/test_yaml_text.py",),
        ("octal_without_its_letter", "_BASES.get(node.value[:2], 10)", "0 if node.value[:1] != '0' else 8"),
    ),
    *faults_of(
        "sim/sweep/kinds_load.py",
        ("tests/sweep/test_kinds_load.py",),
        ("remainders_are_lost", "counts[place] += 1", "counts[place] += 0"),
        ("rates_scaled_one_by_one", "factor = load / load_of_kinds(kinds, RATE)", "factor = load / len(kinds)"),
    ),
    *faults_of(
        "sim/figures/panels.py",
        ("tests/figures/test_figures.py",),
        ("empty_panels_are_drawn", "return found or list(panels[:1])", "return list(panels)"),
    ),
)
