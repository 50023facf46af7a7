"""Host profiles: what each operation costs on a machine, and how well that is known."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.quantities import Strict
from mmusim.config.cost import CostSpec, distribution
from mmusim.config.measured import Certainty, Interference, Measurement, hits_for
from mmusim.costs.distributions import Distribution

COSTS: Final = {
    "t_hit_2M": "guest access through a 2 MiB mapping, from issue to completion",
    "t_write": "what a write takes longer than a read",
    "t_walk_4K": "what the same access takes longer through a 4 KiB mapping",
    "t_pass": "once a vCPU and phase: loop set-up, timer, entry from user space",
    "c_exit": "VM exit and dispatch",
    "c_entry": "VM entry",
    "c_fault_slow": "slow page fault uncontended, in all, exit and entry included",
    "c_fault_fast": "fault fixed by fast_page_fault, in all, exit and entry included",
    "c_lock_section": "the part of c_fault_slow that is spent holding mmu_lock",
    "c_lock_handoff": "pass mmu_lock on to the next holder, times log2(1 + waiters)",
    "c_lock_count": "own the cache line of a rwlock's reader count, to enter or to leave",
    "c_alloc_table": "get, zero and link a page table, under mmu_lock",
    "c_zap_large": "zap one large leaf, rmap included",
    "c_split_2M": "replace a 2 MiB leaf by a table of 512 small ones, each entered in its rmap",
    "c_tdp_split_2M": "the same in the TDP MMU, which has no rmap",
    "c_split_1G": "replace a 1 GiB leaf by a table of 512 of 2 MiB",
    "c_flush_init": "start a remote TLB flush",
    "c_flush_target": "per vCPU in guest mode: send and collect its acknowledgement",
    "c_ack": "what a kicked vCPU takes beyond c_exit: the interrupt's way, interrupts that are off",
    "c_refill_2M": "walk again for one 2 MiB mapping that was in use when the TLB was flushed",
    "c_refill_4K": "the same for one of 4 KiB",
    "c_tlb_flush": "flush a vCPU's own TLB before it enters the guest",
    "c_walk_guest": "walk the guest's page tables in software, for one fault of the soft MMU",
    "c_sp_shadow": "make or zap an indirect shadow page, its rmap chain apart",
    "c_sp_chain": "visit one entry of an rmap chain",
    "c_emulate": "decode and emulate one store, or find that it cannot be done",
    "c_srcu": "slots_lock and grace period of a change of a memory slot",
    "c_scan": "visit one spte in a walk over whole tables",
    "c_head": "visit one rmap head",
    "c_tdp_visit": "visit one present entry of a tree in the TDP MMU",
    "c_wclear": "take W of one leaf through its rmap, or D when a get or clear does so",
    "c_tdp_wclear": "take W or D of one leaf in the TDP MMU",
    "c_dclear": "take D of one small leaf in a walk over all rmap heads, when logging is enabled",
    "c_large_clear": "walk down to a large leaf for the bits of 2 MiB, in the TDP MMU",
    "c_collapse": "zap one small leaf through the rmap when logging is switched off",
    "c_tdp_collapse": "the same in the TDP MMU",
    "c_yield": "drop mmu_lock in the middle of a walk and ask for it again",
    "c_resched": "let another task have the processor, and get it back",
    "c_get_floor": "what every log ioctl costs",
    "c_word": "test one word of the bitmap",
    "c_copy": "copy one MiB of bitmap between kernel and user space",
    "c_memset": "fill one MiB of bitmap",
    "c_pml_log": "what a write takes longer when it sets D and the processor logs it",
    "c_pml_drain": "carry one entry of a PML buffer into the log",
    "c_kick": "kick one vCPU out of the guest without waiting for it",
    "c_ring_exit": "exit to user space because a dirty ring is full, and back",
    "c_ring_harvest": "read one entry of a dirty ring in user space",
    "c_ring_mask": "one mask of a ring reset: take and release mmu_lock, look up the slot",
    "c_user_exit": "go on from a VM exit to the VMM in user space, and back",
    "c_zero_check": "find out whether a page is all zeros before it is sent",
    "c_send_page": "copy a page into a channel of a migration, the network apart",
    "c_stop_vcpus": "stop the vCPUs for the switch-over and start them at the destination",
    "c_device_state": "save, send and load what is not memory",
    "c_postcopy_fault": "fault on a page that is not there: userfaultfd, request, network, wake-up",
}
"""Every cost the model pays, by its name. Names follow the tables of the domain reference (H)."""

Provenance = Literal["measured", "published", "derived", "assumed"]


class Cost(Strict):
    """One cost of a host and where the value comes from."""

    value: CostSpec
    provenance: Provenance
    note: Annotated[str, Field(min_length=1, description="source or reasoning")]
    certainty: Certainty | None = None
    """How sure it is, if it was measured."""
    ks: float | None = None
    """Largest distance between the distribution functions of the samples and of the value."""

    def distribution(self) -> Distribution:
        """Return the distribution in nanoseconds."""
        return distribution(self.value)


class HostProfile(Strict):
    """All costs of one machine."""

    name: str
    describes: str
    source: str
    costs: dict[str, Cost]
    interference: list[Interference] = Field(default_factory=list)
    """What else this host does on the vCPUs' processors; experiments may add to it."""
    measurement: Measurement | None = None

    @field_validator("costs")
    @classmethod
    def _complete(cls, costs: dict[str, Cost]) -> dict[str, Cost]:
        for name in costs:
            if name not in COSTS:
                raise ValueError(f"{name!r} is not a cost of the model; {nearest(name, COSTS)}")
        missing = [name for name in COSTS if name not in costs]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}; give every cost a value")
        return costs

    def distributions(self, order: str, memory: int) -> dict[str, Distribution]:
        """Return every cost for guests that touch `memory` bytes a vCPU in this order.

        Where the host's hits were measured by order and footprint, those of the nearest are taken.
        """
        costs = {name: cost.distribution() for name, cost in self.costs.items()}
        hits = self.measurement.hits if self.measurement else []
        near = hits_for(hits, order, memory)
        if near is not None:
            costs["t_hit_2M"] = distribution(near.t_hit_2M)
            costs["t_walk_4K"] = distribution(near.t_walk_4K)
        return costs


def shipped_profiles() -> dict[str, Path]:
    """Return the profiles that come with mmusim, by name."""
    folder = Path(str(files("mmusim.costs.profiles")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_profile(name: str, folder: Path = Path(), source: str = "host") -> HostProfile:
    """Load a shipped profile by name, or a TOML file by its path relative to `folder`.

    `source` is the file that asks for it, for messages.

    Raises
    ------
    ConfigError
        If there is no such profile, or with all that is wrong in the file.
    """
    from mmusim.config.load import load

    shipped = shipped_profiles()
    if name in shipped:
        return load(shipped[name], HostProfile)
    if name.endswith(".toml"):
        return load(folder / name, HostProfile)
    raise ConfigError.of(
        source, "host.profile", name, "is neither a shipped profile nor a .toml file",
        nearest(name, shipped),
    )  # fmt: skip
