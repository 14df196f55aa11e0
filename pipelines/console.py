"""What a person sees of a run: a line a stage, and the stages' own output behind their names."""

from typing import TextIO


class Console:
    """Writes whole lines to a stream that later redirections of standard output do not touch."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str = "") -> None:
        """Write one line at once."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class StageOutput:
    """Passes a stage's output on, line by line: to the console behind the stage's name, and as it is to a file.

    It is also a text stream, for a library that can only print.
    """

    def __init__(self, stage: str, console: Console, log: TextIO) -> None:
        self._stage, self._console, self._log = stage, console, log
        self._partial = ""

    def line(self, text: str) -> None:
        """Pass one line on."""
        self._log.write(f"{text}\n")
        self._log.flush()
        self._console.line(f"{self._stage} | {text}")

    def write(self, text: str) -> int:
        """Take a piece of text; whole lines are passed on, the rest waits."""
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self.line(line)
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are flushed as they are passed on."""


def duration(seconds: float) -> str:
    """Return seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
