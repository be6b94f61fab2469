"""`python -m scripts.verbs.outline MODULE ARGUMENT…`: reads a program's arguments, and ends.

A training script imports torch or scikit-learn before it reads them: seconds, and packages that may
not be installed. Its help, and what it says to a wrong option, need none of it, so everything
outside the standard library and `training` is an empty stand-in here. Ends with 0 or 2; with
anything else, it could not tell. `--flags` before the module prints its flags as JSON instead.
"""

import argparse
import importlib.abc
import importlib.machinery
import json
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

REAL = {*sys.stdlib_module_names, "training"}


class _Anything(type):
    """A class that has every attribute, and is whatever it is used as."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn

    def __getitem__(cls, _key: object) -> Any:
        return cls

    def __or__(cls, _other: object) -> Any:
        return cls

    __ror__ = __or__


class _StandIn(Exception, metaclass=_Anything):
    """An object of any kind: a base class, a decorator's result, an argument."""

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        return arguments[0] if arguments else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return name if name.isupper() else _StandIn  # constants are mostly names of files


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an empty module of every name that is not REAL."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in REAL:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = module.__name__


def _refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """In one sentence, as every verb."""
    print(f"{message}. See: ./{parser.prog} --help", file=sys.stderr)
    sys.exit(MISUSED)


def _done(parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
    """Nothing is computed once they are read."""
    _read(parser, *arguments)
    sys.exit(0)


def _tell(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
    """Each flag with its help, whether it stands alone, and what it may be where that is known."""
    formatter = parser._get_formatter()  # noqa: SLF001  the one that fills in defaults
    flags = [
        {
            "flag": action.option_strings[-1].removeprefix("--"),
            "help": formatter._expand_help(action) if action.help else "",  # noqa: SLF001  same
            "alone": action.nargs == 0,
            "required": action.required,
            "choices": [str(choice) for choice in action.choices or ()],
        }
        for action in parser._actions  # noqa: SLF001  there is no other list of them
        if action.option_strings and action.dest != "help"
    ]
    print(json.dumps(flags))
    sys.exit(0)


MISUSED = 2
_read = argparse.ArgumentParser.parse_args

if __name__ == "__main__":
    argparse.ArgumentParser.error = _refuse  # type: ignore[method-assign,assignment]  # this process's
    sys.argv = sys.argv[1:]
    telling = sys.argv[0] == "--flags"
    sys.argv = sys.argv[telling:]
    last = _tell if telling else _done
    argparse.ArgumentParser.parse_args = last  # type: ignore[method-assign,assignment]  # same
    sys.meta_path.insert(0, _StandIns())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
