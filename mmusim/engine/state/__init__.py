"""State that processes share: the VM, its vCPUs, locks, and the records of a run.

Nobody waits here. May import :mod:`mmusim.mmu`, policies, costs, plans and trace records.
"""
