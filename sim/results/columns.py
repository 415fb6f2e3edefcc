"""The data dictionary: every column of every table, its unit in its name, and what it means."""

from __future__ import annotations

from sim.core.breakdown import PARTS

_PART_MEANINGS = {
    "device_queue": "waiting at the device before the request is begun (open loop)",
    "draft_compute": "forwards of the draft model",
    "uplink_access": "waiting for the uplink: scheduling request, grant, queue",
    "uplink_air": "first transmission of uplink bits",
    "uplink_retransmission": "uplink retransmissions",
    "transport": "fixed delays beyond the air, both ways, the backhaul to the cloud, and ways between sites",
    "edge_queue": "waiting for the edge's or cloud's batch to start",
    "verify_compute": "forwards of the target and any other model than the draft",
    "downlink_access": "waiting for the downlink",
    "downlink_air": "first transmission of downlink bits",
    "downlink_retransmission": "downlink retransmissions",
}

BREAKDOWN_COLUMNS = tuple(f"{part}_s" for part in PARTS)

_SHARED = {
    "device": "index of the device",
    "request": "number of the request at its device",
    "kind": "name of the kind of device; empty where all devices are alike",
    "category": "kind of prompt, as its file says; empty if it does not",
    "tokens": "tokens emitted",
    "drafted_tokens": "tokens (tree nodes) drafted",
    "tested_positions": "positions at which a verification rule tested candidates",
    "accepted_tokens": "positions at which it accepted one",
    "uplink_payload_bits": "bits of encoded messages sent up, headers below them excluded",
    "downlink_payload_bits": "bits of encoded messages sent down",
}

REQUEST_COLUMNS = {
    **_SHARED,
    "measured": "1 if the request was issued in the measurement window, whose latencies the summary is of",
    "given_up": "1 if it was given up at its deadline, or for lack of a radio link (nr)",
    "slo_met": "1 if it ended and met all objectives that are set",
    "issued_s": "when the request was asked for",
    "e2e_s": "from then until its last token is at the device; the sum of the breakdown columns",
    "ttft_s": "time to first token",
    "tpot_s": "time per output token, (e2e - ttft) / (tokens - 1)",
    "max_itl_s": "largest gap between two successive tokens",
    "prompt_tokens": "tokens of the prompt",
    "rounds": "turns of the protocol",
    "acceptance_rate": "alpha: accepted over tested positions",
    "accepted_fraction": "accepted over drafted tokens; not the acceptance rate",
    "block_efficiency": "tokens emitted per round",
    "uplink_charged_bits": "bits that the uplink was given for them: other than their own where a publication counts "
    "otherwise, or models.wire_vocab_size does",
    "downlink_charged_bits": "the same for the downlink",
    "uplink_messages": "messages sent up",
    "downlink_messages": "messages sent down",
    "uplink_airtime_s": "time for which its uplink messages occupied the transmitter",
    "downlink_airtime_s": "the same for the downlink",
    "device_energy_j": "energy of device compute and radio",
    "edge_energy_j": "share of the edge's and cloud's energy",
    "handovers": "changes of cell while it lasted (nr)",
    **{f"{part}_s": meaning for part, meaning in _PART_MEANINGS.items()},
    "site_moves": "changes of the site that served it (edge.sites)",
    "kv_moved_bytes": "bytes of keys and values that were sent to another site for it (edge.sites)",
    "re_prefilled_tokens": "tokens computed anew since their keys and values were left behind or lost (edge.sites)",
    "fallback": "who went on with it after its site had failed: cloud, draft or none; else empty (edge.sites)",
    "draft_alone_tokens": "tokens of its answer that the device drew from its draft alone (edge.sites)",
}

ROUND_COLUMNS = {
    **_SHARED,
    "round": "number of the round in its request",
    "start_s": "end of the round before",
    "duration_s": "until this round's tokens were at the device",
    "overlap": "mean of sum min(p, q) over the tested positions: the acceptance probability of single-draft rejection; "
    "rounded at random to 1/8 up or down, right in the mean",
    "tail_mass": "mean draft probability that the truncation dropped at the tested positions; rounded likewise to 1/32",
    "reused": "1 if the round's draft was made ahead while the verdict before was in flight (specedge)",
    "uncertainty": "share of perturbed samples that disagree with the drafted token (u_hlm, u_hlm_importance, cu_hlm)",
    "importance": "weight of an uncertain token in its own attention, over the text's mean (u_hlm_importance); rounded "
    "likewise to eight steps per octave",
    "asked": "1 if the target was asked (u_hlm, u_hlm_importance, cu_hlm)",
    "inner_tested": "positions tested below the top of a chain of models (hsd)",
    "inner_accepted": "of these the accepted ones (hsd)",
    "draft_entropy_bits": "mean entropy of the draft's rows as sent, at the tested positions; rounded likewise to 1/2",
    "target_entropy_bits": "mean entropy of the target's rows, over the round's tokens; rounded likewise to 1/2",
    "surprisal_bits": "mean of -log2 p over the round's tokens, p the target's; rounded likewise to 1/2",
    **{f"{part}_s": f"{meaning}, in this round" for part, meaning in _PART_MEANINGS.items()},
}

_CELL_MEANINGS = {
    "messages": "messages delivered",
    "utilisation": "share of the time in which the link carried something (all links but nr)",
    "mean_bits_on_air": "bits on air per message, headers included (all links but nr)",
    "throughput_bps": "payload delivered per second (nr)",
    "mac_throughput_bps": "bits of decoded transport blocks per second, padding included (nr)",
    "prb_utilisation": "PRBs used over PRBs of the direction's slots (nr)",
    "first_transmission_bler": "share of first transmissions that were not decoded (nr)",
    "harq_rounds_mean": "transmissions per transport block (nr)",
    "rlc_retransmissions": "transport blocks that HARQ gave up and the RLC sent again (nr)",
    "olla_offset_mean_db": "offset of the outer loop of link adaptation, mean over devices (nr)",
    "olla_drift_db": "by how much the offsets have moved in the run, mean of absolute values: far over olla_step_db, "
    "the loops were still on their way (nr)",
    "rlc_polls": "PDUs with which the RLC asked for a status report (nr, with rlc_feedback: status)",
    "rlc_status_reports": "status reports about this direction, sent in the other one (nr, with rlc_feedback: status)",
    "access_p50_s": "median over messages of the time before the first bit is on air (nr)",
    "access_p95_s": "95th percentile of it",
    "access_p99_s": "99th percentile of it",
    "jain_index": "fairness of the bits received from or by each device, those with none left out (nr)",
    "connection_per_message_s": "waiting for paging, random access and RRC, mean per message (with rrc_inactivity_s)",
    "queue_per_message_s": "waiting before the first bit, beyond request, grant and K2; mean per message (nr)",
    "interruption_per_message_s": "without a radio link: handover, radio link failure; mean per message (nr)",
    "air_per_message_s": "slots that carried new bits of it, mean per message (nr)",
    "gaps_per_message_s": "slots between its first and last new bit that carried none: others were served, the other "
    "direction had its turn, or a grant was awaited; mean per message (nr)",
    "retransmission_per_message_s": "waiting for and on air in retransmissions, mean per message (nr)",
    "reordering_per_message_s": "waiting for earlier bytes to be complete, mean per message (nr)",
    "decode_per_message_s": "decoding at the receiver, mean per message (nr)",
    "transport_per_message_s": "fixed delay beyond the air, mean per message (nr)",
}
_BACKGROUND_MEANINGS = {
    "packets": "packets of background flows delivered (nr)",
    "offered_bps": "payload that background flows have sent per second (nr)",
    "throughput_bps": "payload of theirs that has crossed the air per second (nr)",
    "delay_mean_s": "mean time from sending to delivery of a packet of theirs (nr)",
    "delay_p95_s": "95th percentile of it",
    "within_budget_share": "share of their packets that arrived within the delay budget of their 5QI (nr)",
}
_RADIO_LINK_MEANINGS = {
    "handovers": "changes of cell of all devices (nr)",
    "handovers_per_device_minute": "changes of cell per device and minute (nr)",
    "ping_pong_share": "share of handovers that went back to the cell before within a second (nr)",
    "radio_link_failures": "radio links that failed, by SINR or after too many RLC retransmissions (nr)",
    "interrupted_s": "time without a radio link after handovers and failures, all devices (nr)",
    "outage_messages": "messages sent by or to a device out of coverage, which waited (nr)",
    "failed_messages": "messages that failed after waiting for a radio link for too long (nr)",
}

_STATE_MEANINGS = {
    "rrc_setups": "times that a device came back to RRC connected (nr, with rrc_inactivity_s)",
    "preambles": "random access preambles that devices sent (nr, with rrc_inactivity_s)",
    "preamble_collision_share": "share of them that another device had sent in the same occasion",
    "random_access_failures": "random accesses given up after max_preamble_transmissions, and begun anew",
}
_MODEM_MEANINGS = {
    "radio_transmit_energy_j": "energy of all devices' modems in transmissions, by TR 38.840 (nr)",
    "radio_receive_energy_j": "the same: what reception of data draws beyond listening",
    "radio_listen_energy_j": "the same: listening to the control channel, in requests and between them",
    "radio_sleep_energy_j": "the same: asleep in discontinuous reception or out of RRC connected, ways in and out and "
    "paging included",
}
_ACCESS_MEANINGS = {
    "downlink_drx_per_message_s": "waiting until its device listens (discontinuous reception), mean per message (nr)",
    "uplink_sr_wait_per_message_s": "waiting for an occasion to ask for a grant, mean per message (nr)",
    "uplink_grant_per_message_s": "from asking to being granted, mean per message (nr)",
    "uplink_k2_per_message_s": "from grant to transmission, mean per message (nr)",
}

_SERVER_MEANINGS = {
    "utilisation": "fraction of the window in which its servers computed",
    "mean_batch": "jobs per step",
    "running_mean": "requests in the running set of a server, time average",
    "waiting_mean": "jobs that wait for a step with room for them, time average per server",
    "kv_share_mean": "share of the key-value memory that requests hold, time average; 0 if it is not limited",
    "kv_share_max": "largest such share",
    "preemptions": "requests that lost their key-value memory and were computed anew",
    "prefix_hit_share": "prompt tokens found in the prefix cache over those looked up",
    "busy_energy_j": "energy above idle of its servers' steps; what requests are charged adds up to it, with the next",
    "unattributed_energy_j": "the part of it that no request is charged for, such as the prompt of one given up",
    "idle_energy_j": "what its servers draw at rest over the time, where that is known",
}

SUMMARY_COLUMNS = {
    "requests": "requests of the measurement window that ended with an answer; latencies and ratios are theirs",
    "failed": "requests of the window that were given up",
    "slo_attainment": "share of the window's requests, the failed ones included, that met all objectives",
    "goodput_rps": "requests that met all objectives, per second of the window",
    "ttft_attainment": "share of the window's requests that met the objective for the time to first token, if set",
    "tpot_attainment": "the same for the time per output token",
    "e2e_attainment": "the same for the end-to-end time",
    "tokens": "tokens emitted by those that ended",
    "simulated_s": "when the last request ended",
    "window_s": "length of the measurement window; without one of the whole run",
    "offered_rps": "requests issued per second of the window",
    "completed_rps": "requests completed per second of the window, those given up left out",
    "in_flight_mean": "requests issued and not ended, time average over the window",
    "in_flight_end": "the same when the window ends",
    "backlog_growth": "how many more are under way when the window ends than when it began",
    "backlog_growth_chance": "how likely a queue at load .97 would gain as much over this window, or more",
    "overload": "1 if in the window more requests came than were served, beyond what chance explains",
    "e2e_mean_s": "mean end-to-end time of a request",
    "e2e_p50_s": "median of it",
    "e2e_p95_s": "95th percentile of it",
    "e2e_p99_s": "99th percentile of it",
    "ttft_mean_s": "mean time to first token",
    "ttft_p95_s": "95th percentile of it",
    "tpot_mean_s": "mean time per output token",
    "tpot_p95_s": "95th percentile of it",
    "token_latency_s": "total end-to-end time over total tokens",
    "tokens_per_s": "tokens that reached devices per second of the window",
    "acceptance_rate": "alpha: accepted over tested positions, ratio of sums",
    "accepted_fraction": "accepted over drafted tokens, ratio of sums",
    "block_efficiency": "tokens per round, ratio of sums",
    "drafted_per_round": "tokens (tree nodes) drafted per round, ratio of sums",
    "uplink_bits_per_token": "uplink payload bits over tokens emitted",
    "uplink_bits_per_accepted_token": "uplink payload bits over accepted tokens",
    "downlink_bits_per_token": "downlink payload bits over tokens emitted",
    "uplink_charged_bits_per_token": "bits charged to the uplink over tokens emitted, where they are not the "
    "payload's (models.wire_vocab_size, or a publication's own count)",
    "downlink_charged_bits_per_token": "the same for the downlink",
    "uplink_payload_bits": "uplink payload bits in all",
    "downlink_payload_bits": "downlink payload bits in all",
    "device_energy_per_token_j": "device energy, that of failed requests included, over tokens emitted",
    "edge_energy_per_token_j": "edge and cloud energy, likewise, over tokens emitted",
    "overlap": "mean of sum min(p, q) over rounds, weighted by tested positions",
    "tail_mass": "mean truncated draft mass, weighted likewise",
    "acceptance_se": "standard error of the acceptance rate, over texts (positions of one text depend on each other)",
    "draft_entropy_bits": "mean entropy of the draft's rows as sent, weighted likewise",
    "target_entropy_bits": "mean entropy of the target's rows over the tokens emitted, where it computed one",
    "perplexity": "2 to the mean of -log2 p over these tokens, p the target's: of its own text if lossless",
    "row_top_k": "entries that the draft's rows are cut to (protocol.top_k), where they are",
    "vocab_size": "tokens of the models' vocabulary",
    "wire_vocab_size": "tokens of the vocabulary that messages are charged for (models.wire_vocab_size)",
    "reused_fraction": "rounds whose draft was made ahead while the verdict was in flight (specedge)",
    "asked_fraction": "tokens that were uncertain enough for the target to be asked (u_hlm, u_hlm_importance, cu_hlm)",
    "inner_acceptance_rate": "accepted over tested positions below the top of a chain of models (hsd)",
    **{f"{part}_mean_s": f"{meaning}, mean per request" for part, meaning in _PART_MEANINGS.items()},
    **{
        f"{site}_{name}": f"{site}: {meaning}"
        for site in ("edge", "cloud")
        for name, meaning in _SERVER_MEANINGS.items()
    },
    "layer1_slots": "slots with work for layer 1 (edge.ran_sharing), cells that are not simulated included",
    "layer1_late_per_1e5": "of 1e5 of these the ones past the deadline",
    "layer1_own_late_per_1e5": "of 1e5 slots with simulated blocks the ones past the deadline, so that these were lost",
    "layer1_gpu_share": "time that layer 1 alone would take of its GPU, other cells included; mean of sites",
    "model_gpu_share": "time of a whole GPU that the model's steps had, without what layer 1 took from them",
    "idle_reclaimed_share": "the model's share over what layer 1 leaves idle",
    "layer1_changes": "changes of what is kept for layer 1",
    "layer1_energy_j": "energy above idle of layer 1 of all cells on the GPUs",
    "layer1_energy_per_cell_j": "the same for each of these cells",
    "gpu_energy_j": "energy of a GPU per site, of two where layer 1 has its own: idle, layer 1 and the model's steps",
    "gpu_energy_per_token_j": "the same over the tokens that reached devices",
    "site_handovers": "requests under way whose device came to a cell of another site (edge.sites)",
    "kv_moves": "transfers of keys and values between sites",
    "kv_moves_refused": "of these the ones for which the new site had no memory, so that it computed them anew",
    "kv_moved_bytes": "bytes sent in them: 2 x layers x key-value heads x head size x bytes x tokens",
    "kv_move_mean_s": "from the beginning of such a transfer until the new site could go on, mean",
    "re_prefills": "requests whose text was computed anew at the site to which their device had come",
    "re_prefilled_tokens": "tokens computed anew since their keys and values were left behind or lost",
    "far_messages": "messages between a cell and a site of other cells",
    "lost_forwards": "forward passes under way at a site when it failed",
    "cloud_requests": "requests that the cloud took over from a site that was down",
    "draft_alone_requests": "requests that the device went on with alone, by its draft",
    "draft_alone_tokens": "tokens of these that followed the draft instead of the target",
    "unserved_requests": "requests given up since their site was down and nobody went on with them",
    "device_idle_energy_j": "what the processors of all devices draw at rest over the time, where that is known",
    **{
        f"{direction}_{name}": f"{direction}: {meaning}"
        for direction in ("uplink", "downlink")
        for name, meaning in _CELL_MEANINGS.items()
    },
    **{
        f"{direction}_background_{name}": f"{direction}: {meaning}"
        for direction in ("uplink", "downlink")
        for name, meaning in _BACKGROUND_MEANINGS.items()
    },
    **_ACCESS_MEANINGS,
    **_RADIO_LINK_MEANINGS,
    **_STATE_MEANINGS,
    **_MODEM_MEANINGS,
}

# What went wrong in a run: shown wherever it is not zero.
INCIDENT_COLUMNS = (
    "failed",
    "unserved_requests",
    "cloud_requests",
    "draft_alone_requests",
    "lost_forwards",
    "radio_link_failures",
    "outage_messages",
    "failed_messages",
)

# Of a sweep's table, beside a column per varied key and those of the summary.
SWEEP_COLUMNS = {
    "variant": "name of the variant; empty if the sweep has none",
    "replication": "number of the replication, from 0",
    "seed": "master seed of the run; the same for all points of a replication",
    "run_id": "content address of the run",
}

# Of an NR cell with record_slots: a row per transmission.
SLOT_COLUMNS = {
    "slot": "number of the slot",
    "time_s": "its beginning",
    "direction": "uplink or downlink",
    "cell": "index of the cell",
    "device": "index of the device",
    "attempt": "0 for a first transmission, then the number of the retransmission",
    "num_prb": "PRBs of the transport block",
    "prbs_by_group": "PRBs in each group, numbers with blanks between",
    "mcs": "index into the MCS table",
    "size_bits": "size of the transport block",
    "sinr_db": "effective SINR after combining; none under the ideal channel",
    "bler": "block error rate that decided; none likewise",
    "received": "whether the block was decoded",
}

# Of an NR cell with background traffic: a row per flow.
FLOW_COLUMNS = {
    "flow": "index in link.background",
    "kind": "traffic model",
    "five_qi": "5QI",
    "direction": "uplink or downlink",
    "users": "devices that carry it",
    "nominal_bps": "payload that they offer in the mean; none where it depends on the network",
    **{name: meaning.removesuffix(" (nr)") for name, meaning in _BACKGROUND_MEANINGS.items()},
}

# Of an NR link with kpm_period_s: a row per cell and period in which anything was sent.
KPM_COLUMNS = {
    "time_s": "end of the period",
    "cell": "index of the cell",
    "RRC.ConnMean": "devices connected to it",
    "RRC.InactiveConnMean": "devices in RRC inactive there, at the end of the period (with rrc_inactivity_s)",
    **{
        name: meaning
        for suffix, initial, initial_errors, direction in (
            ("Ul", "TB.TotNbrUlInit", "TB.ErrNbrUlInitial", "uplink"),
            ("Dl", "TB.TotNbrDlInitial", "TB.IntialErrNbrDl", "downlink"),
        )
        for name, meaning in {
            f"RRU.PrbTot{suffix}": f"{direction}: PRBs used over those of its slots, in per cent",
            f"RRU.PrbUsed{suffix}": f"{direction}: PRBs used, mean per slot of this direction",
            f"RRU.PrbAvail{suffix}": f"{direction}: PRBs of the carrier",
            f"DRB.PdcpSduVolume{suffix.upper()}": f"{direction}: bytes of datagrams received, in Mbit",
            f"DRB.UEThp{suffix}": f"{direction}: bits received over the time in service, of bursts of several slots, "
            "the piece that empties the buffer apart, in kbit/s",
            initial: f"{direction}: first transmissions of transport blocks",
            initial_errors: f"{direction}: first transmissions that were not decoded",
            f"TB.TotNbr{suffix}": f"{direction}: transmissions, retransmissions included",
            f"TB.ErrTotNbr{suffix}": f"{direction}: transmissions that were not decoded",
            f"TB.ResidualErrNbr{suffix}": f"{direction}: transport blocks that their last transmission left undecoded",
        }.items()
    },
}

# A row per server and second; the last one covers what is left of the run.
SERVER_COLUMNS = {
    "server": "edge or cloud; with replicas or sites edge-0, edge-1, ..., with both edge-0-0, ...",
    "time_s": "beginning of the second",
    "running": "requests in the running set, mean over the second",
    "waiting": "jobs that wait for a step with room for them, mean over the second",
    "kv_share": "share of the key-value memory that requests hold, mean over the second; 0 if it is not limited",
    "utilisation": "share of the second in which it computed",
    "steps": "steps begun",
    "new_tokens": "tokens computed in them",
    "preemptions": "requests that lost their key-value memory",
    "prefix_hit_share": "prompt tokens found in the prefix cache over those looked up",
    "energy_j": "energy of the steps begun, above idle",
}

# Of a GPU that layer 1 and a model share, a row per second; the last one covers what is left of the run.
GPU_COLUMNS = {
    "site": "number of the edge site at which the GPU is; 0 without edge.sites",
    "time_s": "beginning of the second",
    "layer1_gpu_share": "time that layer 1 would take of the whole GPU",
    "model_gpu_share": "time of the whole GPU that the model's steps had",
    "layer1_kept_share": "share of the GPU that is kept for layer 1 at the end of the second; 0 if none is",
    "layer1_slots": "slots with work for layer 1",
    "layer1_late": "of these the ones that missed the deadline",
    "layer1_full_cells": "PRBs and layers in use, in full cells of four antennas, mean over all slots",
    "layer1_changes": "changes of what is kept for layer 1",
}

TABLES = {
    "sweep": SWEEP_COLUMNS,
    "summary": SUMMARY_COLUMNS,
    "requests": REQUEST_COLUMNS,
    "rounds": ROUND_COLUMNS,
    "slots": SLOT_COLUMNS,
    "flows": FLOW_COLUMNS,
    "kpm": KPM_COLUMNS,
    "servers": SERVER_COLUMNS,
    "gpu": GPU_COLUMNS,
}
"""The dictionary by table; a sweep's table has the summary's columns too."""
