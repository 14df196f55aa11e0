import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.environment import ROOT
from scripts.installation import locked_versions

# Not the environment's own Python, which would be found as an interpreter.
SETUP = [sys._base_executable, str(ROOT / "scripts" / "setup.py")]


@pytest.fixture
def machine(tmp_path, tools, fake_python, fake_program):
    """A machine whose Python and compilers are fakes that record how they are called."""
    return Machine(tmp_path, tools, fake_python, fake_program)


class Machine:
    def __init__(self, folder, tools, fake_python, fake_program):
        self.folder = folder / "venv"
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        self.python311 = fake_python(folder / "python3.11", "3.11.7")
        for compiler in ("gcc", "g++"):
            fake_program(folder / "bin" / compiler, "#!/bin/sh\n")
        self.environ = {"PATH": f"{folder / 'bin'}{os.pathsep}{tools}", "HOME": str(folder),
                        "PYTHON311": str(self.python311),
                        "FAKE_CALLS": str(self.calls_file), "FAKE_PIP": "ok"}

    def command(self, *options):
        return [*SETUP, "--folder", str(self.folder), *options]

    def setup(self, *options, **environ):
        return subprocess.run(self.command(*options), env={**self.environ, **environ}, capture_output=True, text=True,
                              timeout=60)

    def calls(self, *words):
        """The recorded calls of the fakes that hold all ``words``; forgotten once read."""
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.write_text("")
        return [line for line in lines if all(word in line for word in words)]

    def start_hanging_install(self):
        process = subprocess.Popen(self.command(), env={**self.environ, "FAKE_PIP": "hang"},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        hanging = self.calls_file.with_name("calls.hanging")
        deadline = time.monotonic() + 30
        while not (hanging.exists() and hanging.read_text().strip()):
            assert time.monotonic() < deadline, "pip install was not reached"
            time.sleep(0.02)
        return process, int(hanging.read_text())


def test_the_environment_is_set_up_and_stamped(machine):
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"setup: {machine.folder} is up to date"
    assert json.loads((machine.folder / "set-up.json").read_text())["python"] == "3.11.7"


def test_installs_are_hash_checked_in_order_and_take_the_locks_as_they_are(machine):
    machine.setup()
    installs = machine.calls("pip", " install ")
    images = ROOT / "images"
    pip = "-m pip --disable-pip-version-check --no-input install --progress-bar off --no-deps"
    assert [call.strip() for call in installs] == [
        f"{pip} --require-hashes -r {images}/train/requirements-build.txt",
        f"{pip} --no-build-isolation --require-hashes -r {images}/train/requirements.txt "
        f"-r {images}/train/requirements-nncf.txt -r {images}/openvino/requirements.txt "
        f"-r {images}/development/requirements-authoring.txt -r {images}/development/requirements-test.txt"]


def test_up_to_date_environment_calls_no_pip(machine):
    machine.setup()
    machine.calls()
    again = machine.setup()
    assert again.stdout == f"setup: {machine.folder} is up to date\n"
    assert [call.strip() for call in machine.calls()] == ["--version"]


def test_stamp_of_other_locks_is_not_trusted(machine):
    machine.setup()
    stamp = machine.folder / "set-up.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "digest": "of other locks"}))
    checked = machine.setup("--check")
    assert (checked.returncode, checked.stdout) == (1, f"setup: {machine.folder}: made from other locks or elsewhere\n")
    machine.calls()
    assert machine.setup().returncode == 0
    assert machine.setup("--check").returncode == 0
    assert not machine.calls("-m venv")


def test_check_changes_nothing(machine):
    checked = machine.setup("--check")
    assert checked.returncode == 1
    assert checked.stdout == f"setup: {machine.folder}: not set up\n"
    assert not machine.folder.exists()


def test_folder_of_the_environment_comes_from_the_variable(machine, tmp_path):
    (tmp_path / "named").mkdir()
    checked = subprocess.run([*SETUP, "--check"], stdout=subprocess.PIPE, text=True,
                             env={**machine.environ, "MMDET_COMPRESS_VENV": str(tmp_path / "named")})
    assert checked.stdout == f"setup: {tmp_path / 'named'}: set-up not finished\n"


@pytest.mark.parametrize(("signal_number", "code", "word"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated by SIGTERM")])
def test_interrupted_setup_ends_its_children_and_is_continued(machine, is_running, signal_number, code, word):
    process, child = machine.start_hanging_install()
    process.send_signal(signal_number)
    _, message = process.communicate(timeout=30)
    assert process.returncode == code
    assert message == f"setup: {word}. Start it again to resume from here.\n"
    assert eventually(lambda: not is_running(child))
    assert machine.setup("--check").stdout == f"setup: {machine.folder}: set-up not finished\n"
    machine.calls()
    assert machine.setup().returncode == 0
    assert not machine.calls("-m venv")


def test_killed_setup_leaves_the_lock_to_the_pip_that_outlives_it(machine):
    process, child = machine.start_hanging_install()
    process.kill()
    process.wait()
    with machine.folder.with_name("venv.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(child, signal.SIGKILL)
        assert eventually(lambda: acquired(lock))
    assert machine.setup().returncode == 0


def test_second_setup_waits_for_the_first(machine):
    with machine.folder.with_name("venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        waiting = subprocess.Popen(machine.command(), env=machine.environ, stdout=subprocess.PIPE,
                                   text=True)
        assert waiting.stdout.readline() == f"setup: waiting for another set-up of {machine.folder} (process 4711)\n"
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0


def test_broken_interpreter_is_made_anew(machine):
    machine.setup()
    (machine.folder / "bin" / "python").unlink()
    assert "does not run" in machine.setup("--check").stdout
    machine.calls()
    assert machine.setup().returncode == 0
    assert machine.calls("-m venv --clear")


@pytest.mark.parametrize("there", [False, True])
def test_environment_that_was_moved_is_made_anew(machine, tmp_path, there):
    machine.setup()
    if there:
        (tmp_path / "before").mkdir()
    configuration = machine.folder / "pyvenv.cfg"
    configuration.write_text(f"home = /usr/bin\ncommand = /usr/bin/python3.11 -m venv --clear {tmp_path / 'before'}\n")
    (machine.folder / "set-up.json").unlink()
    machine.calls()
    assert machine.setup().returncode == 0
    assert machine.calls("-m venv --clear")


def test_environment_is_kept_under_another_name_of_its_folder(machine, tmp_path):
    machine.setup()
    (machine.folder / "pyvenv.cfg").write_text(f"command = python3.11 -m venv --clear {machine.folder}\n")
    (tmp_path / "link").symlink_to(machine.folder)
    machine.folder = tmp_path / "link"
    machine.calls()
    assert machine.setup().returncode == 0
    assert not machine.calls("-m venv --clear")


def test_folder_that_holds_something_else_is_not_emptied(machine):
    machine.folder.mkdir()
    (machine.folder / "thesis.tex").write_text("years of work")
    refused = machine.setup()
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"setup: folder of the environment: {machine.folder}. It holds something else")
    assert (machine.folder / "thesis.tex").exists()
    assert not machine.calls("-m venv")


@pytest.mark.parametrize("left", ["venv/pyvenv.cfg", "venv.log"])
def test_environment_that_was_half_made_is_made_anew(machine, left):
    (machine.folder / "lib").mkdir(parents=True)
    (machine.folder.parent / left).write_text("")
    assert machine.setup().returncode == 0
    assert machine.calls("-m venv --clear")


def test_folder_that_torchs_builder_cannot_take_is_told_before_anything_is_made(machine, tmp_path):
    machine.folder = tmp_path / "my code" / "venv"
    refused = machine.setup()
    assert refused.returncode == 2
    assert "MMDET_COMPRESS_VENV" in refused.stderr and "it has ' '" in refused.stderr
    assert not machine.folder.exists()
    assert machine.setup("--without-nncf").returncode == 0


def test_older_python_is_told():
    program = f"import runpy, sys; sys.version_info = (3, 9); runpy.run_path({SETUP[1]!r})"
    refused = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "with Python 3.11 or newer" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.parametrize(("variables", "seen"), [({}, ""), ({"FORCE_CUDA": "1"}, "0")])
def test_mmcv_is_compiled_for_gpus_where_that_is_asked_for(machine, variables, seen):
    python = machine.python311
    python.write_text(python.read_text().replace(
        'case "$1 $2" in', 'echo "GPUs:$CUDA_VISIBLE_DEVICES $*" >> "$FAKE_CALLS"\ncase "$1 $2" in', 1))
    machine.setup(CUDA_VISIBLE_DEVICES="0", **variables)
    assert machine.calls(f"GPUs:{seen} ", "--no-build-isolation")


def test_packages_whose_installation_was_killed_are_installed_again(machine):
    machine.setup()
    site_packages = machine.folder / "lib" / "python3.x" / "site-packages"
    for name in ("whole-1.0.dist-info", "half-1.0.dist-info", "~alf"):
        (site_packages / name).mkdir()
    (site_packages / "whole-1.0.dist-info" / "INSTALLER").write_text("pip\n")
    (machine.folder / "set-up.json").unlink()
    machine.setup()
    assert [path.name for path in site_packages.glob("*-info")] == ["whole-1.0.dist-info"]
    assert not list(site_packages.glob("~*"))


def test_failed_install_is_one_message_and_no_stamp(machine):
    failed = machine.setup(FAKE_PIP="fail")
    assert failed.returncode == 2
    assert failed.stderr.startswith("setup: set-up of environment: installing what builds need")
    assert "ERROR: No matching distribution found" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not (machine.folder / "set-up.json").exists()


def test_nncf_extensions_are_built_without_the_locks_of_killed_builds(machine):
    extension = machine.folder / "torch_extensions" / "quantized_functions_cpu"
    machine.setup()
    extension.mkdir(parents=True)
    (extension / "lock").touch()
    (extension / "build.ninja").touch()
    (machine.folder / "set-up.json").unlink()
    machine.calls()
    machine.setup()
    assert [path.name for path in extension.iterdir()] == ["build.ninja"]
    assert machine.calls("import nncf.torch")


def test_without_nncf_no_nncf_is_installed_and_an_earlier_one_is_taken_out(machine):
    machine.setup()
    machine.calls()
    done = machine.setup("--without-nncf")
    assert done.returncode == 0, done.stderr
    calls = machine.calls()
    assert not [call for call in calls if "requirements-nncf" in call or "import nncf" in call]
    removed = next(call for call in calls if " uninstall " in call).split()
    assert "nncf" in removed
    assert not {"numpy", "torch", "ninja", "tqdm", "scikit-learn", "attrs"} & set(removed)


def test_mmcv_wheel_index_comes_before_the_locks(machine):
    done = machine.setup(MMCV_WHEEL_INDEX="/srv/wheels")
    assert "installing mmcv-full from MMCV_WHEEL_INDEX, hashes unchecked" in done.stdout
    installs = machine.calls("pip", " install ")
    assert len(installs) == 3
    assert "--no-index --only-binary :all: --no-deps --find-links /srv/wheels mmcv-full==1.7.2" in installs[1]


def test_torch_wheel_index_takes_the_place_of_cuda(machine):
    assert machine.setup(TORCH_WHEEL_INDEX="/srv/wheels").returncode == 0
    first, *others = machine.calls("pip", " install ")
    assert "--find-links /srv/wheels torch==2.1.2 torchvision==0.16.2" in first
    locks = [Path(word) for call in others for word in call.split() if word.endswith(".txt")]
    assert len(locks) == 6
    pinned = {name for lock in locks for name in locked_versions(lock)}
    assert "torch" in pinned and "numpy" in pinned and not [name for name in pinned if name.startswith("nvidia")]


def test_missing_compiler_is_told_before_anything_is_installed(machine, tmp_path):
    (tmp_path / "bin" / "g++").unlink()
    refused = machine.setup()
    assert refused.returncode == 2
    assert refused.stderr.startswith("setup: C++ compiler: no g++ on PATH.")
    assert "apt-get install g++" in refused.stderr
    assert not machine.calls("-m pip", "install")


def test_missing_python_headers_are_told(machine, tmp_path, fake_python):
    fake_python(tmp_path / "python3.11", "3.11.7", headers=False)
    refused = machine.setup()
    assert refused.returncode == 2
    assert "apt-get install python3.11-dev" in refused.stderr


def test_missing_python_is_told_with_exit_code_2(machine):
    refused = machine.setup(PYTHON311="")
    assert refused.returncode == 2
    assert refused.stderr.startswith("setup: Python 3.11: not found (no python3.11 on PATH, in pyenv or in uv).")


def test_folder_that_cannot_be_written_is_told(machine, tmp_path):
    machine.folder = tmp_path / "python3.11" / "venv"
    refused = machine.setup()
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"setup: cannot write {machine.folder.parent}")


def test_help_names_the_variables(machine):
    shown = machine.setup("--help").stdout
    for variable in ("MMDET_COMPRESS_VENV", "PYTHON311", "MMCV_WHEEL_INDEX", "TORCH_WHEEL_INDEX", "FORCE_CUDA",
                     "MAX_JOBS"):
        assert variable in shown


def acquired(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def eventually(condition):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
