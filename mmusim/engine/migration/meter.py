"""The share of each second of a migration in which the guest ran."""

from __future__ import annotations

from typing import Final

from mmusim.base.units import NS
from mmusim.engine.state.vm import Steps, Vcpu, Vm

PERIOD_NS: Final = NS["s"]


class GuestMeter:
    """Reads once a second how long the vCPUs were outside the guest. It changes nothing."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu]) -> None:
        """Begin a second now."""
        self._vm, self._vcpus = vm, vcpus
        self._at_ns, self._lost_ns = vm.now, self._lost()
        self.on = bool(vcpus)
        self.shares: list[tuple[int, float]] = []
        """Of each second, its length in ns and the share of it that the guest ran; the last one may
        be shorter."""

    def _lost(self) -> int:
        """Return the time of all stalls by now, open ones included, of all vCPUs in ns."""
        now = self._vm.now
        open_ns = sum(max(0, now - v.left_ns) for v in self._vcpus if not (v.in_guest or v.halted))
        return self._vm.stalled_ns + open_ns

    def run(self) -> Steps:
        """Read once a second of simulated time until stopped."""
        while self.on:
            yield self._vm.spend(PERIOD_NS)
            if self.on:
                self._read()

    def stop(self) -> None:
        """Read the last second, which is incomplete, and stop."""
        if self.on and self._vm.now > self._at_ns:
            self._read()
        self.on = False

    def _read(self) -> None:
        now, lost = self._vm.now, self._lost()
        length = now - self._at_ns
        share = 1 - (lost - self._lost_ns) / (length * len(self._vcpus))
        self.shares.append((length, share))
        self._at_ns, self._lost_ns = now, lost
