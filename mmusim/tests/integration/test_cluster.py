"""The same sweep on a real scheduler with two worker processes, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.cli.results.export import export
from mmusim.execution import dask as cluster
from mmusim.execution.dask import ClusterError, worker_pool
from mmusim.execution.progress import ProgressReport
from mmusim.execution.workers import OtherVersionError
from mmusim.experiment.run import run_experiment
from mmusim.store import Store
from mmusim.tests.support.experiment_files import MINIMAL

pytest.importorskip("distributed", reason="distributed is not installed; install mmusim[cluster]")

SWEEP = (
    MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "20%" }')
    + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 15\n[sweep]\n"vm.vcpus" = [1]\n'
    + '"host.costs.c_exit" = ["1us", "2us"]\n'
)


@contextmanager
def program(*args: str, said: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a part of a cluster; wait until it says it is there; end it in the end."""
    with subprocess.Popen(
        [sys.executable, "-m", *args], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if said in line)
            yield process, line
        finally:
            process.kill()


@contextmanager
def scheduler() -> Iterator[tuple[subprocess.Popen[str], str]]:
    args = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
    with program(*args, "--no-dashboard", "--no-jupyter", said="Scheduler at:") as (process, line):
        yield process, line.split()[-1]


@contextmanager
def worker(address: str, module: str = "distributed.cli.dask_worker") -> Iterator[Any]:
    args = (module, address, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1")
    with program(*args, "--no-dashboard", said="Registered to") as (process, _):
        yield process


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(SWEEP)
    return path


def table_of(folder: Path) -> bytes:
    export(folder, folder.with_suffix(".csv"))
    return folder.with_suffix(".csv").read_bytes()


def test_two_workers_one_of_which_is_killed_give_what_local_processes_give(
    sweep: Path, tmp_path: Path
) -> None:
    stored: list[int] = []
    with scheduler() as (_, address), ExitStack() as both:
        workers = [both.enter_context(worker(address)) for _ in range(2)]

        def kill_one(state: ProgressReport) -> None:
            stored.append(state.finished)
            if state.finished == 20:
                workers[0].kill()

        outcome = run_experiment(
            sweep, tmp_path / "there", scheduler=address, engine="simpy", progress=kill_one
        )
        assert workers[0].wait(timeout=10) == -9
        assert workers[1].poll() is None
    assert outcome.failures == []
    assert stored == list(range(1, 61)), "each is stored as it ends"
    run_experiment(sweep, tmp_path / "here", workers=1, engine="simpy")
    assert table_of(tmp_path / "there") == table_of(tmp_path / "here")
    store = Store.open(tmp_path / "there")
    assert store.states() == {"queued": 0, "running": 0, "done": 60, "failed": 0}
    store.close()


def test_a_cluster_that_is_not_there_is_refused_in_one_line(sweep: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        out = tmp_path / "out"
        began = time.monotonic()
        command = [sys.executable, "-m", "mmusim", "run", str(sweep), "--out", str(out)]
        done = subprocess.run(
            [*command, "--scheduler", address], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2, done.stderr
    *notices, line = done.stderr.splitlines()
    assert all(notice.startswith("mmusim: ") for notice in notices), notices
    assert f"--scheduler = '{address}': does not answer within 5 s; start it with" in line
    assert not out.exists()
    assert time.monotonic() - began < 30


def test_workers_that_are_none_or_have_another_model_are_refused_by_name(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose mmusim has another model version, before and after the run began."""
    other = tmp_path / "other_worker.py"
    other.write_text(
        "from mmusim.store import provenance\n"
        "from mmusim.execution import dask, workers\n"
        "def another(): return '0.0.9+ffff'\n"
        "for module in (provenance, workers, dask): module.model_version = another\n"
        "from distributed.cli.dask_worker import main\n"
        "if __name__ == '__main__': main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with scheduler() as (_, address):
        with pytest.raises(ClusterError, match=f"{address}.*has no workers; start some with"):
            run_experiment(sweep, tmp_path / "out", scheduler=address)
        with worker(address, "other_worker"):
            says = r"worker tcp://127.0.0.1:\d+: mmusim = '0\.0\.9\+ffff': is not '\d+\.\d+\.\d+\+"
            with pytest.raises(OtherVersionError, match=says):
                run_experiment(sweep, tmp_path / "out", scheduler=address)
            assert not (tmp_path / "out").exists()
            monkeypatch.setattr(cluster, "_check_workers", lambda client, address: None)
            says = r"worker .* \(process \d+\): mmusim = '0\.0\.9\+ffff': is not '\d+\.\d+\.\d+\+"
            with pytest.raises(OtherVersionError, match=says):
                run_experiment(sweep, tmp_path / "out", scheduler=address)
    store = Store.open(tmp_path / "out")
    assert store.states() == {"queued": 60, "running": 0, "done": 0, "failed": 0}
    store.close()


def test_a_cluster_that_is_lost_on_the_way_is_said_in_one_line(
    sweep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as parts:
        process, address = parts.enter_context(scheduler())
        parts.enter_context(worker(address))

        def lose(state: ProgressReport) -> None:
            if state.finished == 5:
                process.kill()

        with pytest.raises(ClusterError, match="was lost; finished runs are stored: start it"):
            run_experiment(
                sweep, tmp_path / "out", scheduler=address, engine="simpy", progress=lose
            )
    assert capfd.readouterr().err == ""
    store = Store.open(tmp_path / "out")
    assert store.states()["done"] >= 5
    assert store.states()["running"] == 0
    store.close()


def test_a_cluster_without_workers_is_waited_for_and_then_given_up() -> None:
    clock, workers = [100.0], {"tcp://1": 4, "tcp://2": 4}

    class Client:
        def get_executor(self, **more: object) -> object:
            return self

        def ncores(self) -> dict[str, int]:
            return workers

    pool = cluster._Dask(Client(), "tcp://x:1", lambda: clock[0])
    assert pool.room == 18
    workers.clear()
    clock[0] += 1
    assert pool.room == 18, "one counts them now and then"
    clock[0] += cluster.LOOK_S
    assert pool.room == 4, "what is left to do waits for workers that may come"
    clock[0] += cluster.PATIENCE_S
    with pytest.raises(ClusterError, match=r"tcp://x:1.*has had no workers for 60 s; finished"):
        _ = pool.room
    workers["tcp://3"] = 1
    clock[0] += cluster.LOOK_S
    assert pool.room == 4


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "does not answer within"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer as a scheduler of Dask does; start it"),
        (bytes(4096), "does not answer as a scheduler of Dask does; start it"),
    ],
    ids=["mute", "ssh", "zeros"],
)
def test_another_program_at_the_port_is_refused_soon(
    answer: bytes | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        peers = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peers.append(server.accept()[0])
                    if answer is not None:
                        peers[-1].sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=says), worker_pool(scheduler=address):
            pass
        assert time.monotonic() - began < 20
        server.shutdown(socket.SHUT_RDWR)
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://nowhere.invalid:1", "tcp://127.0.0.1"])
def test_what_is_no_address_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.5)
    with (
        pytest.raises((ConfigError, ClusterError), match="--scheduler"),
        worker_pool(scheduler=address),
    ):
        pass
