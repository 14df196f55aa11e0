"""Find an interpreter of a given Python version: environment variable, PATH, pyenv, uv.

A file named ``python3.11`` is no proof: pyenv's shims exist for versions that are not selected, and Debian's
interpreters come without ``venv``. So every candidate is run and asked before it is chosen.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError

PROBE_SECONDS = 20
PROBE = """
import importlib.util, json, os, sys, sysconfig
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
print(json.dumps({
    "executable": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "headers": os.path.isfile(header)}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter that was run and answered.

    Attributes:
        executable: The real interpreter, not the shim it was found through.
        version: Three numbers, such as ``3.11.7``.
        has_venv: Whether it can create virtual environments with pip in them.
        has_headers: Whether ``Python.h`` is there, without which no C++ extension compiles.
    """

    executable: Path
    version: str
    has_venv: bool
    has_headers: bool


def probe(executable: Path, environ: Mapping[str, str]) -> Python | None:
    """Run ``executable`` and return what it is, or None where it does not run as a Python."""
    try:
        answer = subprocess.run([str(executable), "-c", PROBE], env=dict(environ), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=True)
        found = json.loads(answer.stdout)
        return Python(Path(found["executable"]), found["version"], found["venv"], found["headers"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def find_python(version: str, environ: Mapping[str, str]) -> Python:
    """Return the first interpreter of ``version`` ("3.11") that runs and can create virtual environments.

    Raises:
        UserError: Where the environment variable (``PYTHON311`` for 3.11) names something else, or none is found.
    """
    variable = "PYTHON" + version.replace(".", "")
    if environ.get(variable):
        return _named_python(version, variable, environ)
    rejected: list[str] = []
    for candidate in _candidates(version, environ):
        found = probe(candidate, environ)
        if found is None:
            rejected.append(f"{candidate} does not run")
        elif not _is_version(found, version):
            rejected.append(f"{candidate} is Python {found.version}")
        elif not found.has_venv:
            rejected.append(f"{candidate} lacks the venv module (apt-get install python{version}-venv)")
        else:
            return found
    looked = "; ".join(rejected) if rejected else f"no python{version} on PATH, in pyenv or in uv"
    raise UserError(f"Python {version}", f"not found ({looked})", "Its environment is made with this very version.",
                    _ways_to_get(version, variable))


def _named_python(version: str, variable: str, environ: Mapping[str, str]) -> Python:
    found = probe(Path(environ[variable]), environ)
    if found is None or not _is_version(found, version) or not found.has_venv:
        what = "does not run" if found is None else f"is Python {found.version}" + ("" if found.has_venv else
                                                                                   " without the venv module")
        raise UserError(variable, f"{environ[variable]} {what}",
                        f"It must name an interpreter of Python {version} with venv.",
                        f"Correct it, or unset it to have one searched for. {_ways_to_get(version, variable)}")
    return found


def _ways_to_get(version: str, variable: str) -> str:
    packages = f"python{version} python{version}-venv python{version}-dev"
    return (f"Get one in one of three ways: apt-get install {packages} (on Ubuntu from the deadsnakes archive where "
            f"the release has another version); pyenv install {version}; uv python install {version}. "
            f"Or name an interpreter in {variable}. Then start again.")


def _is_version(python: Python, version: str) -> bool:
    return python.version.startswith(version + ".")


def _candidates(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield each place an interpreter may be, once, in order of preference."""
    seen = set()
    for path in (*_on_path(version, environ), *_in_pyenv(version, environ), *_from_uv(version, environ)):
        if path not in seen:
            seen.add(path)
            yield path


def _on_path(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(f"python{version}", path=folder) if folder else None
        if found:
            yield Path(found)


def _in_pyenv(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    folders = (folder for folder in (root / "versions").glob(f"{version}.*") if _release(folder))
    for folder in sorted(folders, key=_release, reverse=True):
        if (folder / "bin" / "python").exists():
            yield folder / "bin" / "python"


def _release(folder: Path) -> tuple[int, ...]:
    """Return the numbers of a release such as ``3.11.7``; nothing for pre-releases and named environments."""
    return tuple(map(int, folder.name.split("."))) if re.fullmatch(r"\d+(\.\d+)+", folder.name) else ()


def _from_uv(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    uv = shutil.which("uv", path=environ.get("PATH", ""))
    if uv is None:
        return
    try:
        answer = subprocess.run([uv, "python", "find", version], env=dict(environ), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    yield Path(answer.stdout.decode().strip())
