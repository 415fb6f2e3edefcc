"""Where a Dask cluster is, and what this side shows it to be let in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import InputError

LOCAL = "local"
"""The address that stands for a scheduler and workers of this machine."""


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
