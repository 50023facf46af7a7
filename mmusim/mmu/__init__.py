"""The MMU mechanism of KVM x86: what entries there are and what can be done to them.

Nothing here knows time or chance. State is arrays (:class:`~mmusim.mmu.page_table.PageTable`);
functions on single entries use scalar indexing only, so that they run on numpy arrays, on
memoryviews of them and under a compiler alike.
"""
