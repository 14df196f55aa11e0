"""The whole compression: train, compress, export, validate, report, publish. It is pipelines/compress.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pipelines.compress import main

if __name__ == "__main__":
    sys.exit(main())
