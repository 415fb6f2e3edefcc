"""A tiny pair of random Llama checkpoints, prompts as ids, and a cache of its own: sweeps that take a second."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sim.scenario.schema import Scenario
from tests.models.builders import network, save
from tests.worlds import pair_keys


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``draft``, ``target`` and ``prompts.jsonl``."""
    folder = tmp_path_factory.mktemp("pair")
    save(network("llama", seed=1), folder / "draft")
    save(network("llama", seed=2), folder / "target")
    lines = [json.dumps({"ids": [3 + (7 * i + j) % 90 for j in range(3 + i)]}) for i in range(5)]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture()
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out figures and report, which other tests look at."""
    monkeypatch.setattr("sim.figures.sweep_figures.draw_sweep", lambda *_, **__: [])
    monkeypatch.setattr("sim.report.results.report_sweep", lambda folder, *_: folder / "report.html")


@pytest.fixture()
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPECRAN_CACHE", str(folder))
    return folder


@pytest.fixture()
def tiny_keys(tiny_pair: Path) -> dict:
    """A sweep of eight points as YAML has it: four rates, two truncations."""
    return {
        "name": "tiny",
        **pair_keys(tiny_pair),
        "sweep": {
            "axes": {"link.uplink_bandwidth_mhz": [0.1, 0.2, 0.5, 1.0]},
            "variants": {"top-6": {}, "top-2": {"protocol.top_k": 2}},
        },
    }


@pytest.fixture()
def tiny(tiny_keys: dict, cache: Path) -> Scenario:
    """The sweep of eight points, over an empty cache."""
    return Scenario.from_dict(tiny_keys)


@pytest.fixture()
def certificate(tmp_path: Path) -> Path:
    """A certificate that signs itself and its key, valid for a day, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path
