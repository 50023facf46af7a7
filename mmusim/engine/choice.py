"""The choice of the engine that simulates a run: SimPy's or the compiled one."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Final

from mmusim.base.errors import ConfigError

AUTO: Final = "auto"
SIMPY: Final = "simpy"
COMPILED: Final = "compiled"
ENGINES: Final = (AUTO, SIMPY, COMPILED)
VARIABLE: Final = "MMUSIM_ENGINE"


def resolve(engine: str = AUTO) -> str:
    """Return the engine that a name stands for on this machine: ``simpy`` or ``compiled``.

    ``auto`` takes the engine that the environment variable ``MMUSIM_ENGINE`` names. If it is not
    set, ``auto`` takes the compiled engine where Numba can be imported. Both give the same Trace.

    Raises
    ------
    ConfigError
        If there is not an engine of this name, or a package that it needs is not installed.
    """
    source, key = "--engine", ""
    if engine == AUTO and VARIABLE in os.environ:
        engine = os.environ[VARIABLE]
        source, key = "environment", VARIABLE
    if engine not in ENGINES:
        raise ConfigError.of(
            source, key, engine, "is not an engine", f"choose one of {', '.join(ENGINES)}"
        )
    if engine == SIMPY:
        return engine
    trouble = numba_trouble()
    if engine == COMPILED and trouble:
        raise ConfigError.of(
            source, key, engine, f"needs Numba, which {trouble}",
            "install mmusim[compiled], or choose simpy",
        )  # fmt: skip
    return SIMPY if trouble else COMPILED


@cache
def numba_trouble() -> str:
    """Say why Numba cannot be used, as the end of a sentence; empty if it can.

    Numba may be installed and fail to import, for example beside a NumPy that is too new for it.
    """
    try:
        import_module("numba")
    except ModuleNotFoundError as error:
        if error.name == "numba":
            return "is not installed"
        return f"cannot be imported ({error})"
    except Exception as error:  # whatever its modules run into
        return f"cannot be imported ({type(error).__name__}: {error})"
    return ""


def prepare(engine: str = AUTO) -> str:
    """Prepare an engine and return its name, as :func:`resolve` does.

    The compiled engine is compiled when it is first used on a machine, and after each change of the
    model's code. Call this before starting processes that use it, or each of them compiles it.
    """
    engine = resolve(engine)
    if engine == COMPILED:
        from mmusim.engine.code_cache import is_cached

        if not is_cached():
            import mmusim.engine.compiled.loop  # noqa: F401
    return engine
