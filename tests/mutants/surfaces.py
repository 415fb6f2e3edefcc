"""Faults in what surrounds the simulation: figures, command line, models' memory, traffic, tables of the air."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

SURFACES: tuple[Mutant, ...] = (
    # Figures and reports.
    *faults_of(
        "sim/figures/statistics.py",
        ("tests/figures/test_figures.py::test_interval_is_student_t",),
        ("one_sided_interval", "stdtrit(count - 1, 0.975)", "stdtrit(count - 1, 0.95)"),
        ("interval_of_single_values", "float(finite.std(ddof=1)) / float(np.sqrt(count))", "float(finite.std(ddof=1))"),
    ),
    *faults_of(
        "sim/figures/pareto.py",
        ("tests/figures/test_figures.py::test_pareto_front_by_hand",),
        ("less_is_always_better", "(-1 if more_y else 1)", "1"),
        ("equals_leave_the_front", "~(no_worse & better).any(axis=1)", "~better.any(axis=1)"),
    ),
    *faults_of(
        "sim/figures/compare.py",
        ("tests/figures/test_compare.py",),
        ("difference_of_a_over_b", "_per_seed(pairs, second - first)", "_per_seed(pairs, first - second)"),
    ),
    *faults_of(
        "sim/report/warnings.py",
        ("tests/report/test_report.py::test_a_cell_is_warned_about_by_its_prbs",),
        ("busy_runs_counted_as_idle", "busy = int((table[column] >= limit).sum())", "busy = 0"),
    ),
    *faults_of(
        "sim/report/warnings.py",
        ("tests/report/test_report.py::test_rows_that_are_cut_to_more_entries_than_there_are_are_told_of",),
        ("rows_charged_whole_in_silence", "if top_k > wire_vocab_size != vocab_size:", "if False:"),
    ),
    *faults_of(
        "sim/nodes/executor.py",
        ("tests/world/test_model_figures.py",),
        (
            "payload_taken_for_what_is_charged",
            "metrics.uplink_charged_bits += record.charged_bits",
            "metrics.uplink_charged_bits += record.payload_bits",
        ),
    ),
    *faults_of(
        "sim/models/networks.py",
        ("tests/models/test_broken_folders.py",),
        ("layers_assumed_in_silence", "if 0 < held < assumed:", "if False:"),
        (
            "tokenizers_own_code_not_named",
            'for name in ("config.json", "tokenizer_config.json"):',
            'for name in ("config.json",):',
        ),
    ),
    *faults_of(
        "sim/inputs/prompts.py",
        ("tests/world/test_prompts.py",),
        ("limits_beside_a_request_passed_over", "for part in (inner, entry) for key", "for part in (inner,) for key"),
        ("systems_alone_asked", "if not any(role in _ASKING for role, _ in messages):", "if not messages:"),
    ),
    *faults_of(
        "sim/figures/ticks.py",
        ("tests/figures/test_ticks.py",),
        ("ticks_where_nothing_was_simulated", "if is_key and 0 < len(chosen)", "if not is_key and 0 < len(chosen)"),
        ("prefix_without_its_scale", "axis.set_major_formatter(Plain(scale))", "axis.set_major_formatter(Plain(1.0))"),
    ),
    *faults_of(
        "sim/figures/options.py",
        ("tests/figures/test_options.py",),
        ("names_end_at_the_last_sign", "for name in sorted(known, key=len, reverse=True):", "for name in ():"),
    ),
    *faults_of(
        "sim/figures/result_names.py",
        ("tests/cli/test_results_named.py",),
        ("newest_sweep_is_the_first", "return max(found, key", "return min(found, key"),
    ),
    *faults_of(
        "sim/report/results.py",
        ("tests/report/test_report.py::test_extremes_name_only_the_keys_that_change_them",),
        (
            "every_key_changes_an_extreme",
            'if group != "variant" and len(same) > 1',
            'if group == "variant" and len(same) > 1',
        ),
    ),
    # Command line.
    *faults_of(
        "sim/scenario/loading.py",
        ("tests/cli/test_wrong_input.py::test_wrong_options",),
        ("a_seed_option_is_a_set_option", "if isinstance(changes, Changes) else", "if False else"),
    ),
    *faults_of(
        "sim/scenario/overrides.py",
        ("tests/scenario/test_shared_parts.py",),
        (
            "aliases_change_together",
            "{key: _copied(value) for key, value in data.items()}",
            "copy.deepcopy(dict(data))",
        ),
    ),
    *faults_of(
        "sim/cli/__init__.py",
        ("tests/cli/test_command_line.py::test_a_broken_prompt_line_is_named",),
        ("wrong_input_as_a_failure", '_fail(2, f"specran: {error}")', '_fail(1, f"specran: {error}")'),
    ),
    *faults_of(
        "sim/cli/__init__.py",
        ("tests/cli/test_command_line.py::test_an_interrupt_is_told_once_however_slowly",),
        ("told_interrupt_is_raised_again", "_main(sys.argv[1:])\n        interrupts.end()", "_main(sys.argv[1:])"),
    ),
    *faults_of(
        "sim/sweep/gather.py",
        ("tests/cli/test_streams.py::test_a_sweep_whose_folder_is_removed_while_it_draws_leaves_nothing",),
        ("lost_sweep_leaves_its_figures", "        _take_back(written, place)\n", ""),
    ),
    *faults_of(
        "sim/cli/interrupts.py",
        ("tests/cli/test_command_line.py",),
        ("second_interrupt_raises", "if self._first_s is None:\n            self", "if True:\n            self"),
        ("swallowed_interrupt_lost", "if error is None and not", "if error is not None and not"),
    ),
    *faults_of(
        "sim/core/user_code.py",
        ("tests/cli/test_prove.py",),
        ("exit_of_own_code_passes", "except SystemExit as error:", "except GeneratorExit as error:"),
    ),
    *faults_of(
        "sim/cli/output.py",
        ("tests/cli/test_output.py::test_what_libraries_print_is_not_among_the_results",),
        (
            "libraries_print_among_results",
            "with contextlib.redirect_stdout(sys.stderr):",
            "with contextlib.nullcontext():",
        ),
    ),
    *faults_of(
        "sim/cli/named_files.py",
        ("tests/cli/test_named_files.py",),
        ("files_of_arrivals_unread", "if devices.arrivals not in RENEWAL_PROCESSES:", "if False:"),
        ("calibrations_of_idle_sites_read", "if site in used and choice.name", "if choice.name"),
    ),
    *faults_of(
        "sim/cli/reached_lines.py",
        ("tests/cli/test_prove.py",),
        ("lines_of_else_unmarked", '("body", "orelse", "finalbody")', '("body", "finalbody")'),
        ("marks_stay", "                function.__code__ = before[first]\n", "                pass\n"),
    ),
    *faults_of(
        "sim/sweep/presence.py",
        ("tests/sweep/test_presence.py",),
        (
            "dead_processes_at_work",
            "        return False\n    except OSError",
            "        return True\n    except OSError",
        ),
    ),
    # Traffic of others, and handovers between sites.
    *faults_of(
        "sim/links/nr/traffic/flow_meter.py",
        ("tests/links/nr/test_sources.py",),
        ("late_packets_within_budget", "delay_ns <= self.budget_ns", "delay_ns > 0"),
    ),
    *faults_of(
        "sim/links/nr/traffic/sources.py",
        ("tests/links/nr/test_background.py::test_utilisation_is_the_offered_load", "tests/links/nr/test_sources.py"),
        ("files_at_the_inverse_rate", "rng.exponential(1 / settings.rate_hz)", "rng.exponential(settings.rate_hz)"),
        ("speech_without_silence", "is_talking = not is_talking", "is_talking = True"),
    ),
    *faults_of(
        "sim/serving/handover/cheapest.py",
        ("tests/nodes/test_sites.py::test_cheapest_takes_the_faster_one",),
        ("dearest", "move.transfer_s <= move.prefill_s", "move.transfer_s > move.prefill_s"),
    ),
    # Models' memory and wire.
    *faults_of(
        "sim/models/kv_store.py",
        ("tests/models/test_kv_store.py",),
        (
            "evicts_what_it_is_to_hold",
            "self._evict(len(self._slots) + len(newcomers) - limit, frozenset(sessions))",
            "self._evict(len(self._slots) + len(newcomers) - limit, frozenset())",
        ),
        ("copies_share_a_text", "self._texts[target] = text.copy()", "self._texts[target] = text"),
    ),
    *faults_of(
        "sim/models/row_cache.py",
        ("tests/tape/test_row_cache.py::test_memory_is_bounded_and_keeps_what_came_first",),
        ("remembers_beyond_its_bound", "self._bytes += row.nbytes", "self._bytes += 0"),
    ),
    *faults_of(
        "sim/decoding/drivers/protocol_run.py",
        ("tests/protocols/test_wire_vocabulary.py",),
        (
            "other_vocabularies_uncharged",
            "return message.charged_bits(self._wire_vocab_size)",
            "return payload_bits",
        ),
    ),
    # Sweeps and searches.
    *faults_of(
        "sim/sweep/capacity.py",
        ("tests/sweep/test_capacity.py::test_noise_widens_the_interval",),
        ("sure_though_the_interval_fails", "if point.mean - point.half >= share", "if point.mean >= share"),
    ),
    # Tables of the air.
    *faults_of(
        "channels/bler.py",
        ("tests/channels/test_bler.py::test_sizes_are_interpolated_between_and_held_beyond",),
        ("lines_through_the_next_size", "at_knots[:-1] - slope * knots[:-1]", "at_knots[:-1] - slope * knots[1:]"),
    ),
    *faults_of(
        "channels/text_files.py",
        ("tests/channels/test_text_files.py",),
        ("sockets_are_opened", '(stat.S_ISSOCK, "socket"), ', ""),
        ("digits_of_every_script", "[0-9]+\\.?[0-9]*", "\\d+\\.?[0-9]*"),
    ),
    *faults_of(
        "channels/trace_formats.py",
        ("tests/channels/test_trace_import.py",),
        ("last_bin_counts_as_a_full_one", "counts[whole], rest_ns)", "counts[whole], bin_ns)"),
        ("blank_lines_are_no_seconds", "position += number - last_number - 1", "position += 0"),
    ),
    *faults_of(
        "channels/bandwidth_traces.py",
        ("tests/channels/test_bandwidth_traces.py",),
        ("late_starts_keep_the_time", "self._before) - self._start_ns", "self._before)"),
        (
            "last_rate_for_a_second",
            "last_ns = starts[-1] - starts[-2] if len(starts) > 1 else NS_PER_S",
            "last_ns = NS_PER_S",
        ),
    ),
)
