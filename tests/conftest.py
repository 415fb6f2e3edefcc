"""What keeps the suite the same everywhere: a cache of its own, and property tests that no clock and no draw decides.

What lies in the user's cache, of whatever version, decides no test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no failure; the same examples each time, so that one that fails fails for everybody.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_made: list[str] = []


def pytest_configure() -> None:
    """Set the cache before any worker process or test starts; one that is named in the environment is kept."""
    if "SPECRAN_CACHE" not in os.environ:
        from sim.core.files import models_folder

        # Fetched weights are named by their hash: those that are on this machine are not fetched again for a test.
        os.environ.setdefault("SPECRAN_MODELS", str(models_folder()))
        _made.append(tempfile.mkdtemp(prefix="specran-tests-"))
        os.environ["SPECRAN_CACHE"] = _made[0]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it, in the process that made it."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def user_code_of_its_own() -> Iterator[None]:
    """Modules of a user's that one test loads are not told of by commands in the next."""
    from sim.core.user_code import user_code_forgotten

    with user_code_forgotten():
        yield


@pytest.fixture
def protocols_restored() -> Iterator[None]:
    """Protocols that a test registers are unknown in the next."""
    from sim.decoding.protocols.registry import PROTOCOLS

    with PROTOCOLS.restored_afterwards():
        yield
