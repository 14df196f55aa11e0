"""Pack a minimised corpus for the replay: ``python tests/fuzz/pack.py TARGET FOLDER`` writes ``corpus/TARGET.json``.

The smallest inputs come first; what does not fit into the file's bound is left out.
"""

import base64
import json
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
MOST_BYTES = 60_000


def pack(target: str, folder: Path) -> Path:
    """Write the inputs of a folder, in base64 and one a line, and return the file."""
    lines: list[str] = []
    left = MOST_BYTES
    inputs = {path.read_bytes() for path in folder.iterdir()}
    for content in sorted(inputs, key=lambda content: (len(content), content)):
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


if __name__ == "__main__":
    print(pack(sys.argv[1], Path(sys.argv[2])))
