"""The edge's sites: each with servers of its own, a request at one of them, moved at handovers, saved at failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import simpy
from typing_extensions import override

from sim.compute.base import ComputeModel, WorkSize
from sim.core.clock import NS_PER_S, to_ns
from sim.core.kernel import FastTimeout, Pending
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.links.base import Delivery, Direction, Link, Packet
from sim.models.interface import ForwardPass
from sim.nodes.model_server import ForwardResult, SiteLost
from sim.nodes.server_group import ServerGroup
from sim.nodes.sites.paths import Paths
from sim.nodes.sites.session import CLOUD, Call, Session, SiteCounts, relay
from sim.serving.base import RequestInfo, Text
from sim.serving.handover.registry import HANDOVERS, Decision, Move
from sim.serving.routing.registry import Routing
from sim.serving.sites_settings import SitesSettings

_TOKEN_BITS = 32  # of a token id in a text that is sent between sites


class EdgeSites(ServerGroup):
    """All sites of the edge, which look like one server to the devices.

    A request begins at the site of its device's cell; one of a chat begins where the chat's last one was, if anchors
    are kept. When its device comes to a cell of another site the policy decides, as soon as no forward pass of it is
    under way. While a request moves, its forward passes wait.

    When a site fails, all that it holds is lost. Its cells know of it ``detection_s`` later. They have kept the text of
    every request and what was sent last, from which the cloud goes on; or the device does, by its draft alone.

    Args:
        env: SimPy environment in nanoseconds.
        settings: Keys of ``edge.sites``.
        groups: Servers of each site.
        routing: For the base class, which serves figures over all servers only.
        idle_power_w: What each server draws at rest [W].
        cloud: The cloud's servers.
        link: Tells which cell serves a device, and its changes.
        cost_models: Compute model at the edge by role; the roles that run there.
        backhaul: One-way delay [ns] and rate [bit/s] between cells and cloud.
    """

    def __init__(
        self,
        env: simpy.Environment,
        settings: SitesSettings,
        groups: Sequence[ServerGroup],
        routing: Routing,
        idle_power_w: float,
        cloud: ServerGroup,
        link: Link,
        cost_models: Mapping[str, ComputeModel],
        backhaul: tuple[int, float],
    ) -> None:
        super().__init__([server for group in groups for server in group.replicas], routing, idle_power_w)
        self.env, self.settings, self.groups, self.cloud, self.link = env, settings, groups, cloud, link
        self.site_counts = SiteCounts()
        self._cost_models = cost_models
        self._policy = HANDOVERS.find(settings.handover).make()
        self._paths = Paths(settings, len(groups), *backhaul)
        self._sessions: dict[int, Session] = {}
        self._of_device: dict[int, Session] = {}
        self._site_of_chat: dict[int | None, int] = {}
        self._keeps_anchor = settings.handover == "anchor"
        self._num_down = [0] * len(groups)  # outages under way
        self._down_since_ns = [0] * len(groups)
        self._num_failures = [0] * len(groups)
        link.watch_cells(self._cell_changed)
        for outage in settings.outages:
            self._schedule(outage.site, to_ns(outage.from_s), to_ns(outage.to_s))

    # -- messages -----------------------------------------------------------------------------------------------------

    def send(self, link: Link, packet: Packet, request: RequestInfo) -> simpy.Event:
        """Send a message of a request over the air and the wires; the event succeeds with its ``Delivery``."""
        outer = Pending(self.env)
        if packet.direction is Direction.UPLINK:

            def landed(delivery: Delivery) -> None:
                ns = self._path_ns(packet, request)
                outer.succeed_later(delivery._replace(transport_ns=delivery.transport_ns + ns), ns)

            relay(link.send(packet), outer, landed)
            return outer
        ns = self._path_ns(packet, request)

        def at_the_cell(_: object) -> None:
            def landed(delivery: Delivery) -> None:
                outer.succeed_later(delivery._replace(transport_ns=delivery.transport_ns + ns))

            relay(link.send(packet), outer, landed)

        if ns:
            FastTimeout(self.env, ns, at_the_cell)
        else:
            at_the_cell(None)
        return outer

    def _path_ns(self, packet: Packet, request: RequestInfo) -> int:
        session, cell = self._sessions.get(request.id), self.link.cell_of(packet.device)
        at = self._first_site(request) if session is None else session.at
        self.site_counts.far_messages += at not in (CLOUD, self.settings.site_of(cell))
        return self._paths.message_ns(cell, at, packet.payload_bits)

    def is_at_cloud(self, request: RequestInfo) -> bool:
        """Whether the cloud serves a request in the place of a site."""
        session = self._sessions.get(request.id)
        return session is not None and session.at == CLOUD

    # -- what a server does -------------------------------------------------------------------------------------------

    def _session(self, request: RequestInfo) -> Session:
        session = self._sessions.get(request.id)
        if session is None:
            at = self._first_site(request)
            if request.salt is not None:
                self._site_of_chat[request.salt] = at
            session = self._sessions[request.id] = self._of_device[request.device] = Session(request, at)
            request.served = session
        return session

    def _first_site(self, request: RequestInfo) -> int:
        """Where a request begins."""
        if self._keeps_anchor and request.salt in self._site_of_chat:
            return self._site_of_chat[request.salt]
        return self.settings.site_of(self.link.cell_of(request.device))

    @override
    def submit(self, record: ComputeRecord, work: ForwardPass | None, request: RequestInfo) -> simpy.Event:
        """Queue a forward pass; the event succeeds with a ``ForwardResult``, a ``SiteLost``, or None if given up."""
        call = Call(record, work, Pending(self.env), int(self.env.now))
        self._route(self._session(request), call)
        return call.outer  # type: ignore[no-any-return]

    @override
    def prefill(self, request: RequestInfo, model: str, tokens: int | None = None) -> None:
        """A prompt has arrived."""
        session = self._session(request)
        if session.at != CLOUD and self._num_down[session.at]:
            if self.settings.fallback == "cloud":
                self._to_cloud(session)
        elif not session.is_moving:
            self._group(session).prefill(request, model, tokens)

    @override
    def release(self, request: RequestInfo, text: Text | None) -> None:
        """A request has ended, with this text; or was given up, with None."""
        session = self._sessions.pop(request.id, None)
        if session is None:
            return
        if self._of_device.get(request.device) is session:
            del self._of_device[request.device]
        self._group(session).release(request, text)
        for call in session.waiting:
            call.outer.succeed_later(None)

    def _group(self, session: Session) -> ServerGroup:
        return self.cloud if session.at == CLOUD else self.groups[session.at]

    def _route(self, session: Session, call: Call) -> None:
        """Have a forward pass computed where its request is, now or after its move."""
        record, now_ns = call.record, int(self.env.now)
        if session.is_moving:
            call.waits_since_ns = now_ns
            session.waiting.append(call)
            return
        if session.at != CLOUD and self._num_down[session.at]:
            self._lost(session, call)
            return
        group = self._group(session)
        if record.model in session.missing:
            session.missing.remove(record.model)
            again = max(0, record.context_tokens - record.new_tokens)
            session.recomputed_tokens += again
            self.site_counts.recomputed_tokens += again
            if group.held_tokens(session.request, record.model) is None:  # no engine that would find it out by itself
                record = replace(record, new_tokens=record.context_tokens)
        session.num_open += 1
        inner = group.submit(record, call.work, session.request)
        assert inner.callbacks is not None
        inner.callbacks.append(lambda event: self._done(session, call, event.value))

    def _done(self, session: Session, call: Call, result: Any) -> None:
        session.num_open -= 1
        if result is None:
            if self._sessions.get(session.request.id) is session:
                self.site_counts.lost_forwards += 1
                self._lost(session, call)
            else:
                call.outer.succeed_later(None)
            return
        session.text_tokens[call.record.model] = call.record.context_tokens
        queue_ns = int(self.env.now) - call.submitted_ns - result.compute_ns - call.transport_ns
        call.outer.succeed_later(
            ForwardResult(queue_ns, result.compute_ns, result.joules, result.logits, call.transport_ns)
        )
        self._follow(session)

    # -- handover -----------------------------------------------------------------------------------------------------

    def _cell_changed(self, device: int, cell: int) -> None:
        session = self._of_device.get(device)
        if session is None or session.at == CLOUD:
            return
        wanted = self.settings.site_of(cell)
        came_from, session.wanted = session.wanted, wanted
        if wanted != (session.at if came_from is None else came_from):
            self.site_counts.handovers += 1
        self._follow(session)

    def _follow(self, session: Session) -> None:
        """Decide about a handover, if there is one to decide about and no forward pass is under way."""
        wanted = session.wanted
        if wanted is None or session.is_moving or session.num_open or session.at == CLOUD:
            return
        session.wanted = None
        if wanted == session.at or self._num_down[wanted]:
            return
        held = self._held(session)
        num_bytes = self._bytes(held)
        now_ns = int(self.env.now)
        tokens = max(held.values(), default=0)
        transfer_s = self._paths.transfer_ns(session.at, num_bytes, now_ns) / NS_PER_S
        decision = self._policy.decide(Move(tokens, transfer_s, self._prefill_s(wanted, held)))
        if decision is Decision.CARRY:
            self._carry(session, wanted, held)
        elif decision is Decision.RECOMPUTE:
            bits = _TOKEN_BITS * tokens
            self._begin_move(session, self._paths.text_ns(wanted, bits), lambda: self._settle(session, wanted, held))

    def _held(self, session: Session) -> dict[str, int]:
        """Tokens by model whose keys and values are at a request's site."""
        if self._num_down[session.at]:
            return {}
        group, found = self.groups[session.at], {}
        for model in self._cost_models:
            known = group.held_tokens(session.request, model)
            found[model] = session.text_tokens.get(model, 0) if known is None else known
        return {model: tokens for model, tokens in found.items() if tokens and model not in session.missing}

    def _bytes(self, held: Mapping[str, int]) -> int:
        """Bytes of keys and values: 2 x layers x KV heads x head size x bytes x tokens, of each model."""
        return round(
            sum([(self._cost_models[model].kv_bytes_per_token or 0) * tokens for model, tokens in held.items()])
        )

    def _prefill_s(self, site: int, held: Mapping[str, int]) -> float:
        """Time that a site's server takes for texts of these lengths while it is idle."""
        if not self._policy.may_carry:
            return 0.0
        server = self.groups[site].replicas[0]
        return sum([server.priced(model).price([WorkSize(n, n, 0)]).seconds for model, n in held.items()])

    def _begin_move(self, session: Session, ns: int, arrive: Callable[[], None]) -> None:
        """Let a request's forward passes wait for so long, arrive, and go on."""
        session.is_moving = True

        def go_on(_: object) -> None:
            session.is_moving = False
            if self._sessions.get(session.request.id) is not session:
                return
            arrive()
            waiting, session.waiting = session.waiting, []
            for call in waiting:
                call.transport_ns += int(self.env.now) - call.waits_since_ns
                self._route(session, call)
            self._follow(session)

        FastTimeout(self.env, ns, go_on)

    def _carry(self, session: Session, to: int, held: dict[str, int]) -> None:
        source, num_bytes, counts = session.at, self._bytes(held), self.site_counts
        ns = self._paths.book_transfer(source, num_bytes, int(self.env.now))
        failures = self._num_failures[source]
        counts.kv_bytes += num_bytes
        session.moved_bytes += num_bytes

        def arrive() -> None:
            counts.kv_moves += 1
            counts.kv_ns += ns
            if self._num_down[to]:
                return
            if self._num_failures[source] != failures:
                self._settle(session, to, held)
                return
            self._leave(session, to)
            refused = [model for model, n in held.items() if not self.groups[to].adopt(session.request, model, n)]
            if refused:
                counts.kv_refused += 1
                self._recompute(session, {model: held[model] for model in refused})

        self._begin_move(session, ns, arrive)

    def _settle(self, session: Session, to: int, held: Mapping[str, int]) -> None:
        """A request's text has arrived at another site."""
        if not self._num_down[to]:
            self._leave(session, to)
            self._recompute(session, held)

    def _leave(self, session: Session, to: int) -> None:
        """From now on another site serves a request."""
        self._group(session).release(session.request, None)
        session.at = to
        session.num_moves += 1

    def _recompute(self, session: Session, held: Mapping[str, int]) -> None:
        """Compute keys and values anew where a request is now, of as many tokens as it had."""
        group = self._group(session)
        self.site_counts.recomputes += bool(held)
        for model, tokens in held.items():
            session.missing.add(model)
            group.prefill(session.request, model, tokens)

    # -- failure ------------------------------------------------------------------------------------------------------

    def _schedule(self, site: int, from_ns: int, to_ns_: int) -> None:
        # Ends are scheduled when their beginnings come, so that what never begins keeps no simulation alive.
        def fail(_: object) -> None:
            FastTimeout(self.env, to_ns_ - int(self.env.now), recover)
            self._fail(site)

        def recover(_: object) -> None:
            self._num_down[site] -= 1

        FastTimeout(self.env, from_ns, fail)

    def _fail(self, site: int) -> None:
        self._num_down[site] += 1
        if self._num_down[site] > 1:
            return
        self._down_since_ns[site] = int(self.env.now)
        self._num_failures[site] += 1
        for session in self._sessions.values():
            if session.at == site:
                session.missing.update(self._cost_models)
        self.groups[site].crash()

    def _lost(self, session: Session, call: Call) -> None:
        """A forward pass of a request whose site is down, or has just been."""
        fallback, now_ns = self.settings.fallback, int(self.env.now)
        if fallback == "cloud":
            if session.at != CLOUD and not session.is_moving:
                self._to_cloud(session)
            self._route(session, call)
            return
        if not session.fallback:
            session.fallback = fallback
            self.site_counts.fallbacks[fallback] += 1
        wait_ns = self._until_known_ns(session.at)
        call.outer.succeed_later(SiteLost(now_ns + wait_ns - call.submitted_ns), wait_ns)

    def _until_known_ns(self, site: int) -> int:
        known_ns = self._down_since_ns[site] + to_ns(self.settings.detection_s)
        return max(0, known_ns - int(self.env.now))

    def _to_cloud(self, session: Session) -> None:
        """The cloud goes on with a request, once its cell knows that its site is down."""
        if session.is_moving or session.at == CLOUD:
            return
        session.fallback = "cloud"
        self.site_counts.fallbacks["cloud"] += 1
        tokens = max([session.request.num_prompt_tokens - 1, *session.text_tokens.values()])
        ns = self._until_known_ns(session.at) + self._paths.text_ns(CLOUD, _TOKEN_BITS * tokens)

        def arrive() -> None:
            session.at = CLOUD
            session.num_moves += 1
            session.missing.update(self._cost_models)
            for model in self._cost_models:
                self.cloud.prefill(session.request, model, session.text_tokens.get(model))

        self._begin_move(session, ns, arrive)
