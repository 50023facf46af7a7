"""The host thread's work on the dirty log: ioctls, walks under mmu_lock, reports.

May import :mod:`mmusim.engine.processes` and below. Words are those of that package; `host` is the
host thread's own state (:class:`~mmusim.engine.host.host.Host`), `slot` and `part` are ranges
of guest pages. An operation of the driver is called as (vm, host, phase, record); it adds fields of
the phase's trace, such as ``dirty``, to `record`.
"""
