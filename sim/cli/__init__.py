"""The command line. Importing it is cheap: whatever a command needs is imported when the command runs."""

from __future__ import annotations

import os
import sys

# What shells say of a command that an interrupt has ended.
_INTERRUPTED = 130


def main() -> None:
    """Entry point of ``specran``: exit code 0 done, 2 the input is wrong, 1 it failed."""
    try:
        sys.exit(_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(_interrupted())


def _main(arguments: list[str]) -> int:
    # No pydantic plugin is used, and the search for them reads about every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    import typer

    from sim.cli.app import build
    from sim.core.errors import InputError, RunError

    command = typer.main.get_command(build())
    try:
        result = command.main(arguments, prog_name="specran", standalone_mode=False)
        # Typer takes an interrupt for an exit with this code, and returns it.
        if result == _INTERRUPTED:
            return _interrupted()
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except typer.TyperException as error:
        message = error.format_message()
        # A group that is given no command answers with its help.
        print(message if message.startswith("Usage:") else f"specran: {message} (see specran --help)", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"specran: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"specran: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        # A cache that cannot be written, a disk that is full: whatever no command has reported itself.
        print(f"specran: {error.filename or 'files'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _interrupted() -> int:
    print("specran: interrupted; what was finished is kept", file=sys.stderr)
    return _INTERRUPTED
