"""The driver `dirty-log-perf-test`: the phases and options of KVM's selftest of that name."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import Share, Strict
from mmusim.config.driver import Driver, ManualProtect, RingSize
from mmusim.policies import Reporting

DIRTY: Final = "iteration {} dirty memory"


class PerfTest(Strict):
    """Populate, enable, dirty and ask for `iterations` rounds, disable.

    The selftest's options `-v`, `-b`, `-s` and `-n` are the guest's vcpus, memory (of all vCPUs
    together), backing and mmu. Source: ``tools/testing/selftests/kvm/dirty_log_perf_test.c``.
    """

    kind: Literal["dirty-log-perf-test"]
    iterations: Annotated[int, Field(ge=1, le=1000)] = 2
    """`-i`: rounds of dirtying memory and asking for the log."""
    write_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """`-w`: how many of the pages a round writes; it reads the others."""
    random_access: bool = False
    """`-a`: pages in random order."""
    overlap_memory: bool = False
    """`-o`: every vCPU touches the memory of all."""
    run_vcpus_while_disabling: bool = False
    """`-e`: one more round goes on while logging is switched off."""
    manual_protect: ManualProtect = None
    """`-g` is "off"; by default the policy's own."""
    dirty_ring_size: RingSize = 4096
    """Entries of each vCPU's dirty ring, where the policy has rings."""
    sample: Annotated[Share, Field(gt=0)] = 1.0
    """Touch only the first part of each vCPU's memory; log operations still cover all of it."""
    measure: str = DIRTY.format(1)
    """The guest phase whose time and latencies are compared."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self.script(Reporting.GET_CLEARS)
        return self

    def script(self, reporting: Reporting) -> Driver:
        """Return the phases for a way of reporting, named as the selftest prints them."""
        touch: dict[str, Any] = {
            "do": "touch", "pages": f"{self.sample * 100:.15g}%", "overlap": self.overlap_memory,
        }  # fmt: skip
        dirtying = touch | {"writes": f"{self.write_percent}%"}
        if self.random_access:
            dirtying["order"] = "random"
        phases: list[dict[str, Any]] = [
            touch | {"name": "populate memory"},
            {"do": "enable-logging", "name": "enabling dirty logging"},
        ]
        for number in range(1, self.iterations + 1):
            phases.append(dirtying | {"name": DIRTY.format(number)})
            get = "harvest-ring" if reporting is Reporting.DIRTY_RING else "get-dirty-log"
            phases.append({"do": get, "name": f"iteration {number} get dirty log"})
            if reporting in (Reporting.MANUAL_CLEAR, Reporting.ALL_SET):
                name = f"iteration {number} clear dirty log"
                phases.append({"do": "clear-dirty-log", "name": name})
        running = self.run_vcpus_while_disabling
        if running:
            phases.append(dirtying | {"background": True, "repeat": True})
        phases.append({"do": "disable-logging", "name": "disabling dirty logging"})
        if running:
            phases.append({"do": "wait"})
        return Driver.model_validate(
            {
                "manual_protect": self.manual_protect,
                "dirty-ring-size": self.dirty_ring_size,
                "measure": self.measure,
                "phases": phases,
            }
        )
