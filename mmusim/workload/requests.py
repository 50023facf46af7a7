"""An open system: requests arrive on their own schedule, however late the guest is."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Count, Share, Strict, Time, shown
from mmusim.workload.base import Accesses, Requests, Uniforms
from mmusim.workload.locality import Locality
from mmusim.workload.zipf import Exponent, ranks

MOST_BURSTS: Final = 10**7
Interval = Annotated[Time, Field(gt=0, le=1e12)]


class OpenLoopRequests(Strict):
    """Each vCPU serves requests in the order of arrival; each request touches `touches` pages.

    The latency of a request is the completion of its last access minus its intended arrival. So a
    stall of the guest delays every request that arrives in it, as users would see it (no
    coordinated omission: Tene, How NOT to Measure Latency, 2013; open and closed systems: Schroeder
    et al., NSDI 2006).

    Arrivals, all with the mean interval `interarrival`: `regular`; `poisson`, exponential gaps
    -ln(u) times the mean; `bursty`, a two-state Markov-modulated Poisson process (Fischer and
    Meier-Hellstern, Perform. Eval. 18, 1993). It is in bursts for a share `in_bursts` of the time,
    exponential times of mean `burst` each, with `peak` times the mean rate. Outside bursts it has
    the rate that keeps the mean. It is sampled by stretching time: the n-th event of a Poisson
    process of rate 1 happens when the integral of the rate reaches its time.
    """

    pattern: Annotated[Literal["open-loop-requests"], shown("open-loop-requests")]
    """Name of the access pattern."""
    requests: Annotated[Count, shown(10000, "requests")] = 10_000
    """Number of requests that each vCPU serves."""
    interarrival: Annotated[Interval, shown("50us")] = 20_000.0
    """Mean time from one request to the next, for one vCPU."""
    arrivals: Annotated[Literal["regular", "poisson", "bursty"], shown("bursty")] = "poisson"
    """Process of arrivals."""
    peak: Annotated[float, Field(ge=1, le=1e6), shown(8.0, "ratio")] = 8.0
    """For `bursty`: rate in a burst divided by the mean rate."""
    in_bursts: Annotated[Share, Field(gt=0, lt=1), shown("10%")] = 0.1
    """For `bursty`: share of the time that is in bursts."""
    burst: Annotated[Interval, shown("1ms")] = 1e6
    """For `bursty`: mean length of a burst."""
    touches: Annotated[Count, shown(8, "pages")] = 8
    """Pages that a request touches, with one access each."""
    exponent: Annotated[Exponent, shown(0.99, "exponent")] = 0.0
    """Exponent of Zipf's law over the pages, with scattered ranks. 0 is uniform."""
    locality: Annotated[Locality | None, shown({"kind": "hot-cold", "hot": "10%"})] = None
    """Which pages the requests touch, by `kind`: `uniform`, `zipf`, `hot-cold` or `each-once`.
    Without it, `exponent` decides.
    """
    writes: Annotated[Share, shown("20%")] = 0.2
    """Share of the accesses that are writes."""
    idle: Annotated[Literal["poll", "halt"], shown("halt")] = "poll"
    """What the guest does until the next request arrives. `poll`: it stays in guest mode, as with
    `idle=poll` or haltpoll, and a flush interrupts it there. `halt`: it leaves guest mode, and
    flushes when it enters again.
    """

    @model_validator(mode="after")
    def _mean_is_possible(self) -> Self:
        if self.locality is not None and self.exponent:
            raise MisfitError(
                "exponent", self.exponent, "and locality both say which pages are touched",
                'drop it, or write locality = { kind = "zipf", exponent = ... }',
            )  # fmt: skip
        if self.peak * self.in_bursts > 1:
            raise MisfitError(
                "peak", self.peak,
                f"times in_bursts = {self.in_bursts:.6%} exceeds the mean rate",
                "lower one of the two until their product is at most 1",
            )  # fmt: skip
        bursts = self.requests * self.interarrival / self.burst * self.in_bursts
        if self.arrivals == "bursty" and bursts > MOST_BURSTS:
            raise MisfitError(
                "burst", f"{self.burst:.6g}ns", f"makes about {bursts:.2g} bursts",
                f"write a longer one; there may be {MOST_BURSTS:.0e}",
            )  # fmt: skip
        return self

    def length(self, pages: int) -> int:
        """Return requests times touches."""
        del pages
        return self.requests * self.touches

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the accesses of all requests, in the order of their arrivals."""
        count = self.length(pages)
        write = uniforms("write?", 0, count) < self.writes
        if self.locality is not None:
            page = self.locality.touched(write, pages, uniforms)
        else:
            page = ranks(uniforms("where", 0, count), pages, self.exponent)
            if self.exponent:
                page = np.argsort(uniforms("rank", 0, pages), kind="stable")[page]
        due = np.repeat(self.arrivals_ns(uniforms), self.touches)
        last = np.arange(1, count + 1) % self.touches == 0
        halts = self.idle == "halt"
        return Accesses(base_gfn + page, write, requests=Requests(due, last, halts))

    def arrivals_ns(self, uniforms: Uniforms) -> NDArray[np.int64]:
        """Return when the requests arrive, in whole nanoseconds from the start, ascending."""
        if self.arrivals == "regular":
            events = np.arange(1, self.requests + 1, dtype=float)
        else:
            events = np.cumsum(-np.log(uniforms("gap", 0, self.requests)))
        if self.arrivals == "bursty":
            return np.floor(self._stretched(events, uniforms)).astype(np.int64)
        return np.floor(events * self.interarrival).astype(np.int64)

    def _stretched(self, events: NDArray[np.float64], uniforms: Uniforms) -> NDArray[np.float64]:
        """Return when the integral of the modulated rate reaches each of `events`."""
        quiet = self.burst * (1 - self.in_bursts) / self.in_bursts
        slow = (1 - self.peak * self.in_bursts) / (1 - self.in_bursts)
        starts_in_burst = uniforms("first state", 0, 1)[0] < self.in_bursts
        states = 64
        while True:
            in_burst = (np.arange(states) % 2 == 0) == starts_in_burst
            times = -np.log(uniforms("state", 0, states)) * np.where(in_burst, self.burst, quiet)
            work = times * np.where(in_burst, self.peak, slow) / self.interarrival
            reached = np.cumsum(work)
            if reached[-1] > events[-1]:
                break
            states *= 4
        at = np.searchsorted(reached, events, side="right")  # a state without arrivals is skipped
        before = np.concatenate([[0.0], reached])[at]
        share = (events - before) / work[at]
        began = np.concatenate([[0.0], np.cumsum(times)])[at]
        return np.asarray(began + share * times[at])
