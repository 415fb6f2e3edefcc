"""Why a file of pickled weights cannot be read, in the words of one line."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# The one that torch.save writes, and that is read.
_PROTOCOL = 2
_ASKED = re.compile(r"GLOBAL (\S+)")
_REASON = re.compile(r"WeightsUnpickler error:\s*(\S[^\n]*)")
_OTHER_FORMATS = {
    "TorchScript": "is a TorchScript archive, which holds a program; of weights only pickled tensors by name are read",
    "legacy .tar format": "is a .tar archive of a PyTorch older than 0.4; save its tensors anew with torch.save",
}
# What tensors themselves are made with.
_OF_TENSORS = ("torch.", "collections.OrderedDict", "__builtin__.bytearray", "builtins.bytearray")
_MAX_BYTES = 1 << 20
_SHOWN_BYTES = 20
_STOP = "STOP"


def reason_unread(path: Path, error: Exception) -> str:
    """What is wrong with a file, to follow its name; nothing of it is executed.

    Args:
        path: The file.
        error: What ``torch.load`` for weights only has raised.
    """
    said = str(error)
    for name, reason in _OTHER_FORMATS.items():
        if name in said:
            return reason
    data = _pickle_in(path)
    found = _ASKED.search(said)
    asked = found[1] if found is not None else _asked_for(data)
    if asked is not None:
        return (
            f"asks for {asked}, which could run code: of pickled weights only tensors are read; if you trust "
            "it, convert it: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER) writes "
            "model.safetensors"
        )
    if data[:1] == b"\x80" and data[1:2] not in (b"", bytes([_PROTOCOL])):
        return f"is a pickle of protocol {data[1]}; tensors are read of protocol {_PROTOCOL}, which torch.save writes"
    return f"is no file of pickled tensors or is damaged: {_cause(said, error, data)}"


def _cause(said: str, error: Exception, data: bytes) -> str:
    if isinstance(error, OSError | MemoryError):
        return said or type(error).__name__
    if not data:
        return "it is empty"
    if data[:1] != b"\x80" and not data.startswith(b"PK"):
        return f"it begins with {data[:_SHOWN_BYTES]!r}"
    reason = _REASON.search(said)
    first = reason[1] if reason is not None else said.strip().split("\n")[0].split(". ")[0]
    # The unpickler looks up opcodes and stored values by number.
    return type(error).__name__ if not first or isinstance(error, LookupError) else first


def _pickle_in(path: Path) -> bytes:
    """The first bytes of a file's pickle, of an archive those of what says how its tensors are made."""
    try:
        with path.open("rb") as file:
            head = file.read(_MAX_BYTES)
        if not head.startswith(b"PK"):
            return head
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as member:
                return member.read(_MAX_BYTES)
    except (OSError, RuntimeError, NotImplementedError, StopIteration, zipfile.BadZipFile):
        return b"PK"


def _asked_for(data: bytes) -> str | None:
    """The first thing besides tensors that a pickle asks for; None if there is none, or the bytes are no pickle."""
    names = _names_in(data)
    if data[:1] != b"\x80" and names[-1:] != [_STOP]:
        return None  # A text may hold what looks like the beginning of a pickle.
    return next((name for name in names if name != _STOP and not name.startswith(_OF_TENSORS)), None)


def _names_in(data: bytes) -> list[str]:
    """Names that a pickle looks up, in its order; the last one is ``STOP`` if the pickle is whole."""
    names: list[str] = []
    with suppress(ValueError, IndexError):  # Where it is cut off or no pickle; the names before that stay.
        names.extend(_looked_up(data))
    return names


def _looked_up(data: bytes) -> Iterator[str]:
    texts: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif opcode.name == _STOP:
            yield _STOP
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else ""
        elif "PUT" in opcode.name and isinstance(argument, int):
            memo[argument] = texts[-1] if texts else ""
        elif "GET" in opcode.name and isinstance(argument, int):
            texts.append(memo.get(argument, ""))
        elif isinstance(argument, str):
            texts.append(argument)
