"""Faults of channels, links, HARQ, reports and the placement of PRBs."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

RADIO: tuple[Mutant, ...] = (
    # Propagation, fading, HARQ, numerology.
    *faults_of(
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
    *faults_of(
        "channels/fading_kernels.py",
        ("tests/channels/test_compiled.py",),
        ("compiled_without_direct_path", "turns += los_turns[row]", "turns += 0.0"),
        ("compiled_leaves_pairs_out", "for more in range(1, left):", "for more in range(2, left):"),
    ),
    *faults_of(
        "sim/links/nr/phy/interference_kernels.py",
        ("tests/links/nr/test_compiled.py",),
        ("strong_sources_count_twice", "mean[victim, source] = 0.0", "shared[source] = 0.0"),
        ("own_site_is_another", "if own_site[device] == site:", "if own_site[device] != site:"),
        ("halves_lost", "total = left[depth] + total", "total = total"),
    ),
    *faults_of(
        "sim/links/nr/phy/block_kernels.py",
        ("tests/links/nr/test_compiled.py",),
        ("one_code_block", "(1.0 - code_block_error) ** count", "(1.0 - code_block_error)"),
    ),
    *faults_of(
        "sim/links/nr/mac/warm_up.py",
        ("tests/links/nr/test_outer_loop.py", "tests/links/nr/test_compiled.py"),
        ("warm_up_rates_mixed_up", "rates[missing, own] = self", "rates[missing, own - 1] = self"),
        ("warm_up_spread_forgotten", "self.floor - betas * np.log(spread)", "self.floor"),
        ("warm_up_of_exact_reports", "if self.cqi is not None:", "if False:"),
        ("warm_up_winds_up", "is_idle = middle > 0 and int(mcs.min()) == last", "is_idle = False"),
        ("warm_up_winds_down", "(fails and int(mcs.max()) > self._errors.lowest)", "fails"),
        ("warm_up_on_a_thin_carrier", "if meets_target or num_prb == 1:", "if True:"),
    ),
    *faults_of(
        "sim/links/nr/mac/outer_loop.py",
        ("tests/links/nr/test_outer_loop.py",),
        ("outer_loop_winds_up", "if is_highest and self", "if not received and is_highest and self"),
        ("outer_loop_winds_down", "return not received or debt > 1e-9", "return False"),
        ("outer_loop_without_reserve", "_CREDIT_STEPS = 5", "_CREDIT_STEPS = 0"),
    ),
    *faults_of(
        "sim/links/nr/phy/codewords.py",
        ("tests/links/nr/test_antennas.py",),
        ("codewords_of_the_best_layer", "np.minimum.reduce(used, axis=1)", "np.minimum.reduce(used, axis=1) + 0.5"),
        ("codewords_forget_the_offset", "self._max_sinr) * offset[:, None]", "self._max_sinr)"),
    ),
    *faults_of(
        "sim/links/nr/phy/spatial.py",
        ("tests/links/nr/test_antennas.py",),
        ("ranks_share_an_offset", "limits.offsets[rank - 1]", "limits.offsets[0]"),
        ("rounding_chooses_precoders", "best - _ROUNDING * np.abs(best)", "best"),
        (
            "precoders_are_chosen_by_all_that_layers_could_carry",
            "np.diagonal(errors, axis1=2, axis2=3).real",
            "np.linalg.eigvalsh(errors)",
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/link_adaptation.py",
        ("tests/links/nr/test_antennas.py",),
        (
            "one_layer_in_the_first_beam",
            "self.precoder[rows] = report.num_layers, report",
            "_ = report.num_layers, report",
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/layered_warm_up.py",
        ("tests/links/nr/test_outer_loop.py",),
        ("layers_start_at_zero", "return np.asarray(10 ** (np.array(found_db) / 10))", "return np.ones(len(found_db))"),
    ),
    *faults_of(
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
    *faults_of(
        "channels/power.py",
        ("tests/channels/test_power.py",),
        ("power_control_full_compensation", "alpha *", "1.0 *"),
    ),
    *faults_of(
        "channels/noise.py",
        ("tests/channels",),
        ("noise_floor", "THERMAL_NOISE_DBM_HZ = -174.0", "THERMAL_NOISE_DBM_HZ = -164.0"),
    ),
    # Links.
    *faults_of(
        "sim/links/processor_sharing.py",
        ("tests/links/test_shannon.py",),
        ("sharing_ignores_others", "(now_ns - self._now_ns) / self._total_weight", "(now_ns - self._now_ns) / 1"),
        ("sharing_access_as_air", "access_ns = message.started_ns - message.sent_ns", "access_ns = 0"),
    ),
    *faults_of(
        "sim/links/fifo.py",
        ("tests/links", "tests/invariants/test_bookings.py"),
        (
            "fifo_no_header",
            "        bits = packet.payload_bits + self.header_bits",
            "        bits = packet.payload_bits",
        ),
    ),
    *faults_of(
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
    *faults_of(
        "sim/links/nr/rrc/handover.py",
        ("tests/links/nr/test_mobility.py",),
        ("a3_without_hysteresis", "above_db > self._hysteresis_db, ", "above_db > 0, "),
        (
            "a3_held_until_it_is_left",
            "np.minimum(self._since_s, now_s), np.inf)",
            "np.minimum(self._since_s, now_s), np.where(above_db < -self._hysteresis_db, np.inf, self._since_s))",
        ),
    ),
    *faults_of(
        "sim/links/nr/rrc/radio_links.py",
        ("tests/links/nr/test_mobility.py",),
        (
            "handover_without_interruption",
            "delay_s: float) -> None:\n        if delay_s:",
            "delay_s: float) -> None:\n        if not delay_s:",
        ),
        ("open_outages_ignored", "np.where(is_lost, self._since_ns, np.inf)", "np.full(len(is_lost), np.inf)"),
    ),
    *faults_of(
        "sim/links/nr/rrc/counters.py",
        ("tests/links/nr/test_mobility.py",),
        ("outages_before_the_window", "end_ns - max(start_ns, self._since_ns)", "end_ns - start_ns"),
    ),
    *faults_of(
        "channels/nr/mini_slots.py",
        ("tests/links/nr/test_mini_slots.py",),
        ("mini_slots_forget_the_guard", "min(first + self.unit_symbols, whole) - first", "self.unit_symbols"),
    ),
    *faults_of(
        "sim/links/nr/mac/csi.py",
        ("tests/links/nr/test_csi.py",),
        ("differential_cqi_of_three_bits", "_OFFSET_LEVELS = (-1, 2)", "_OFFSET_LEVELS = (-4, 3)"),
        ("reports_without_delay", "known = slot - self._delay", "known = slot"),
    ),
    *faults_of(
        "sim/links/nr/rlc/acknowledged.py",
        ("tests/links/nr/test_acknowledged.py",),
        (
            "status_before_the_gap_is_filled",
            "if _NEVER < self._polled < self._highest_status:",
            "if _NEVER < self._polled:",
        ),
        ("never_polls_at_the_end", "if not (enough or is_last or", "if not (enough or"),
    ),
    *faults_of(
        "sim/links/nr/rlc/message.py",
        ("tests/links/nr/test_acknowledged.py",),
        ("duplicates_count_twice", "new += max(0, min(last, stop) - max(first, start))", "new += stop - start"),
    ),
    *faults_of(
        "sim/links/nr/rrc/random_access.py",
        ("tests/links/nr/test_states.py",),
        (
            "preambles_by_too_few",
            "int(which * self._settings.num_preambles)",
            "int(which * (self._settings.num_preambles - 4))",
        ),
        ("collisions_are_resolved_at_once", "if is_alone:", "if senders:"),
        ("preambles_for_ever", "if self._tries[device] >=", "if 0 * self._tries[device] >="),
    ),
    *faults_of(
        "channels/nr/bandwidth.py",
        ("tests/links/nr/test_settings.py",),
        ("fr1_everywhere", 'return "fr2" if carrier_ghz', 'return "fr1" if carrier_ghz'),
    ),
    *faults_of(
        "sim/links/nr/model_ranges.py",
        ("tests/links/nr/test_settings.py",),
        ("ground_floor_only", "FLOOR_HEIGHT_M * (max_floor - 1)", "FLOOR_HEIGHT_M * 0 * (max_floor - 1)"),
    ),
    *faults_of(
        "sim/links/nr/ineffective.py",
        ("tests/links/nr/test_ineffective.py",),
        ("columns_are_not_looked_at", "settings.column_elements == 1 and", "True and"),
    ),
    *faults_of(
        "sim/links/nr/carrier_settings.py",
        ("tests/links/nr/test_settings.py",),
        ("dmrs_takes_no_room", "(num_symbols - dmrs) >", "num_symbols >"),
        ("headers_forgotten", "if num_bytes < HEADERS_BYTES", "if num_bytes < 0 * HEADERS_BYTES"),
        ("turns_round_at_once", "if not guard and", "if guard and"),
    ),
    *faults_of(
        "sim/links/nr/rrc/states.py",
        ("tests/links/nr/test_states.py",),
        ("released_by_the_first_timer", "        if slot < due:", "        if slot < 0:"),
    ),
    *faults_of(
        "sim/links/nr/rlc/logical_channels.py",
        ("tests/links/nr/test_logical_channels.py",),
        ("bucket_without_limit", "min(grown, channel.bucket_bytes)", "grown"),
        ("prioritised_rate_unused", "self._buckets[index] -= used", "self._buckets[index] -= 0"),
        ("equal_priority_by_place", "self._served[index] += used", "self._served[index] += 0"),
        ("idle_channels_save_up", "else max(served, self._turn[self._level[index]])", "else served"),
    ),
    *faults_of(
        "sim/links/nr/mac/transmission.py",
        ("tests/links/nr/test_background.py",),
        (
            "flows_count_as_messages",
            "if message.flow is None:\n            self.kpis",
            "if True:\n            self.kpis",
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/transmission.py",
        ("tests/links/nr/test_timing.py",),
        ("one_slot_on_air", "message.sending_ns += self.carrier.slot_ns", "message.sending_ns = self.carrier.slot_ns"),
    ),
    *faults_of(
        "sim/links/nr/mac/schedulers/qos.py",
        ("tests/links/nr/test_background.py",),
        ("qos_without_weights", "weight = queues.weight * delay", "weight = delay"),
    ),
    *faults_of(
        "sim/links/nr/mac/schedulers/proportional_fair.py",
        ("tests/links/nr/test_schedulers.py",),
        ("pf_is_max_ci", "np.maximum(queues.average_rate_bps, 1e-3)[:, None]", "1.0"),
    ),
    *faults_of(
        "sim/links/nr/phy/radio_receiver.py",
        ("tests/links/nr/test_harq_closed_form.py", "tests/links/nr/test_harq.py"),
        (
            "receiver_forgets_third_round",
            "            block.effective, block.combined_re = kept, elements",
            "            block.effective, block.combined_re = (kept, block.effective)[block.attempt > 0], elements",
        ),
        (
            "receiver_more_errors",
            "block.received = block.uniform >= block.error_rate",
            "block.received = block.uniform >= block.error_rate / 2",
        ),
    ),
    *faults_of(
        "sim/links/nr/rlc/message.py",
        ("tests/links/nr/test_message.py", "tests/links/nr/test_control.py"),
        ("segment_header_free", "cost += 2 if cost < 256 else 3", "cost += 2"),
    ),
    # Placement of PRBs, power headroom, control channel.
    *faults_of(
        "sim/links/nr/mac/power_sharing.py",
        ("tests/links/nr/test_allocation.py",),
        (
            "no_even_share",
            "np.maximum(np.minimum(needed, limit), share_evenly(needed, num_prb))",
            "np.minimum(needed, limit)",
        ),
        ("power_that_never_ends", "sinr / RATIOS), max_capacity)", "sinr), max_capacity)"),
        ("all_to_the_first", "(-worth).ravel().argsort", "(0 * worth).ravel().argsort"),
    ),
    *faults_of(
        "sim/links/nr/mac/uplink.py",
        ("tests/links/nr/test_allocation.py",),
        (
            "waiting_devices_fill_the_carrier",
            "if cce_left < 0 or len(first) == budget.grants_left:",
            "if not len(order):",
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/candidates.py",
        ("tests/links/nr/test_candidates.py",),
        ("cells_mixed_up", 'order = cells.argsort(kind="stable")', "order = np.arange(len(cells))"),
    ),
    *faults_of(
        "sim/links/nr/mac/allocation.py",
        ("tests/links/nr/test_allocation.py::test_of_the_groups_that_a_queue_wins_it_takes_those_that_it_prefers",),
        ("winners_stay", "if winner[g] in gone]", "if winner[g] not in gone]"),
    ),
    *faults_of(
        "sim/links/nr/phy/small_scale.py",
        ("tests/links/nr/test_small_scale.py",),
        ("gains_of_the_cell_before", "        self._ahead.clear()\n", ""),
    ),
    *faults_of(
        "sim/links/nr/phy/gains_ahead.py",
        ("tests/links/nr/test_small_scale.py",),
        ("gains_of_another_slot", "self._gains[place].take", "self._gains[0].take"),
        ("gains_of_devices_not_worked_out", "if not self._known.issuperset(names):", "if not names:"),
        ("gains_of_another_slot_known", "known[0] == slot and known[1]", "known[1]"),
        ("gains_of_others_known", " and known[1] == devices.tolist()", ""),
        (
            "gains_of_a_cell_left_are_kept",
            'fading is another from now on."""\n        self._known = None',
            'fading is another from now on."""',
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/share_out.py",
        ("tests/links/nr/test_share_out.py",),
        (
            "ties_to_the_last",
            "priority[queue, group] > priority[best, group]",
            "priority[queue, group] >= priority[best, group]",
        ),
        ("grants_without_end", "if cce_left < 0:", "if cce_left < -8:"),
    ),
    *faults_of(
        "sim/links/nr/phy/power_reduction.py",
        ("tests/links/nr/test_power_reduction.py",),
        (
            "reduction_of_inner_blocks",
            "return 0 if is_inner_allocation(first, width, self._num_prb) else 1",
            "return 0",
        ),
    ),
    *faults_of(
        "sim/links/nr/mac/pdcch.py",
        ("tests/links/nr/test_control.py",),
        ("cce_for_all", "return self.grants_left > 0 and cost <= self.cce_left", "return self.grants_left > 0"),
        ("levels_are_never_renewed", "self._renewed[devices] != period", "self._renewed[devices] < 0"),
    ),
)
