"""System calls made by another process, as a debugger makes them: ptrace(2), on x86-64.

A userfaultfd belongs to the memory of the process that makes it. So the process that is watched
has to make it itself: its main thread is stopped, makes a few calls, gets its registers back and
runs on. A call that it was waiting in is restarted by the kernel.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mmusim.base.errors import ConfigError

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_GET_REGS, _SET_REGS, _STEP = 12, 13, 9
_SIGTRAP: Final = 5
_WALL: Final = 0x40000000
_REGISTERS: Final = 27
_NAMES: Final = {
    "rax": 10, "rdx": 12, "rsi": 13, "rdi": 14, "orig_rax": 15, "rip": 16,
    "r10": 7, "r8": 9, "r9": 8,
}  # fmt: skip
"""Places in struct user_regs_struct (sys/user.h)."""
_ARGUMENTS: Final = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_SYSCALL: Final = b"\x0f\x05"
_STEPS: Final = 1000
"""Stops for signals while one call is made, at most."""


class Inside:
    """A process whose main thread stands still and makes the calls that it is told to make."""

    def __init__(self, pid: int, code: int, registers: list[int]) -> None:
        """`code` is the address of a `syscall` instruction."""
        self._pid, self._code, self._registers = pid, code, registers
        self.signals: list[int] = []  # that came meanwhile

    def call(self, number: int, *arguments: int) -> int:
        """Make a system call; return what it returns: negative for an error.

        Raises
        ------
        ConfigError
            If the process ends meanwhile.
        """
        wanted = list(self._registers)
        registers = dict(zip(_ARGUMENTS, arguments, strict=False))
        registers |= {"rax": number, "orig_rax": (1 << 64) - 1, "rip": self._code}
        for name, value in registers.items():
            wanted[_NAMES[name]] = value & ((1 << 64) - 1)
        _registers(self._pid, wanted)
        for _ in range(_STEPS):
            _ptrace(_STEP, self._pid)
            signal = _stopped(self._pid)
            if signal == _SIGTRAP:
                got = _registers(self._pid)[_NAMES["rax"]]
                return got - (1 << 64) if got >> 63 else got
            self.signals.append(signal)
        raise ConfigError.of(
            "workload watch", "PID", self._pid, "gets signals without end", "try again"
        )

    def write(self, address: int, data: bytes) -> None:
        """Write into the memory of the process."""
        with open(f"/proc/{self._pid}/mem", "r+b", buffering=0) as file:  # noqa: PTH123
            file.seek(address)
            file.write(data)

    def read(self, address: int, size: int) -> bytes:
        """Read from the memory of the process."""
        with open(f"/proc/{self._pid}/mem", "rb", buffering=0) as file:  # noqa: PTH123
            file.seek(address)
            return file.read(size)


@contextmanager
def inside(pid: int) -> Iterator[Inside]:
    """Stop the main thread of a process for as long as the block lasts.

    Raises
    ------
    ConfigError
        If the machine is not x86-64, or the process may not be traced.
    """
    if platform.machine() != "x86_64":
        raise ConfigError.of(
            "workload watch", "PID", pid, "cannot make system calls on this kind of processor",
            "watch on x86-64, or on a kernel with CONFIG_MEM_SOFT_DIRTY",
        )  # fmt: skip
    _ptrace(_SEIZE, pid)
    try:
        _ptrace(_INTERRUPT, pid)
        first = _stopped(pid)
        registers = _registers(pid)
        made = Inside(pid, _instruction(pid), registers)
        if first != _SIGTRAP:
            made.signals.append(first)
        try:
            yield made
        finally:
            with suppress(ConfigError):
                _registers(pid, registers)
    finally:
        with suppress(ConfigError):
            _ptrace(_DETACH, pid)
    for signal in made.signals:
        with suppress(OSError):
            os.kill(pid, signal)


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data or None) < 0:
        reason = os.strerror(ctypes.get_errno())
        raise ConfigError.of(
            "workload watch", "PID", pid, f"cannot be traced ({reason})",
            "watch a process of your own that no debugger traces, with CAP_SYS_PTRACE if "
            "kernel.yama.ptrace_scope is not 0",
        )  # fmt: skip


def _stopped(pid: int) -> int:
    """Wait until the process stands still; return the signal at which it does."""
    _, status = os.waitpid(pid, _WALL)
    if not os.WIFSTOPPED(status):
        raise ConfigError.of("workload watch", "PID", pid, "has ended", "start it again")
    return os.WSTOPSIG(status)


def _registers(pid: int, new: list[int] | None = None) -> list[int]:
    """Return the registers, or set them."""
    room = ctypes.create_string_buffer(struct.pack(f"<{_REGISTERS}Q", *(new or [0] * _REGISTERS)))
    _ptrace(_GET_REGS if new is None else _SET_REGS, pid, ctypes.addressof(room))
    return list(struct.unpack(f"<{_REGISTERS}Q", room.raw[: 8 * _REGISTERS]))


def _instruction(pid: int) -> int:
    """Return the address of a `syscall` instruction: the vdso has some."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        place = next((line.split()[0] for line in file if line.rstrip().endswith("[vdso]")), "")
    if place:
        start, end = (int(part, 16) for part in place.split("-"))
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            memory.seek(start)
            at = memory.read(end - start).find(_SYSCALL)
        if at >= 0:
            return start + at
    raise ConfigError.of(
        "workload watch", "PID", pid, "has no vdso with a system call in it",
        "watch on a kernel with CONFIG_MEM_SOFT_DIRTY",
    )  # fmt: skip
