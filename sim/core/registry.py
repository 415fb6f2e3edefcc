"""Names that YAML may use: a registry per kind, filled by the files of one package, open to a user's own files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from pydantic import ConfigDict

from sim.core.errors import InputError, unknown_name_message
from sim.core.settings import Settings
from sim.core.user_code import UserCodeError, find_module, load_module, user_code_may_run

T = TypeVar("T")


class NoSettings(Settings):
    """For entries that have nothing to set."""


class UncheckedSettings(Settings):
    """For entries of a user's own whose module was not loaded: which keys they have is not known."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class RegistryEntry(Generic[T]):
    """One thing that has a name.

    Attributes:
        name: What YAML calls it.
        make: The class or function behind the name.
        settings: Its keys in YAML.
        traits: Further properties, by the keyword given at registration.
        loaded: False for one of a user's own whose module was not to be imported: nothing but its name is known.
    """

    name: str
    make: T
    settings: type[Settings]
    traits: dict[str, Any] = field(default_factory=dict)
    loaded: bool = True

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (getattr(self.make, "__doc__", None) or "").strip().split("\n")[0]


class Registry(Generic[T]):
    """All entries of one kind.

    Args:
        kind: What an entry is, for messages: ``protocol``.
        package: Dotted package whose modules register the built-in entries, one file each.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, RegistryEntry[T]] = {}
        self._loaded = False

    def register(self, name: str, settings: type[Settings] = NoSettings, **traits: Any) -> Callable[[T], T]:
        """Decorator that gives a class or function a name.

        Raises:
            ValueError: The name is taken by something else.
        """

        def enter(make: T) -> T:
            entry = RegistryEntry(name, make, settings, traits)
            taken = self._entries.get(name)
            if taken is not None and getattr(taken.make, "__module__", None) != getattr(make, "__module__", None):
                raise ValueError(
                    f"{self.kind} name {name!r} is taken by {getattr(taken.make, '__module__', taken.make)}"
                )
            self._entries[name] = entry
            return make

        return enter

    @contextmanager
    def restored_afterwards(self) -> Iterator[None]:
        """Forget at the end of the block what was registered in it; all built-in entries stay."""
        self._load()
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def __iter__(self) -> Iterator[RegistryEntry[T]]:
        self._load()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return [entry.name for entry in self]

    def find(self, name: str) -> RegistryEntry[T]:
        """Look a name up; ``package.module:Name`` imports a user's own file.

        Raises:
            InputError: No such name; the message lists the valid ones.
        """
        if name not in self._entries and not self._load_one(name):
            self._load()
        if name in self._entries:
            return self._entries[name]
        if ":" in name:
            return self._find_foreign(name)
        raise InputError(unknown_name_message(self.kind, name, self._entries))

    def _load_one(self, name: str) -> bool:
        """Import the file that bears the name, as most do, and leave the others for when they are asked for."""
        if not name.isidentifier():
            return False
        try:
            importlib.import_module(f"{self.package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{self.package}.{name}":
                raise
        return name in self._entries

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            self._loaded = True

    def _find_foreign(self, name: str) -> RegistryEntry[T]:
        module_name, _, attribute = name.partition(":")
        try:
            if not user_code_may_run():
                find_module(module_name)
                return RegistryEntry(name, cast(T, _not_loaded), UncheckedSettings, loaded=False)
            module = load_module(module_name)
        except UserCodeError as error:
            raise InputError(f"cannot load {self.kind} {name!r}: {error}") from error
        make = getattr(module, attribute, None)
        for entry in self._entries.values():
            if entry.make is make:
                # Keep the full name: a reader of a file, or another process, needs the module.
                return replace(entry, name=name)
        if make is not None:
            raise InputError(f"{name!r} was imported but is not registered as a {self.kind}")
        registered = [entry.make for entry in self._entries.values()]
        own = [key for key, value in vars(module).items() if any(value is make for make in registered)]
        if not own:
            raise InputError(f"cannot load {self.kind} {name!r}: module {module_name!r} registers no {self.kind}")
        raise InputError(f"cannot load {self.kind} {name!r}: {unknown_name_message('name', attribute, own)}")


def _not_loaded(*_: Any) -> Any:
    raise RuntimeError("the module of this entry was not loaded")
