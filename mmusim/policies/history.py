"""What came to the dirty log with which release of Linux, in words."""

from typing import Final

HISTORY: Final = (
    ((2, 6, 28), "large mappings that are not write-protected but destroyed (38187c830cab)"),
    ((2, 6, 38), "a slot walk that looks at leaves only (e49146dce8c3)"),
    ((3, 3), "gets that re-arm by rmap (95d4c16ce78c; always since 3.5)"),
    ((3, 6), "lockless fixes of write-protection faults (c7ba5b48cc8d)"),
    ((3, 9), "a walk over the rmap when logging is switched on"),
    ((3, 16), "large sptes kept read-only (c126d94f2c90)"),
    ((3, 16), "flushes outside mmu_lock (198c74f43f0f)"),
    ((4, 0), "PML on Intel (843e4330573c, 88178fd4f718)"),
    ((4, 1), "small sptes zapped when logging ends (3ea3b7fa9af0)"),
    ((5, 2), "manual clear (2a31b9db1535, d7547c55cbe7)"),
    ((5, 7), "a bitmap that starts with all bits set (3c9bd4006bfc)"),
    ((5, 10), "the TDP MMU"),
    ((5, 11), "dirty rings (fb04a1eddb1a)"),
    ((5, 12), "mmu_lock as a rwlock (531810caa9f4)"),
    ((5, 13), "log walks of the TDP MMU with mmu_lock held for read (24ae4cfaaa26)"),
    ((5, 14), "with all bits set, large sptes left writable until they are cleared"),
    ((5, 15), "the TDP MMU by default (71ba3f3189c7), lockless fixes in it (6e8eb2060cc7)"),
    ((5, 17), "lockless fixes of large sptes in slots that do not log"),
    ((5, 18), "eager page splitting in the TDP MMU (a3fe5dbda0a4, cb00a70bd4b7)"),
    ((5, 19), "tables zapped whole when logging ends (5ba7c4c6d1c7)"),
    ((6, 0), "eager page splitting for nested guests (ada51a9de737)"),
    ((6, 2), "splitting in the fault (c4b33d28ea51)"),
    ((6, 4), "a cheaper clear of the TDP MMU (89c313f20c1e)"),
    ((6, 7), "no kicks of vCPUs by gets and clears without PML (3d30bfcbdc26)"),
    ((6, 11), "mmu_lock dropped before each eager split (cf3ff0ee24d6)"),
    (
        (6, 11),
        "mmu_lock given up for waiters where the kernel is booted preemptible (c793a62823d1)",
    ),
    ((6, 13), "large sptes put back in place when logging ends (13e2e4f62a4b)"),
    ((6, 13), "no flush when pages are aged"),
    ((6, 15), "pages aged without mmu_lock (aa34b811650c)"),
    ((7, 0), "no preemption models but full and lazy (7dadeaa6e851)"),
)
"""What came when, for people."""
