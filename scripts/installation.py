"""The environment on disk: whether it is complete, and the steps that complete it."""

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from scripts.environment import (
    BUILD_LOCK,
    CUDA_PACKAGES,
    GIGABYTES,
    IMPORTS,
    LIBRARIES,
    LOCKS,
    NNCF_LOCK,
    OVERRIDES,
    PYTHON,
)
from scripts.progress import Steps
from scripts.pythons import Python, find_python, probe

STAMP = "set-up.json"
HOOK = "mmdet_compress.pth"
# NNCF compiles two extensions when nncf.torch is imported, where TORCH_EXTENSIONS_DIR says and with the ninja on
# PATH. A .pth line runs at every start of the interpreter, so all processes of the environment agree on both.
HOOK_TEXT = (
    "import os, sys; "
    'os.environ.setdefault("TORCH_EXTENSIONS_DIR", os.path.join(sys.prefix, "torch_extensions")); '
    'scripts = os.path.join(sys.prefix, "bin"); path = os.environ.get("PATH", os.defpath); '
    'os.environ["PATH"] = path if scripts in path.split(os.pathsep) else scripts + os.pathsep + path\n')


@dataclass(frozen=True)
class Step:
    """A titled part of an installation: something to prepare, then commands to run."""

    title: str
    commands: Sequence[list[str]]
    prepare: Callable[[], None] | None = None


class Installation:
    """The environment's folder.

    Args:
        environ: The environment variables to obey: ``PYTHON311``, ``MMCV_WHEEL_INDEX``, ``TORCH_WHEEL_INDEX``,
            ``FORCE_CUDA``, ``MAX_JOBS``.
    """

    def __init__(self, folder: Path, with_nncf: bool, environ: dict[str, str]) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._with_nncf = with_nncf
        self._locks = [lock for lock in LOCKS if with_nncf or lock != NNCF_LOCK]
        self._environ = environ
        self._mmcv_index = environ.get("MMCV_WHEEL_INDEX", "")
        self._torch_index = environ.get("TORCH_WHEEL_INDEX", "")

    def stale(self) -> str:
        """Return why the environment is not complete and up to date, or nothing where it is."""
        if not self.folder.is_dir():
            return "not set up"
        try:
            stamp = json.loads((self.folder / STAMP).read_text())
        except (FileNotFoundError, ValueError):
            return "set-up not finished"
        version = self._version()
        if not version:
            return f"{self.python} does not run"
        return "" if stamp.get("digest") == self._digest(version) else "made from other locks or elsewhere"

    def preflight(self) -> Python | None:
        """Check what installing needs and return the interpreter to create the environment from.

        Returns:
            None where the environment's own interpreter works and is kept.

        Raises:
            UserError: For a folder that is none for an environment, and for a Python, a compiler, a library or room on
                the disk that is missing.
        """
        if self._with_nncf:
            _require_plain_name(self.folder)
        kept = self._working_python()
        if kept is None:
            self._require_replaceable()
        python = kept or find_python(PYTHON, self._environ)
        if self._with_nncf or not self._mmcv_index:
            _require_compiler(python, self._environ)
        _require_libraries()
        if kept is None:
            _require_room(self.folder.parent)
        return None if kept else python

    def complete(self, base: Python | None, lock: int) -> None:
        """Run the steps and stamp the environment.

        Args:
            base: The interpreter to create the environment from; None continues the present one.
            lock: Descriptor of the held set-up lock.
        """
        stamp = self.folder / STAMP
        if stamp.exists():
            stamp.unlink()
        steps = self._steps(base)
        runner = Steps("environment", len(steps), log_beside(self.folder), lock)
        for step in steps:
            if step.prepare:
                step.prepare()
            runner.run(step.title, step.commands, self._child_environ())
        unstamped = stamp.with_suffix(".tmp")
        unstamped.write_text(json.dumps({"digest": self._digest(self._version()), "python": self._version()}) + "\n")
        os.replace(unstamped, stamp)

    def _steps(self, base: Python | None) -> list[Step]:
        steps = []
        if base is not None:
            steps.append(Step(f"creating the environment with Python {base.version} ({base.executable})",
                              [[str(base.executable), "-m", "venv", "--clear", str(self.folder)]]))
        if self._torch_index:
            steps.append(self._index_step("TORCH_WHEEL_INDEX", self._torch_index, "torch", "torchvision"))
        # The locks are whole, so pip need not look what a package asks for: images/overrides.txt has the last word.
        steps.append(Step(f"installing what builds need ({BUILD_LOCK.name})",
                          [self._install("--no-deps", "--require-hashes", *self._lock_options([BUILD_LOCK]))],
                          self._drop_unfinished_packages))
        if self._mmcv_index:
            steps.append(self._index_step("MMCV_WHEEL_INDEX", self._mmcv_index, "mmcv-full"))
        steps.append(Step("installing " + ", ".join(f"{lock.parent.name}/{lock.stem}" for lock in self._locks),
                          [self._install("--no-deps", "--no-build-isolation", "--require-hashes",
                                         *self._lock_options(self._locks))]))
        if self._with_nncf:
            steps.append(Step("building NNCF's two C++ extensions (75 seconds of one core)",
                              [[str(self.python), "-c", "import nncf.torch"]], self._prepare_extensions))
        else:
            steps.append(Step("taking out what only NNCF needs", [self._pip("uninstall", "--yes", *self._nncf_only())]))
        check = [str(self.python), str(Path(__file__).with_name("check_packages.py")), str(OVERRIDES)]
        imports = [str(self.python), "-c", "import " + ", ".join(IMPORTS)]
        steps.append(Step("checking the installation", [check, imports]))
        return steps

    def _index_step(self, variable: str, index: str, *names: str) -> Step:
        # A wheel built elsewhere has a hash of its own, so the lock's cannot be asked of it. Once it is installed, pip
        # finds the lock's requirement satisfied.
        return Step(f"installing {' and '.join(names)} from {variable}, hashes unchecked",
                    [self._install("--no-index", "--only-binary", ":all:", "--no-deps", "--find-links", index,
                                   *(f"{name}=={self._pins()[name]}" for name in names))])

    def _pip(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]

    def _install(self, *arguments: str) -> list[str]:
        return self._pip("install", "--progress-bar", "off", *arguments)

    def _lock_options(self, locks: Sequence[Path]) -> list[str]:
        options = []
        for lock in locks:
            if self._torch_index:
                lock = self._without_cuda(lock)
            options += ["-r", str(lock)]
        return options

    def _without_cuda(self, lock: Path) -> Path:
        """Return a copy of ``lock`` without CUDA's libraries, which the torch of TORCH_WHEEL_INDEX may not need."""
        copy = log_beside(self.folder).with_suffix("") / f"{lock.parent.name}-{lock.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        kept = [part for part in re.split(r"^(?=[\w.-]+==)", lock.read_text(), flags=re.MULTILINE)
                if not part.startswith(CUDA_PACKAGES)]
        copy.write_text("".join(kept))
        return copy

    def _pins(self) -> dict[str, str]:
        return {name: version for lock in self._locks for name, version in locked_versions(lock).items()}

    def _nncf_only(self) -> list[str]:
        kept = self._pins().keys() | locked_versions(BUILD_LOCK).keys()
        return sorted(locked_versions(NNCF_LOCK).keys() - kept)

    def _prepare_extensions(self) -> None:
        for site_packages in self._site_packages():
            (site_packages / HOOK).write_text(HOOK_TEXT)
        # torch.utils.file_baton waits for ever on a lock that a killed build left; we hold the set-up's lock.
        for left_behind in (self.folder / "torch_extensions").glob("*/lock"):
            left_behind.unlink()

    def _drop_unfinished_packages(self) -> None:
        """Remove packages whose installation was killed, which pip would take for installed.

        pip writes INSTALLER after a package's files, and renames what it uninstalls to a name with ``~``.
        """
        for site_packages in self._site_packages():
            for metadata in site_packages.glob("*.dist-info"):
                if not (metadata / "INSTALLER").exists():
                    shutil.rmtree(metadata)
            for uninstalled in site_packages.glob("~*"):
                shutil.rmtree(uninstalled)

    def _site_packages(self) -> Iterator[Path]:
        return (self.folder / "lib").glob("python*/site-packages")

    def _child_environ(self) -> dict[str, str]:
        # PYTHONPATH and PYTHONHOME would lead the environment's interpreter astray.
        kept = {name: value for name, value in self._environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        path = str(self.python.parent) + os.pathsep + kept.get("PATH", os.defpath)
        kept.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
        if kept.get("FORCE_CUDA") != "1":
            # Where mmcv-full's build sees a GPU it wants a compiler for it, and one of torch's own CUDA.
            kept["CUDA_VISIBLE_DEVICES"] = ""
        return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1",
                "TORCH_EXTENSIONS_DIR": str(self.folder / "torch_extensions")}

    def _working_python(self) -> Python | None:
        """Return the environment's interpreter if it is of the right version and has a working pip."""
        found = probe(self.python, self._environ) if self.python.exists() else None
        if found is None or not found.version.startswith(f"{PYTHON}.") or self._moved():
            return None
        pip = subprocess.run(self._pip("--version"), env=self._child_environ(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return found if pip.returncode == 0 else None

    def _moved(self) -> bool:
        """Return whether the environment was made in another folder, which its programs' first lines name."""
        try:
            configuration = (self.folder / "pyvenv.cfg").read_text()
            made = re.search(r"^command = .* -m venv (?:--clear )?(.+)$", configuration, flags=re.MULTILINE)
            return made is not None and not self.folder.samefile(made.group(1))
        except FileNotFoundError:
            return (self.folder / "pyvenv.cfg").exists()

    def _require_replaceable(self) -> None:
        """Raise UserError where the folder holds what neither a set-up nor `python -m venv` has put there."""
        ours = (self.folder / "pyvenv.cfg").exists() or log_beside(self.folder).exists()
        if not ours and self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError("folder of the environment", self.folder,
                            "It holds something else, which would be deleted.",
                            "Name a new folder with --folder, or empty this one.")

    def _version(self) -> str:
        try:
            answer = subprocess.run([str(self.python), "--version"], env=self._child_environ(),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return answer.stdout.decode().split()[-1]

    def _digest(self, version: str) -> str:
        """Return the sha256 of all that a complete environment depends on."""
        digest = hashlib.sha256(json.dumps([version, str(self.folder), HOOK_TEXT]).encode())
        for lock in (BUILD_LOCK, *self._locks):
            digest.update(f"{lock.parent.name}/{lock.name}".encode() + b"\0" + lock.read_bytes() + b"\0")
        return digest.hexdigest()


def log_beside(folder: Path) -> Path:
    """Return the log of the set-up of the environment in ``folder``."""
    return folder.with_name(f"{folder.name}.log")


def locked_versions(lock: Path) -> dict[str, str]:
    """Return package name to version of a lock compiled by `make lock`."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE))


def _require_compiler(python: Python, environ: dict[str, str]) -> None:
    missing = [tool for tool in ("gcc", "g++") if shutil.which(tool, path=environ.get("PATH", os.defpath)) is None]
    if missing:
        raise UserError("C++ compiler", f"no {' and no '.join(missing)} on PATH",
                        "mmcv-full and NNCF's extensions are compiled once per machine.",
                        "Install them (apt-get install g++), or, without NNCF, name a folder or page of prebuilt "
                        "wheels in MMCV_WHEEL_INDEX and pass --without-nncf.")
    if not python.has_headers:
        raise UserError("Python.h", f"missing for {python.executable}", "mmcv-full and NNCF's extensions include it.",
                        f"Install it: apt-get install python{PYTHON}-dev.")


def _require_libraries() -> None:
    missing = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append((library, package))
    if missing:
        raise UserError("OpenCV's libraries", f"no {' and no '.join(library for library, _ in missing)}",
                        "opencv-python, which Model API asks for, loads them.",
                        f"Install them: apt-get install {' '.join(package for _, package in missing)}.")


def _require_plain_name(folder: Path) -> None:
    signs = sorted(set(re.findall(r"""[\s"'`\\$&|;<>()]""", str(folder))))
    if signs:
        raise UserError("folder of the environment", folder, "torch's builder, which compiles NNCF's extensions, puts "
                        f"its path into a shell's command as it is, and it has {' and '.join(map(repr, signs))}.",
                        "Name another one with --folder or MMDET_COMPRESS_VENV; this clone can stay where it is.")


def _require_room(parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if free < GIGABYTES * 1e9:
        raise UserError("room for the environment", f"{free / 1e9:.1f} GB free at {parent}",
                        f"It takes {GIGABYTES} GB while it is installed.",
                        "Free some, or name a folder on another disk with --folder.")
