"""No dirty logging at all."""

from mmusim.mmu.spte import Edit, Spte
from mmusim.policies.base import Policy


class NoLogging(Policy, name="none"):
    """Dirty logging is never enabled: large writable mappings, no fault after populate.

    This is the denominator of every jitter metric and not a way to migrate.
    """

    tracks = False

    def protect(self, spte: Spte) -> Edit:
        """Leave everything as it is."""
        del spte
        return Edit.KEEP
