"""Signals at commands that hang: each ends in time, with the right code, and no process of it is left."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from core.base.supervision import end_with_this_process, raise_once

PLACES = Path(__file__).parent / "places.py"
PROJECT = PLACES.parents[3]
MARK = "MMDET_COMPRESS_TEST_MARK"
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
WORDS = {signal.SIGTERM: "place: terminated by SIGTERM", signal.SIGINT: "place: interrupted"}
GRACE = 0.3
# What a command that obeys gets to unwind; it has to be killed only where Python cannot come to its end.
LONG = 60
BY_ITSELF = ["sleep", "lock", "network", "live_threads"]
TO_BE_KILLED = ["native_with_gil", "native_without_gil", "swallowed", "pool"]
seeded = random.Random(7)


class Place:
    """A command that hangs in a place, and all processes that it started."""

    def __init__(self, place, grace):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, str(PLACES), place, str(grace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT), MARK: self.mark}, start_new_session=True)

    def wait_until_ready(self):
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()

    def processes(self):
        """Return the living processes that inherited this one's mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes() and \
                        (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(folder.name))
        return found

    def end(self):
        """Wait for the end; return the exit code and the error output, and see that nothing is left."""
        _, error = self.process.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.processes() == []
        return self.process.returncode, error


@pytest.fixture(name="at")
def fixture_at():
    """Return a function that starts a command and waits until it hangs."""
    started = []

    def start(place, grace=GRACE):
        started.append(Place(place, grace))
        started[-1].wait_until_ready()
        return started[-1]

    yield start
    for place in started:
        for pid in place.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        place.process.communicate()


def workers(place):
    return [pid for pid in place.processes() if pid != place.process.pid]


def wait_until_it_hangs(place):
    """Wait until every worker sleeps: one says that it is ready a moment before it enters what it hangs in."""
    asleep = 0
    while asleep < 3:
        time.sleep(0.02)
        states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in workers(place)]
        asleep = asleep + 1 if states and set(states) == {"S"} else 0


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize(("place", "grace"), [*((place, LONG) for place in BY_ITSELF),
                                              *((place, GRACE) for place in TO_BE_KILLED)])
def test_one_signal_ends_a_command_wherever_it_is(at, place, grace, number):
    running = at(place, grace)
    if place in TO_BE_KILLED:
        wait_until_it_hangs(running)
    time.sleep(seeded.random() / 10)
    running.process.send_signal(number)
    code, error = running.end()
    assert code == CODES[number]
    assert error.splitlines()[-1].startswith(WORDS[number]) and error.count(WORDS[number]) == 1
    assert ("was killed" in error) == (place in TO_BE_KILLED)


@pytest.mark.parametrize("number", CODES)
def test_a_second_signal_ends_it_at_once(at, number):
    running = at("native_with_gil", LONG)
    wait_until_it_hangs(running)
    running.process.send_signal(number)
    time.sleep(0.7)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    code, error = running.end()
    assert (code, error.count("\n")) == (CODES[number], 1) and "killed at the second signal" in error


def test_the_same_signal_to_the_group_is_no_second_one(at):
    running = at("saving", GRACE)
    for pid in running.processes():
        os.kill(pid, signal.SIGTERM)
    running.process.send_signal(signal.SIGTERM)
    code, error = running.end()
    assert code == 75 and "the training state after epoch 1 is in /states" in error


@pytest.mark.parametrize("place", ["sleep", "native_with_gil"])
def test_a_signal_to_the_worker_alone_is_enough(at, place):
    running = at(place)
    (worker,) = workers(running)
    os.kill(worker, signal.SIGTERM)
    assert running.end()[0] == 143


@pytest.mark.parametrize("killed", ["supervisor", "worker"])
@pytest.mark.parametrize("place", ["native_with_gil", "children"])
def test_a_killed_command_leaves_none_of_its_own_behind(at, place, killed):
    running = at(place)
    # Others of another session are theirs who made them, where nobody is left to find them.
    mine = [pid for pid in running.processes() if os.getsid(pid) == running.process.pid
            and b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    (worker, *_) = [pid for pid in mine if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
                    == str(running.process.pid)]
    os.kill(running.process.pid if killed == "supervisor" else worker, signal.SIGKILL)
    assert running.process.wait(30) == (-signal.SIGKILL if killed == "supervisor" else 137)
    deadline = time.monotonic() + 10
    while set(mine) & set(running.processes()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(mine) & set(running.processes()) == set()


@pytest.mark.parametrize("number", CODES)
def test_children_of_every_kind_end_with_their_command(at, number):
    running = at("children")
    assert len(running.processes()) == 6
    running.process.send_signal(number)
    assert running.end()[0] == CODES[number]


def test_the_end_of_a_child_is_none_of_the_command(at):
    assert at("child_is_terminated").end() == (0, "")


def test_finalisation_that_hangs_is_ended(at):
    running = at("finalisation")
    time.sleep(0.2)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 143


def test_a_state_that_cannot_be_saved_in_time_is_given_up(at):
    running = at("hangs_while_saving", LONG)
    running.process.send_signal(signal.SIGTERM)
    code, error = running.end()
    assert code == 143 and "within 0.5 s and was killed" in error


@pytest.mark.parametrize(("place", "number"), [
    ("backward", signal.SIGTERM), ("backward_loop", signal.SIGINT), ("data_loader", signal.SIGTERM)])
def test_torch_ends(at, place, number):
    running = at(place, 1.5)
    time.sleep(seeded.random() / 2)
    running.process.send_signal(number)
    assert running.end()[0] == CODES[number]


def test_openvino_ends(at):
    running = at("inference", 1.5)
    time.sleep(seeded.random() / 2)
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 143


def test_every_command_is_run_by_a_supervisor():
    # Setting up runs no native code and ends its children itself; the others run without the project's packages.
    others = {"setup.py", "s3_server.py", "check_packages.py"}
    commands = [path for folder in ("core", "components", "pipelines", "scripts", "benchmarks", "tools")
                for path in (PROJECT / folder).rglob("*.py") if 'if __name__ == "__main__":' in path.read_text()
                and path.name not in others]
    assert len(commands) > 20
    assert [path for path in commands if "run_command(" not in path.read_text()
            and not re.search(r"sys.exit\(run\(", path.read_text())] == []


def test_random_moments_from_the_very_start():
    for _ in range(12):
        place = Place("sleep", GRACE)
        time.sleep(seeded.random() * 0.3)
        place.process.terminate()
        # Before the first line of Python runs the signal's default action ends it: the same code to a shell.
        assert place.end()[0] in (143, -signal.SIGTERM)


def test_ignored_interrupts_stay_ignored():
    command = f"trap '' INT; exec {sys.executable} {PLACES} sleep {LONG}"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)}) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
    assert process.returncode == 143


def test_a_command_ends_where_the_lock_of_its_lifeline_is_gone(tmp_path):
    import fcntl

    with open(tmp_path / "lock", "w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, str(PLACES), "sleep", str(LONG)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": str(PROJECT),
                                   "MMDET_COMPRESS_LIFELINE": str(tmp_path / "lock")}) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.5)
            assert process.poll() is None
            lock.close()
        assert process.returncode == 143


def test_a_lifeline_that_another_run_holds_is_none(tmp_path):
    import fcntl

    from core.base.supervision import _Lifeline

    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("1")
        lock.flush()
        lifeline = _Lifeline(str(tmp_path / "lock"))
        assert not lifeline.broken()
        lock.truncate(0)
        assert not lifeline.broken()
        lock.write("2")
        lock.flush()
        assert lifeline.broken()


@pytest.mark.parametrize("work", ["print('x' * 100_000)", "print('x')", "print('x', flush=True)"])
def test_a_reader_that_has_enough_ends_a_command_without_a_word(work):
    """As `| head` has; a few lines are written only when the command ends."""
    assert unread(work) == (141, "")


def test_another_broken_pipe_is_a_fault():
    code, error = unread("raise BrokenPipeError('a socket')", close=False)
    assert code == 1 and "BrokenPipeError: a socket" in error


def unread(work, close=True):
    """Return exit code and standard error of a command whose standard output is closed by its reader, or not."""
    program = ("import sys; from core.base.supervision import run_command; sys.stdin.read(1)\n"
               f"def main():\n    {work}\n    return 0\nsys.exit(run_command('toy', main))")
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if close:
        process.stdout.close()
    _, error = process.communicate("x") if not close else (process.stdin.close(), process.stderr.read())
    return process.wait(), error


def test_a_handler_raises_once():
    before = signal.signal(signal.SIGUSR1, raise_once(KeyError))
    try:
        with pytest.raises(KeyError):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_child_of_a_parent_that_is_gone_does_not_begin():
    program = f"""
import os, subprocess, sys, time
sys.path.insert(0, {str(PROJECT)!r})
from core.base.supervision import end_with_this_process
tie = end_with_this_process()
if os.fork() == 0:
    subprocess.run(["true"], preexec_fn=lambda: time.sleep(0.2))
    tie()
    print("began")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert subprocess.run(["echo", "began"], preexec_fn=end_with_this_process(), capture_output=True).stdout == \
        b"began\n"
