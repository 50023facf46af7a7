"""No dirty logging at all."""

from mmusim.mmu.spte import Edit, Spte
from mmusim.policies.base import Policy


class NoLogging(Policy, name="none"):
    """Dirty logging is never switched on: large writable mappings, no fault after populate.

    The denominator of every jitter metric, not a way to migrate.
    """

    tracks = False

    def protect(self, spte: Spte) -> Edit:
        """Leave everything as it is."""
        del spte
        return Edit.KEEP
