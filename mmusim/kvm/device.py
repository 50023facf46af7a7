"""Access to /dev/kvm; if there is none, the reason and the remedy."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.kvm import abi

DEVICE: Final = Path("/dev/kvm")

REMEDIES: Final = {
    errno.ENOENT: (
        "does not exist: no KVM module is loaded",
        "load kvm_intel or kvm_amd; inside a virtual machine switch nested virtualisation on",
    ),
    errno.EACCES: ("may not be opened", "join the group that owns it (usually kvm), or be root"),
    errno.EPERM: ("may not be opened", "allow this process or container to use the device"),
    errno.ENODEV: (
        "is there, and no hardware behind it",
        "enable VT-x or SVM in the firmware, or nested virtualisation in the host",
    ),
    errno.ENXIO: (
        "is there, and no module behind it",
        "load kvm_intel or kvm_amd",
    ),
    errno.EBUSY: ("is in use by another hypervisor", "stop the other one"),
}
"""Reason and remedy, by the error of open()."""


def open_kvm(device: Path = DEVICE, needs: Iterable[str] = ()) -> int:
    """Open the device and return its file descriptor.

    Parameters
    ----------
    device : Path, optional
    needs : iterable of str, optional
        Capabilities that must be there, by their names in :data:`mmusim.kvm.abi.CAPABILITIES`.

    Raises
    ------
    ConfigError
        If it cannot be used, in one line with the remedy.
    """
    if platform.machine() != "x86_64":
        raise _unusable(
            device, f"is that of a {platform.machine()} machine", "use an x86-64 machine"
        )
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        rule, remedy = REMEDIES.get(
            error.errno or 0, (f"cannot be opened ({error.strerror})", "use another machine")
        )
        raise _unusable(device, rule, remedy) from None
    try:
        version = fcntl.ioctl(fd, abi.GET_API_VERSION, 0)
        if version != abi.API_VERSION:
            raise _unusable(device, f"speaks version {version}, not 12", "update the kernel")
        for name in ("user memory", *needs):
            if not capability(fd, name):
                raise _unusable(
                    device, f"lacks the capability {name!r}", "use a newer kernel, or leave it out"
                )
    except OSError as error:
        os.close(fd)
        raise _unusable(device, f"is not KVM ({error.strerror})", "give /dev/kvm") from None
    except ConfigError:
        os.close(fd)
        raise
    return fd


def capability(fd: int, name: str) -> int:
    """Ask KVM_CHECK_EXTENSION by the name of a capability; 0 means that it is not there."""
    return fcntl.ioctl(fd, abi.CHECK_EXTENSION, abi.CAPABILITIES[name])


def why_unusable(device: Path = DEVICE, needs: Iterable[str] = ()) -> str:
    """Return why the device cannot be used, in one line; empty if it can be used."""
    try:
        os.close(open_kvm(device, needs))
    except ConfigError as error:
        return str(error)
    return ""


def _unusable(device: Path, rule: str, remedy: str) -> ConfigError:
    return ConfigError.of(str(device), "KVM", None, rule, remedy)
