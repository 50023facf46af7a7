"""The MMU mechanism of KVM x86: its entries and the operations on them.

Nothing here knows time or chance. State is arrays (:class:`~mmusim.mmu.page_table.PageTable`).
Functions on single entries use scalar indexing only, so they run on numpy arrays, on memoryviews of
them, and under a compiler.
"""
