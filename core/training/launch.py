"""Run a stage as several ranks: one process for each GPU, or on the CPU.

The ranks are processes with the stage's own command line. The first one's output is the stage's; when one fails the
others are ended, and its message is shown.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.base.cli import run_guarded, run_stage
from core.base.errors import Terminated, UserError
from core.base.supervision import SAVING_SECONDS, end_with_this_process, more_time
from core.config.mmcv_import import import_mmcv
from core.training.distributed import (
    RANK_VARIABLE,
    RANKS_VARIABLE,
    RENDEZVOUS_VARIABLE,
    process_group,
    rank,
    ranks,
)
from core.training.gpu import check_count, require_gpus

DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
_POLL_SECONDS = 0.1
# Ranks mostly fail together; the others get this long to say why themselves.
_SAME_REASON_SECONDS = 2.0
# The first rank, which has a supervisor of its own, may save its state; the others have nothing to lose.
_FIRST_RANK_SECONDS = SAVING_SECONDS + 1.0
_GRACE_SECONDS = 1.0


def run_on_ranks(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace, Any], int | None],
                 module: str, argv: list[str] | None = None) -> int:
    """Do what ``core.base.cli.run_stage`` does, on the ranks that the command line asks for.

    Args:
        parser: The stage's, with the options ``--gpus`` and ``--cpu-processes``.
        work: The stage's work.
        module: What ``python -m`` starts the stage by.
        argv: The command line; None takes the process's.
    """
    arguments = parser.parse_args(argv)
    if RANK_VARIABLE in os.environ:
        return run_stage(parser, _rank_work(work, arguments.gpus), argv)

    def start() -> int:
        check_count(arguments.gpus)
        if arguments.cpu_processes < 1:
            raise UserError("--cpu-processes", arguments.cpu_processes, "It must be 1 or more.", "Give such a number.")
        if arguments.gpus and arguments.cpu_processes > 1:
            raise UserError("--cpu-processes", f"{arguments.cpu_processes} beside --gpus {arguments.gpus}",
                            "A stage works on GPUs or on the CPU.", "Leave one of them out.")
        count = max(arguments.gpus, arguments.cpu_processes)
        if count == 1:
            with _only_devices(_devices(arguments.gpus)):
                return run_stage(parser, _rank_work(work, arguments.gpus), argv)
        command = [sys.executable, "-m", module, *(sys.argv[1:] if argv is None else argv)]
        return launch(command, count, _devices(arguments.gpus))

    return run_guarded(parser.prog, start)


def _rank_work(work: Callable[[argparse.Namespace, Any], int | None],
               gpus: int) -> Callable[[argparse.Namespace, Any], int | None]:
    def run(arguments: argparse.Namespace, output: Any) -> int | None:
        if gpus:
            # Each rank sees one GPU, its own.
            require_gpus(1, f"GPU {rank()}" if ranks() > 1 else "GPU")
        # Before a module of ours imports mmcv by itself, with all that torch and mmcv then write.
        import_mmcv()
        with process_group():
            return work(arguments, output)

    return run


def _devices(gpus: int) -> list[str]:
    """Return the GPUs' names as CUDA takes them, out of those that this process may see."""
    visible = os.environ.get(DEVICES_VARIABLE)
    names = map(str, range(gpus)) if visible is None else filter(None, visible.split(","))
    return list(names)[:gpus]


@contextlib.contextmanager
def _only_devices(names: Sequence[str]) -> Iterator[None]:
    """Let CUDA see these GPUs alone: to be entered before torch is imported."""
    before = os.environ.get(DEVICES_VARIABLE)
    os.environ[DEVICES_VARIABLE] = ",".join(names)
    try:
        yield
    finally:
        if before is None:
            del os.environ[DEVICES_VARIABLE]
        else:
            os.environ[DEVICES_VARIABLE] = before


@dataclass
class _Rank:
    """A rank's process, and the file of its messages; the first rank writes them to the screen."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None


def launch(command: list[str], count: int, devices: Sequence[str] = ()) -> int:
    """Run ``command`` as ``count`` ranks and return the exit code: 0, or that of the first that failed.

    Args:
        command: The command of every rank; ``--executor-input ''`` is added to it for all but the first.
        count: How many.
        devices: CUDA's name of each rank's GPU; empty for the CPU.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder, contextlib.ExitStack() as stack:
        stack.enter_context(more_time(_FIRST_RANK_SECONDS + _GRACE_SECONDS, signal.SIGTERM))
        started: list[_Rank] = []
        try:
            for number in range(count):
                errors = None if number == 0 else stack.enter_context(tempfile.TemporaryFile())
                # Ranks are all on this machine, whose name need not lead to an address.
                environment = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo",
                               "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)), **os.environ,
                               RANK_VARIABLE: str(number), RANKS_VARIABLE: str(count),
                               RENDEZVOUS_VARIABLE: str(Path(folder) / "rendezvous"),
                               DEVICES_VARIABLE: devices[number] if number < len(devices) else ""}
                # Later options win: only the first rank tells KFP of its outputs.
                own = command if number == 0 else [*command, "--executor-input", ""]
                # A session of its own keeps group signals away, so that the launcher decides which rank gets them.
                process = subprocess.Popen(
                    own, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL if number else None,
                    stderr=errors, start_new_session=True, preexec_fn=end_with_this_process())
                started.append(_Rank(process, errors))
            return _wait(started)
        except Terminated:
            # The first alone: it may save its state, and needs no other for it.
            started[0].process.terminate()
            return _exit_code(started[0].process.wait(_FIRST_RANK_SECONDS))
        finally:
            _end(started)


def _wait(started: Sequence[_Rank]) -> int:
    """Return 0 when all ranks have ended well, else the exit code of the first that failed.

    Its message is shown where the first rank has not said the same.
    """
    while True:
        codes = [each.process.poll() for each in started]
        failed = next((number for number, code in enumerate(codes) if code), None)
        if failed is not None:
            break
        if None not in codes:
            return 0
        time.sleep(_POLL_SECONDS)
    code, errors = codes[failed], started[failed].errors
    if errors is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            started[0].process.wait(_SAME_REASON_SECONDS)
        if started[0].process.returncode != code:
            errors.seek(0)
            print(f"rank {failed} of {len(started)} ended with {code}:\n"
                  f"{errors.read().decode(errors='replace').strip()}", file=sys.stderr, flush=True)
    return _exit_code(code)


def _exit_code(returned: int) -> int:
    # A signal's number is negative here, and 128 more to a shell.
    return returned if returned >= 0 else 128 - returned


def _end(started: Sequence[_Rank]) -> None:
    running = [each.process for each in started if each.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
