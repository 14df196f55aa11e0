"""Give a target its corpus: ``python -m tests.fuzz.replay TARGET FOLDER`` prints how many were read and refused."""

import sys
from pathlib import Path

from tests.fuzz import pack, targets


def main() -> None:
    """Replay; an input that raises something else than a UserError ends the process with its traceback."""
    target, folder = sys.argv[1], Path(sys.argv[2])
    read = refused = 0
    for number, content in enumerate(pack.unpacked(target)):
        print("input", number, flush=True)
        if targets.run(target, content, folder):
            refused += 1
        else:
            read += 1
    print(read, refused)


if __name__ == "__main__":
    main()
