"""The kinds of engine: a protocol with two implementations, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from mmusim.base.errors import ConfigError
from mmusim.engine.choice import AUTO, SIMPY, resolve
from mmusim.engine.simpy_kind import SimpyKind
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import Plan, Program
from mmusim.trace.records import Probe

ONLY_SIMPY: Final = ("accessed", "copied", "switched")
"""Hooks of probes that the compiled engine does not have."""


def _has(probe: Probe, hook: str) -> bool:
    """Tell whether a probe does anything in a hook."""
    return getattr(type(probe), hook) is not getattr(Probe, hook) or hook in vars(probe)


class Kind(Protocol):
    """The operations in which engines differ; everything else is common to them."""

    def make_vm(self, plan: Plan, run_limit: int, probe: Probe | None) -> Vm:
        """Return an empty VM; `run_limit` bounds how many accesses are one event, `probe` is told
        of events.
        """

    def launch(self, vm: Any, v: Any, program: Program, laps: Iterable[Program]) -> Any:
        """Let a vCPU run a program, then those that `laps` yields; return its SimPy process."""

    def interfere(self, vm: Any, v: Any, source: int) -> None:
        """Let interference `source`, by number, act on the program that a vCPU runs now."""

    def events(self, vm: Any) -> int:
        """Return how many events there were, or 0 if the engine does not count them."""


def kind_of(engine: str, probe: Probe | None) -> Kind:
    """Return the kind of engine that a name stands for.

    Raises
    ------
    ConfigError
        If there is no such engine on this machine, or it does not support the run.
    """
    hooks = [] if probe is None else [hook for hook in ONLY_SIMPY if _has(probe, hook)]
    if (engine == AUTO and hooks) or resolve(engine) == SIMPY:
        return SimpyKind()
    if hooks:
        raise ConfigError.of(
            "--engine", "", engine, f"does not tell a probe what is {' or '.join(hooks)}",
            "choose simpy, or auto",
        )  # fmt: skip
    from mmusim.engine.compiled.kind import CompiledKind  # needs Numba

    return CompiledKind()
