import shutil
from pathlib import Path

import pytest

FAKE_PYTHON = """#!/bin/sh
# Stands for Python VERSION. Records each call in $FAKE_CALLS; FAKE_PIP says what `pip install` does.
echo "$*" | tr '\\n' ' ' >> "$FAKE_CALLS"; echo >> "$FAKE_CALLS"
case "$1 $2" in
--version*) echo "Python VERSION" ;;
"-m venv")
    for folder; do :; done
    mkdir -p "$folder/bin" "$folder/lib/python3.x/site-packages"
    cp "$0" "$folder/bin/python" ;;
"-m pip")
    case "$*:$FAKE_PIP" in
    *" install "*:fail) echo "Collecting torch"; echo "ERROR: No matching distribution found"; exit 1 ;;
    *" install "*:hang) sleep 600 & echo $! > "$FAKE_CALLS.hanging"; wait ;;
    esac ;;
*ensurepip*) echo '{"executable": "'"$0"'", "version": "VERSION", "venv": VENV, "headers": HEADERS}' ;;
esac
"""


@pytest.fixture
def fake_python():
    """Returns a function that writes an executable which answers like a Python, without being one."""

    def write(path: Path, version: str, venv: bool = True, headers: bool = True) -> Path:
        text = FAKE_PYTHON.replace("VERSION", version)
        return write_program(path, text.replace("VENV", str(venv).lower()).replace("HEADERS", str(headers).lower()))

    return write


@pytest.fixture
def fake_program():
    """Returns a function that writes an executable shell script."""
    return write_program


@pytest.fixture
def tools(tmp_path):
    """A PATH folder with what the fakes need and no Python, compiler or uv of the machine."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in ("sh", "cp", "mkdir", "sleep", "tr"):
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


@pytest.fixture
def is_running():
    """Returns a function that tells whether a process runs; one that only waits to be reaped does not."""

    def running(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    return running


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
