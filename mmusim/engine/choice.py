"""Which engine simulates a run: the SimPy processes, or the same compiled."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final

from mmusim.base.errors import ConfigError

AUTO: Final = "auto"
SIMPY: Final = "simpy"
COMPILED: Final = "compiled"
ENGINES: Final = (AUTO, SIMPY, COMPILED)
VARIABLE: Final = "MMUSIM_ENGINE"


def resolve(engine: str = AUTO) -> str:
    """Return the engine that a name stands for on this machine: ``simpy`` or ``compiled``.

    ``auto`` is what the environment variable ``MMUSIM_ENGINE`` says, else the compiled one where
    Numba is installed. Both give the same Trace.

    Raises
    ------
    ConfigError
        If there is no engine of this name, or it needs what is not installed.
    """
    if engine == AUTO:
        engine = os.environ.get(VARIABLE, AUTO)
    if engine not in ENGINES:
        raise ConfigError.of(
            "--engine", "", engine, "is no engine", f"choose one of {', '.join(ENGINES)}"
        )
    has_numba = find_spec("numba") is not None
    if engine == COMPILED and not has_numba:
        raise ConfigError.of(
            "--engine", "", engine, "needs Numba, which is not installed",
            "install mmusim[compiled], or choose simpy",
        )  # fmt: skip
    if engine == AUTO:
        return COMPILED if has_numba else SIMPY
    return engine


def prepare(engine: str = AUTO) -> str:
    """Have an engine ready and return its name, as :func:`resolve` does.

    The compiled one is compiled when it is first used on a machine, and after each change of the
    model's code. Do this before starting processes that use it, or each does it by itself.
    """
    engine = resolve(engine)
    if engine == COMPILED:
        from mmusim.engine.code_cache import is_cached

        if not is_cached():
            import mmusim.engine.compiled.loop  # noqa: F401
    return engine
