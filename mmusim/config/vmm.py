"""The table `[vmm]`: the user space of the VM."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from mmusim.base.errors import ConfigError, MisfitError
from mmusim.base.quantities import Strict, shown
from mmusim.config.driver import Driver, ManualProtect
from mmusim.policies import Kernel, Policy, Reporting
from mmusim.vmm import DEFAULT_QEMU, Qemu, qemu_named

SINCE: Final = {"on": (5, 2), "initially-all-set": (5, 7)}
"""Kernels that brought the modes of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2."""


def _known(name: str) -> str:
    try:
        return qemu_named(name).name
    except ConfigError as error:
        (complaint,) = error.complaints
        raise ValueError(f"{complaint.rule}; {complaint.remedy}") from None


class Vmm(Strict):
    """The user space of the VM."""

    qemu: Annotated[str, AfterValidator(_known), shown("8.2")] = DEFAULT_QEMU
    """Release of QEMU. It decides how a migration is driven."""

    @property
    def release(self) -> Qemu:
        """The release."""
        return qemu_named(self.qemu)

    def limits(self, driver: Driver) -> Driver:
        """Return a script with the release's own `max-bandwidth` where the file has none."""
        migration = driver.migration
        if "max_bandwidth" in migration.model_fields_set:
            return driver
        own = {"max_bandwidth": self.release.default_max_bandwidth()}
        return driver.model_copy(update={"migration": migration.model_copy(update=own)})

    def log_mode(self, policy: Policy, kernel: Kernel) -> ManualProtect:
        """Return the mode that QEMU asks for, where policy and kernel leave it one to choose.

        Raises
        ------
        MisfitError
            If the policy has dirty rings and the release has none.
        """
        if policy.choices.get("reporting") is Reporting.DIRTY_RING and not self.release.has_rings():
            raise MisfitError(
                "vmm.qemu", self.qemu, f"has no dirty rings, which policy {policy.name!r} needs",
                "name 6.1 or later, or leave the policy out",
            )  # fmt: skip
        if not policy.tracks or "reporting" in policy.choices:
            return None
        return next((m for m in self.release.log_modes() if kernel.release >= SINCE[m]), None)
