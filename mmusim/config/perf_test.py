"""The driver `dirty-log-perf-test`: the phases and options of KVM's selftest of that name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Share, Strict, shown
from mmusim.base.units import REGION, show_bytes
from mmusim.config.driver import Driver, ManualProtect, RingSize
from mmusim.config.windows import Window
from mmusim.policies import Reporting

DIRTY: Final = "iteration {} dirty memory"


def unequal_slices(vcpus: int, memory: int) -> Iterator[MisfitError]:
    """Yield the complaint about memory that the selftest cannot part among its vCPUs alike."""
    if memory // REGION % vcpus:
        size = max(1, round(memory / REGION / vcpus)) * vcpus * REGION
        yield MisfitError(
            "vm.memory", show_bytes(memory),
            f"cannot be parted among {vcpus} vCPUs in whole 2 MiB regions, as the test parts it",
            f'write "{show_bytes(size)}"',
        )  # fmt: skip


class PerfTest(Strict):
    """Populate, enable, dirty and read for `iterations` rounds, disable.

    The selftest's options `-v`, `-b`, `-s` and `-n` are the guest's vcpus, memory (of all vCPUs
    together), backing and mmu. Source: ``tools/testing/selftests/kvm/dirty_log_perf_test.c``.
    """

    kind: Annotated[Literal["dirty-log-perf-test"], shown("dirty-log-perf-test")]
    """The kind of driver."""
    iterations: Annotated[int, Field(ge=1, le=1000), shown(3, "rounds")] = 2
    """`-i`: rounds of dirtying memory and reading the log."""
    write_percent: Annotated[int, Field(ge=0, le=100), shown(20, "percent")] = 100
    """`-w`: percentage of the accesses that are writes. The others are reads."""
    random_access: Annotated[bool, shown(True)] = False
    """`-a`: pages in random order."""
    overlap_memory: Annotated[bool, shown(True)] = False
    """`-o`: each vCPU touches the memory of all vCPUs."""
    run_vcpus_while_disabling: Annotated[bool, shown(True)] = False
    """`-e`: one more round runs while logging is disabled."""
    manual_protect: Annotated[ManualProtect, shown("off")] = None
    """`-g` is `off`. Without it, the policy decides."""
    dirty_ring_size: Annotated[RingSize, shown(4096, "entries")] = 4096
    """Entries of the dirty ring of each vCPU, for policies with rings; a power of two. An entry
    takes 16 bytes.
    """
    sample: Annotated[Share, Field(gt=0), shown("10%")] = 1.0
    """Share of each vCPU's memory that the test touches: the first part. Log operations cover all
    memory.
    """
    windows: Annotated[
        list[Window],
        shown([{"name": "enabling", "from": "enable-logging", "to": "end of enable-logging"}]),
    ] = Field(default_factory=list)
    """Stretches of the run that are measured, as in a script."""
    measure: Annotated[str, shown("iteration 2 dirty memory")] = DIRTY.format(1)
    """The window or guest phase whose time and latencies are compared."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Check that some way of reporting has the windows; policies are checked one by one."""
        refused = []
        for reporting in (Reporting.GET_CLEARS, Reporting.ALL_SET, Reporting.DIRTY_RING):
            try:
                self.script(reporting)
                return self
            except MisfitError as error:
                refused.append(error)
        raise refused[0]

    def script(self, reporting: Reporting) -> Driver:
        """Return the phases for a way of reporting, named as the selftest prints them.

        Raises
        ------
        MisfitError
            If a window or what is measured does not exist with it.
        """
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
        try:
            return Driver.model_validate(
                {
                    "manual_protect": self.manual_protect,
                    "dirty-ring-size": self.dirty_ring_size,
                    "windows": self.windows,
                    "measure": self.measure,
                    "phases": phases,
                }
            )
        except ValidationError as error:
            (found, *_) = error.errors()
            said = str(found.get("ctx", {}).get("error", found["msg"]))
            rule, _, remedy = said.partition("; ")
            raise MisfitError("driver", None, f"{rule} ({reporting.value})", remedy) from None
