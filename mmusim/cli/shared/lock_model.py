"""A model of a lock alone, as plain loops: the cost of an event in Python and in C.

`ACTORS` think, take a FIFO lock, hold it and let it go, `cycles` times each. Times come from
SplitMix64, so both loops end at the same nanosecond.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

ACTORS: Final = 64
THINK_NS: Final = 20_000
HOLD_NS: Final = 700
_MASK: Final = (1 << 64) - 1

SOURCE: Final = """
#include <stdint.h>
#include <stdlib.h>

typedef struct { int64_t time, key; } event;

static event *heap;
static int64_t n;

static int before(event a, event b)
{
    return a.time < b.time || (a.time == b.time && a.key < b.key);
}

static void push(event e)
{
    int64_t i = n++;
    while (i && before(e, heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = e;
}

static event pop(void)
{
    event first = heap[0], last = heap[--n];
    int64_t i = 0, child = 1;
    while (child < n) {
        if (child + 1 < n && before(heap[child + 1], heap[child]))
            child++;
        if (before(last, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
        child = 2 * child + 1;
    }
    heap[i] = last;
    return first;
}

static int64_t drawn(uint64_t index, int64_t mean)
{
    uint64_t z = index * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)(2 * mean + 1));
}

int64_t run(int64_t actors, int64_t cycles, int64_t think, int64_t hold)
{
    int64_t *done = calloc(actors, sizeof *done), *queue = calloc(actors, sizeof *queue);
    int64_t first = 0, waiting = 0, holder = -1, sequence = 0, now = 0;
    uint64_t index = 0;
    heap = calloc(2 * actors, sizeof *heap);
    n = 0;
    for (int64_t a = 0; a < actors; a++)
        push((event){ drawn(++index, think), sequence++ << 16 | a });
    while (n) {
        event e = pop();
        int64_t a = e.key & 0xFFFF;
        now = e.time;
        if (a == holder) {
            holder = -1;
            if (++done[a] < cycles)
                push((event){ now + drawn(++index, think), sequence++ << 16 | a });
            if (waiting) {
                holder = queue[first];
                first = (first + 1) % actors;
                waiting--;
                push((event){ now + drawn(++index, hold), sequence++ << 16 | holder });
            }
        } else if (holder < 0) {
            holder = a;
            push((event){ now + drawn(++index, hold), sequence++ << 16 | a });
        } else {
            queue[(first + waiting++) % actors] = a;
        }
    }
    free(done);
    free(queue);
    free(heap);
    return now;
}
"""


def events(cycles: int) -> int:
    """Return how many events there are: the end of each thought and of each hold."""
    return 2 * ACTORS * cycles


def in_python(cycles: int) -> int:
    """Run the model on ``heapq``; return its end in ns."""
    done, queue, heap = [0] * ACTORS, deque[int](), list[tuple[int, int]]()
    holder, sequence, now = -1, 0, 0
    index = 0

    def push(actor: int, mean: int) -> None:
        nonlocal sequence, index
        index += 1
        z = index * 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        ns = (z ^ z >> 31) % (2 * mean + 1)
        heapq.heappush(heap, (now + ns, sequence << 16 | actor))
        sequence += 1

    for actor in range(ACTORS):
        push(actor, THINK_NS)
    while heap:
        now, key = heapq.heappop(heap)
        actor = key & 0xFFFF
        if actor == holder:
            holder = -1
            done[actor] += 1
            if done[actor] < cycles:
                push(actor, THINK_NS)
            if queue:
                holder = queue.popleft()
                push(holder, HOLD_NS)
        elif holder < 0:
            holder = actor
            push(actor, HOLD_NS)
        else:
            queue.append(actor)
    return now


def in_c() -> Callable[[int], int] | None:
    """Compile the model; return a function that runs it, or None without a C compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "lock.c", Path(folder) / "lock.so"
        source.write_text(SOURCE)
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        run = ctypes.CDLL(str(library)).run
    run.restype, run.argtypes = ctypes.c_int64, [ctypes.c_int64] * 4
    return lambda cycles: int(run(ACTORS, cycles, THINK_NS, HOLD_NS))
