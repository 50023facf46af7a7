"""State that processes share: the VM, its vCPUs, locks, and the records of a run.

No function here waits. May import :mod:`mmusim.mmu`, policies, costs, plans and trace records.

Words that all modules share: times are whole ns of simulated time, counted from the start of the
run unless a docstring says otherwise; `gfn` is the number of a guest page of 4 KiB; `v` is a vCPU,
`who` the number of an actor: of a vCPU from 0 on, of a thread of the host below 0
(:mod:`mmusim.trace.records`). `s` is the state of either engine: an object, or the memory of a
compiled run. Misuse is a defect of the model, so functions raise only where a docstring says so.
"""
