"""Compile every requirements*.in into a hashed lock beside it; `make lock` runs this.

They are compiled in order, each held to the versions of those before it: one resolution. Versions already
locked are kept unless `--upgrade` is given. uv does the work: the one on PATH, else one in a temporary environment.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.base.errors import UserError  # noqa: E402
from core.base.supervision import run_command  # noqa: E402
from scripts.environment import BUILD_LOCK, OVERRIDES, PYTHON, RESOLUTION  # noqa: E402
from scripts.pythons import find_python  # noqa: E402

# mmcv-full asks for the OpenCV that is there when it is built; where its metadata is read for a lock, none is.
NOT_EMITTED = {"images/train/requirements.txt": "opencv-python"}


def compile_commands(uv: str, python: str, upgrade: bool) -> Iterator[list[str]]:
    """Yield one uv command per lock, with paths relative to the repository's root."""
    build, earlier = _relative(BUILD_LOCK), []
    for path in map(_relative, RESOLUTION):
        command = [uv, "pip", "compile", "--quiet", "--generate-hashes", "--custom-compile-command", "make lock",
                   "--python", python, "--python-version", PYTHON, "--override", _relative(OVERRIDES),
                   path[: -len(".txt")] + ".in", "--output-file", path]
        if earlier:
            # Source distributions are built for their metadata with the same setuptools that installs them.
            command += ["--build-constraints", build]
        if path in NOT_EMITTED:
            command += ["--no-emit-package", NOT_EMITTED[path]]
        for constraint in earlier:
            command += ["--constraints", constraint]
        yield command + (["--upgrade"] if upgrade else [])
        earlier.append(path)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def find_uv(folder: Path) -> str:
    """Return a uv executable: the one on PATH, else one installed into ``folder``."""
    found = shutil.which("uv")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--no-input", "uv"], check=True)
    return str(folder / "bin" / "uv")


def main(argv: list[str] | None = None) -> int:
    """Compile all locks and return the exit code."""
    parser = argparse.ArgumentParser(prog="lock", description="Compile images/*/requirements*.in into hashed locks.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions the .in files allow")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            uv = find_uv(Path(folder))
            python = str(find_python(PYTHON, os.environ).executable)
            for command in compile_commands(uv, python, arguments.upgrade):
                print(f"lock: {command[command.index('--output-file') + 1]}", flush=True)
                subprocess.run(command, cwd=ROOT, check=True)
    except UserError as error:
        print(f"lock: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"lock: {' '.join(error.cmd[:3])} ended with {error.returncode}; its own message stands above.",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run_command("lock", main))
