"""The command line. Importing it is cheap: whatever a command needs is imported when the command runs."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from pathlib import Path

from sim.cli.interrupts import INTERRUPTED, Interrupts
from sim.core.gc_tuning import relax_gc


def main() -> None:
    """Entry point of ``specran``: exit code 0 done, 2 the input is wrong, 1 it failed, 130 it was interrupted."""
    interrupts = Interrupts()
    relax_gc()  # What a command makes mostly stays until it ends.
    try:
        code = _main(sys.argv[1:])
        interrupts.end()
    except KeyboardInterrupt:
        code = INTERRUPTED
        interrupts.end()
    if code == INTERRUPTED:
        _tell_interrupted(sys.argv[1:])  # Once: from its end on no interrupt is raised again.
    sys.exit(code)


def _main(arguments: list[str]) -> int:
    # No pydantic plugin is used, and the search for them reads about every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal without the characters that a name or unit has shows their escapes.
            stream.reconfigure(errors="backslashreplace")
    try:
        result = _run(arguments)
        sys.stdout.flush()
        return result
    except BrokenPipeError:
        # The reader of the pipe has closed it; nothing is to be flushed into it when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    import typer

    from sim.cli.app import build
    from sim.core.errors import InputError, RunError
    from sim.core.user_code import exits_are_failures

    command = typer.main.get_command(build())
    try:
        with exits_are_failures():  # Typer's own exits are returned here.
            result = command.main(arguments, prog_name="specran", standalone_mode=False)
        return result if isinstance(result, int) else 0  # Typer takes an interrupt for an exit with 130.
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        message = error.format_message()
        # A group that is given no command answers with its help.
        return _fail(2, message if message.startswith("Usage:") else f"specran: {message} (see specran --help)")
    except InputError as error:
        return _fail(2, f"specran: {error}")
    except RunError as error:
        return _fail(1, f"specran: {error}")
    except BrokenPipeError:
        raise
    except OSError as error:
        # A disk that is full, a folder that is gone: whatever no command has reported itself.
        return _fail_by_system(error)


def _fail(code: int, message: str) -> int:
    from sim.cli.terminal import inert

    print(inert(message), file=sys.stderr)
    return code


def _fail_by_system(error: OSError) -> int:
    """A file that cannot be used; 2 where none can be made at its place, or part of its path is a file."""
    from sim.core.files import takes_no_files

    place = _place_of(error)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return _fail(2, f"specran: cannot write to {place}: part of that path is a file, not a folder")
    if error.filename and takes_no_files(Path(str(error.filename)).parent):
        reason = "no file can be made there" if error.errno == errno.ENOENT else error.strerror or error
        return _fail(2, f"specran: cannot write to {place}: {reason}")
    return _fail(1, f"specran: {place}: {error.strerror or error}")


def _place_of(error: OSError) -> str:
    """The file that could not be used; of one in the cache, which variable names the folder, too."""
    from sim.core.files import cache_folder

    name = str(error.filename or "files")
    folder = str(cache_folder())
    if name == folder or name.startswith(folder + os.sep):
        return f"{name}, in the folder of tapes and timings that SPECRAN_CACHE names"
    return name


def _tell_interrupted(arguments: list[str]) -> None:
    message = "specran: interrupted"
    command = [argument for argument in arguments if not argument.startswith("-")][:1]
    if command == ["sweep"]:
        again = shlex.join(["specran", *arguments, *([] if "--resume" in arguments else ["--resume"])])
        message += f"; finished points are kept, go on with: {again}"
    elif command == ["run"]:
        message += "; nothing of this run was written, what was decoded stays on tape"
    elif command == ["tape"]:
        message += "; what was finished is kept"
    print(message, file=sys.stderr)
