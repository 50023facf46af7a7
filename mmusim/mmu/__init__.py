"""The MMU mechanism of KVM x86: its entries and the operations on them.

May import :mod:`mmusim.base` and :mod:`mmusim.vocabulary`. Nothing here knows time or chance. State
is arrays (:class:`~mmusim.mmu.page_table.PageTable`). Functions on single entries use scalar
indexing only, so they run on numpy arrays, on memoryviews of them, and under a compiler.

Words that all modules share: `gfn` is the number of a guest page of 4 KiB; a region is 2 MiB of
guest memory, 512 pages; `level` is 1, 2 or 3 for entries that map 4 KiB, 2 MiB or 1 GiB; `backing`
is the level of the host's own mapping; `t` is the page table. Functions do not check these values.
"""
