"""State that processes share: the VM, its vCPUs, locks, and what a run writes down.

Nobody waits here. May import :mod:`mmusim.mmu`, policies, costs, plans and trace records.
"""
