"""How many translations the TLB of a vCPU keeps, as experiment files say it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from mmusim.base.quantities import Strict, shown

UNLIMITED: Final = "unlimited"
Entries = Annotated[int, Field(ge=1, le=1 << 16)]
"""Translations of one size."""


class TlbSizes(Strict):
    """``{"4KiB" = 1536, "2MiB" = 1536, "1GiB" = 16}``: entries by the size of what they map."""

    small: Annotated[Entries, Field(alias="4KiB"), shown(1536, "entries")] = 1536
    """Translations of 4 KiB."""
    large: Annotated[Entries, Field(alias="2MiB"), shown(1024, "entries")] = 1536
    """Translations of 2 MiB."""
    giant: Annotated[Entries, Field(alias="1GiB"), shown(16, "entries")] = 16
    """Translations of 1 GiB."""


def _kind(value: Any) -> str:
    if isinstance(value, (dict, TlbSizes)):
        return "sizes"
    return "unlimited" if isinstance(value, str) else "entries"


TlbSpec = Annotated[
    Annotated[Entries, Tag("entries")]
    | Annotated[Literal["unlimited"], Tag("unlimited")]
    | Annotated[TlbSizes, Tag("sizes")],
    Discriminator(_kind),
]
"""A number of entries for each size, a table by size, or `unlimited`."""


def reach_of(spec: int | str | TlbSizes, pages: int) -> tuple[int, int, int] | None:
    """Return the entries for 4 KiB, 2 MiB and 1 GiB; None is a TLB without a limit.

    No more than a VM of `pages` pages has mappings of that size.
    """
    if isinstance(spec, str):
        return None
    sizes = (
        (spec.small, spec.large, spec.giant) if isinstance(spec, TlbSizes) else (spec, spec, spec)
    )
    small, large, giant = (
        min(n, -(-pages // size)) for n, size in zip(sizes, (1, 512, 512**2), strict=True)
    )
    return small, large, giant
