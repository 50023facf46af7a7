"""Verbs are found, not listed: a file in a folder below this one is a verb of that folder's group.

The help of the program is read from the files' docstrings without importing them, so that
``mmusim --help`` and the completion of verbs stay quick; a verb is imported when it is called.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}
RENAMED: Final = {"--cell": "--setting", "--out": "--to"}
"""Old name of an option -> the new one, in every verb that has the new one and not the old one. A
verb has further ones in a mapping of this name.
"""


class Verb(NamedTuple):
    """One verb: its name, the module that holds it, and the first line of its help."""

    name: str
    module: str
    about: str
    folder: Path | None = None  # of a verb that has verbs of its own


def verbs_in(folder: Path, package: str) -> dict[str, Verb]:
    """Return the verbs of a folder, by name: a module holds the function of its own name."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        name = path.stem.strip("_").replace("_", "-")
        if path.suffix == ".py":
            about = _help_of(path, path.stem)
            found[name] = Verb(name, f"{package}.{path.stem}", about)
        elif (path / "__init__.py").exists():
            about = title_of(path)
            found[name] = Verb(name, f"{package}.{path.name}", about, path)
    return found


def title_of(folder: Path) -> str:
    """Return the title of a group: the docstring of its folder, which ``python -OO`` keeps too."""
    return _docstring(folder / "__init__.py")


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


def _help_of(path: Path, function: str) -> str:
    """Return the first line of the docstring of a function, without importing its module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
    raise AssertionError(f"{path} has no function {function}")


class _Loaded(MutableMapping[str, Any]):
    """The commands of a group by name, each imported at its first use."""

    def __init__(self, verbs: dict[str, Verb]) -> None:
        self._verbs = verbs
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = command_of(self._verbs[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._verbs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)


def command_of(verb: Verb) -> Any:
    """Import a verb and return its command."""
    if verb.folder is not None:
        group = type(
            "Group", (Verbs,), {"groups": {"Commands": verbs_in(verb.folder, verb.module)}}
        )
        app = typer.Typer(
            cls=group, help=verb.about, no_args_is_help=True, add_completion=False,
            rich_markup_mode=None, context_settings=HELP_OPTIONS,
        )  # fmt: skip
        app.callback()(lambda: None)
    else:
        module = importlib.import_module(verb.module)
        app = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
            context_settings=HELP_OPTIONS,
        )  # fmt: skip
        renamed = getattr(module, "RENAMED", {})
        kind = type("Command", (VerbCommand,), {"renamed": renamed})
        function = getattr(module, verb.module.rpartition(".")[2])
        app.command(verb.name, cls=kind, help=help_text(function))(function)
    made: Any = typer.main.get_command(app)
    made.name = verb.name
    return made


def help_text(function: Any) -> str:
    """Return the docstring of a verb without the sections for people who call it from Python."""
    return re.split(r"^\w+\n-+$", inspect.getdoc(function) or "", maxsplit=1, flags=re.M)[0].strip()


class VerbCommand(TyperCommand):
    """A verb. Old spellings of its options are taken and the new ones named."""

    renamed: ClassVar[dict[str, str]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; options may have old names."""
        has = {name for param in self.params for name in param.opts}
        renamed = {old: new for old, new in RENAMED.items() if new in has and old not in has}
        renamed |= self.renamed
        before = args.index("--") if "--" in args else len(args)
        for number, text in enumerate(args[:before]):
            name, equals, value = text.partition("=")
            new = renamed.get(name)
            if new is not None:
                args[number] = f"{new}{equals}{value}"
                if not ctx.resilient_parsing:
                    typer.echo(f"mmusim: notice: {name} is called {new} now", err=True)
        return super().parse_args(ctx, args)


class Verbs(TyperGroup):
    """A group of verbs, shown under the titles of `groups`."""

    groups: ClassVar[dict[str, dict[str, Verb]]]

    def __init__(self, **options: Any) -> None:
        """Take the verbs of every title."""
        super().__init__(**options)
        self._completing = False
        self.commands = _Loaded(self.all_verbs())

    @classmethod
    def all_verbs(cls) -> dict[str, Verb]:
        """Return the verbs of all groups by name, in the order of the help."""
        return {name: verb for verbs in cls.groups.values() for name, verb in verbs.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs under their titles; nothing is imported."""
        widest = max(len(name) for name in self.commands)
        for title, verbs in self.groups.items():
            with formatter.section(title):
                formatter.write_dl([(f"{v.name:{widest}}", v.about) for v in verbs.values()])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; during completion, only its help."""
        verb = self.all_verbs().get(cmd_name)
        if self._completing and verb is not None:
            return TyperCommand(verb.name, help=verb.about, rich_markup_mode=None)
        return self.commands.get(cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete the name of a verb; nothing is imported."""
        self._completing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._completing = False
