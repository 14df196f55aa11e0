"""Programs that get a signal while they wait for the network."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SECONDS_TO_END = 5


def exit_code(number: signal.Signals, waiting: threading.Event, program: str, *arguments: str,
              **environment: str) -> int:
    """Run a Python program, send it a signal once it waits, and return its exit code.

    Raises:
        subprocess.TimeoutExpired: It does not end within ``SECONDS_TO_END``.
    """
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=Path(__file__).parents[3],
                               env={**os.environ, **environment})
    try:
        assert waiting.wait(60)
        time.sleep(0.5)
        process.send_signal(number)
        return process.wait(timeout=SECONDS_TO_END)
    finally:
        process.kill()
        process.wait()
