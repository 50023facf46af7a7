"""What a term is, and a vocabulary of terms in which each name stands once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mmusim.base.errors import require_known


class Better(Enum):
    """Which of two values of a term is better."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A name and what it means."""

    name: str
    unit: str  # empty: a count or a share
    better: Better
    meaning: str
    source: str  # kernel statistic, function, commit, or section of the domain reference


AnyTerm = TypeVar("AnyTerm", bound=Term)


class Vocabulary(Mapping[str, AnyTerm], Generic[AnyTerm]):
    """Terms by name, in the order in which they were added. The number of a term is its place."""

    def __init__(self, singular: str) -> None:
        """Start empty. `singular` says in messages what a term is, for example ``metric``."""
        self.singular = singular
        self._terms: dict[str, AnyTerm] = {}

    def add(self, term: AnyTerm) -> int:
        """Add a term and return its number.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if term.name in self._terms:
            raise ValueError(f"the {self.singular} {term.name!r} is defined twice")
        self._terms[term.name] = term
        return len(self._terms) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of their numbers."""
        return tuple(self._terms)

    def require(self, name: str, source: str, key: str) -> AnyTerm:
        """Return the term with the name `name`, which `source` gives for `key`.

        Raises
        ------
        ConfigError
            If there is no such term. The message names the nearest known name.
        """
        require_known(name, self._terms, source, key, f"is not a {self.singular}")
        return self._terms[name]

    def __getitem__(self, name: str) -> AnyTerm:
        return self._terms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)
