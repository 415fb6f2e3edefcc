"""Where a Dask cluster is, and what this side shows it to be let in."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, shortened

LOCAL = "local"
"""The address that stands for a scheduler and workers of this machine."""
# A host that drops what is sent to it does not answer at all; what listens there may be no scheduler.
_LISTENS_WITHIN_S, _ANSWERS_WITHIN_S = 5.0, 10.0
_SOCKET = re.compile(r"(?:(?P<scheme>tcp|tls)://)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]+):(?P<port>\d+)/?")
_MAX_PORT = 65_535
# What Dask can connect by beside sockets, with a package of its own.
_OTHER_SCHEMES = ("ucx://", "ws://", "wss://")


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler.

    Attributes:
        address: Such as ``tcp://host:8786``, ``tls://host:8786`` for one behind TLS, or ``local`` for one started
            on this machine.
        tls_ca: Certificate of the authority that signed the scheduler's, a PEM file.
        tls_cert: This side's own certificate.
        tls_key: Its key; where it is None, the certificate's file holds it.

    Raises:
        InputError: Address and files do not fit together, or a file is not there.
    """

    address: str
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        socket_ = _SOCKET.fullmatch(self.address)
        is_address = int(socket_["port"]) <= _MAX_PORT if socket_ else self.address.startswith(_OTHER_SCHEMES)
        if not (self.is_local or is_address):
            valid = f"tcp://HOST:PORT, tls://HOST:PORT or {LOCAL}"
            raise InputError(f"--scheduler: expected {valid}, got {shortened(self.address)}")
        files = {"--tls-ca": self.tls_ca, "--tls-cert": self.tls_cert, "--tls-key": self.tls_key}
        given = {option: path for option, path in files.items() if path is not None}
        encrypted = self.address.startswith("tls://")
        if given and not encrypted:
            raise InputError(
                f"{', '.join(given)}: the scheduler's address must start with tls://, got {self.address!r}"
            )
        if encrypted and (self.tls_ca is None or self.tls_cert is None):
            missing = ", ".join(option for option in ("--tls-ca", "--tls-cert") if option not in given)
            raise InputError(f"--scheduler {self.address}: TLS needs {missing}, too")
        for option, path in given.items():
            if not path.is_file():
                raise InputError(f"{option} {path}: no such file")

    @property
    def is_local(self) -> bool:
        """Whether it is started here and ends with the work."""
        return self.address == LOCAL

    def refuse_silence(self) -> None:
        """Find out within seconds that no scheduler answers; a client of Dask would go on trying.

        Raises:
            InputError: None does.
        """
        named = _SOCKET.fullmatch(self.address)
        if named is None:
            return
        where = (named["host"].strip("[]"), int(named["port"]))
        try:
            socket.create_connection(where, timeout=_LISTENS_WITHIN_S).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise InputError(f"--scheduler {self.address}: nothing listens there ({_reason(error)})") from error
        import asyncio  # which a sweep on this machine does without

        try:
            who = asyncio.run(self._identity())
        except Exception as error:  # whatever a server of another kind makes Dask stumble over
            raise InputError(
                f"--scheduler {self.address}: no Dask scheduler answers there ({_reason(error)})"
            ) from error
        if who != "Scheduler":
            raise InputError(f"--scheduler {self.address}: a Dask {who.lower()} answers there, which is no scheduler")

    async def _identity(self) -> str:
        """What kind of Dask server answers."""
        from asyncio import wait_for

        from distributed.core import rpc

        security = self.security()
        arguments = security.get_connection_args("client") if security is not None else {}
        async with rpc(self.address, timeout=_ANSWERS_WITHIN_S, connection_args=arguments) as server:
            answer = await wait_for(server.identity(), _ANSWERS_WITHIN_S)
        return str(answer["type"])

    def security(self) -> Any:
        """What Dask takes to connect with; None for a connection without TLS."""
        if self.tls_ca is None:
            return None
        from distributed import Security

        return Security(
            tls_ca_file=str(self.tls_ca),
            tls_client_cert=str(self.tls_cert),
            tls_client_key=str(self.tls_key if self.tls_key is not None else self.tls_cert),
            require_encryption=True,
        )


def _reason(error: BaseException) -> str:
    """Why there is no connection; the innermost cause says most."""
    while error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, OSError | OverflowError | UnicodeError):
        return "what answers speaks another language"
    return getattr(error, "strerror", None) or str(error) or "it did not answer in time"
