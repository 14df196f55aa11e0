"""Minimise a corpus and keep it for the replay in ``corpus/TARGET.json``: ``python -m tests.fuzz.pack TARGET FOLDER``.

Of the inputs, the smallest first, those stay that take a way through the readers that none before them took.
"""

import base64
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz import seeds, targets

CORPUS = Path(__file__).resolve().parent / "corpus"
MOST_BYTES = 60_000
_FOLLOWED = ("/core/", "/pickle.py", "/zipfile.py", "/botocore/parsers.py")

Step = tuple[Any, int, int]
"""From one line of a function to another."""


def minimised(target: str, inputs: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the inputs that add a step between two lines to what those before them ran."""
    seen: set[Step] = set()
    with tempfile.TemporaryDirectory() as folder:
        # What is imported or cached by the first run is no input's merit.
        targets.run(target, seeds.seeds(target)[0], Path(folder))
        for content in sorted(set(inputs), key=lambda content: (len(content), content)):
            steps = _steps(lambda content=content: targets.run(target, content, Path(folder)))
            if not steps <= seen:
                seen |= steps
                yield content


def pack(target: str, inputs: Iterable[bytes]) -> Path:
    """Write inputs in base64, one a line, up to the file's bound, and return the file."""
    lines: list[str] = []
    left = MOST_BYTES
    for content in inputs:
        line = base64.b64encode(content).decode("ascii")
        left -= len(line) + 4
        if left < 0:
            break
        lines.append(json.dumps(line))
    packed = CORPUS / f"{target}.json"
    packed.parent.mkdir(exist_ok=True)
    packed.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
    return packed


def unpacked(target: str) -> list[bytes]:
    """Return the inputs that :func:`pack` wrote."""
    return [base64.b64decode(line) for line in json.loads((CORPUS / f"{target}.json").read_text(encoding="ascii"))]


def _steps(run: Callable[[], Any]) -> set[Step]:
    steps: set[Step] = set()
    before = 0

    def line(frame: Any, event: str, argument: Any) -> Any:
        nonlocal before
        if event == "line":
            steps.add((frame.f_code, before, frame.f_lineno))
            before = frame.f_lineno
        return line

    def called(frame: Any, event: str, argument: Any) -> Any:
        return line if any(part in frame.f_code.co_filename for part in _FOLLOWED) else None

    sys.settrace(called)
    try:
        run()
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    found = [path.read_bytes() for path in Path(sys.argv[2]).iterdir()]
    print(pack(sys.argv[1], minimised(sys.argv[1], [*found, *seeds.seeds(sys.argv[1])])))
