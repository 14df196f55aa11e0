"""Run a set-up's long commands: output into a log, and a line every 15 seconds on what they are doing."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from core.base.errors import UserError

HEARTBEAT_SECONDS = 15.0
INTERRUPT_SECONDS = 3.0
TAIL_BYTES = 65536
PIP_LINES = (
    (re.compile(r"^\s*Building wheel for mmcv-full"),
     "building mmcv-full (once per machine, about 12 minutes on 2 cores)"),
    (re.compile(r"^\s*Building wheel for ([\w.-]+)"), r"building \1"),
    (re.compile(r"^\s*Downloading (?:\S*/)?([^/\s]+(?: \([\d.]+ \w+\))?)"), r"downloading \1"),
    (re.compile(r"^\s*Using cached ([^/\s]+)"), r"taking \1 from pip's cache"),
    (re.compile(r"^\s*(?:Collecting|Processing) (?:\S*/)?([^/\s]+)"), r"collecting \1"),
    (re.compile(r"^Installing collected packages"), "unpacking the packages"),
)

BROKEN = re.compile(r"^WARNING: Retrying .* after connection broken by '(.*)': ")


def doing(log_text: str) -> str:
    """Return what pip does by the last line of ``log_text`` that tells, or nothing where none does."""
    for line in reversed(log_text.splitlines()):
        for pattern, says in PIP_LINES:
            match = pattern.match(line)
            if match:
                return match.expand(says)
    return ""


def clock(seconds: float) -> str:
    """Return ``seconds`` as minutes:seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Steps:
    """The numbered steps of one environment's set-up, their output in one log.

    Args:
        name: The environment's name, which starts every line.
        total: How many steps there will be.
        log: The log file, begun anew.
        lock: Descriptor of the set-up's lock. Commands hold it too, so that a command which outlives a
            killed set-up keeps the next one waiting.
        out: Where the lines go.
    """

    def __init__(self, name: str, total: int, log: Path, lock: int, out: TextIO = sys.stdout) -> None:
        self._name, self._total, self._log, self._lock, self._out = name, total, log, lock, out
        self._number = 0
        log.write_text("")

    def say(self, text: str) -> None:
        """Print one line about the present step."""
        print(f"[{self._name} {self._number}/{self._total}] {text}", file=self._out, flush=True)

    def run(self, title: str, commands: Sequence[list[str]], environ: Mapping[str, str]) -> None:
        """Run one step's ``commands`` one after the other.

        Raises:
            UserError: Where one of them fails, with the last lines it wrote.
        """
        self._number += 1
        began = time.monotonic()
        self.say(title)
        for command in commands:
            self._run_command(title, command, environ, began)
        self.say(f"done in {clock(time.monotonic() - began)}")

    def _run_command(self, title: str, command: list[str], environ: Mapping[str, str], began: float) -> None:
        with self._log.open("a") as log:
            start = log.tell()
            # A session of its own, so that an interrupt can end compilers and all.
            process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(self._lock,))
        try:
            while True:
                try:
                    status = process.wait(timeout=HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    self.say(f"{clock(time.monotonic() - began)} {doing(self._written_since(start)) or title}")
        except BaseException:
            _end_group(process)
            raise
        if status != 0:
            raise UserError(f"set-up of {self._name}", f"{title} failed: {self._last_words(start)}",
                            f"The whole output is in {self._log}.",
                            "Fix the cause and start the set-up again; it resumes from here.")

    def _written_since(self, start: int) -> str:
        with self._log.open("rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode(errors="replace")

    def _last_words(self, start: int) -> str:
        lines = [line.strip() for line in self._written_since(start).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        # pip ends such a search with "No matching distribution", as if the index had answered.
        broken = [found.group(1) for found in map(BROKEN.search, lines) if found]
        unreached = [f"no connection to the package index ({broken[-1]})"] if broken else []
        return " / ".join(unreached + (errors or lines)[-3:]) or "without a word"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command with all it started, as Ctrl-C would, and kill what does not listen."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=INTERRUPT_SECONDS)
        except subprocess.TimeoutExpired:
            continue
