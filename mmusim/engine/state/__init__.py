"""State that processes share: the VM, its vCPUs, locks, and the records of a run.

No function here waits. May import :mod:`mmusim.mmu`, policies, costs, plans and trace records.
"""
