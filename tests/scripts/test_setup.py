import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.environments import ROOT

SETUP = [sys.executable, str(ROOT / "scripts" / "setup.py")]


@pytest.fixture
def machine(tmp_path, tools, fake_python, fake_program):
    """A machine whose two Pythons and compilers are fakes that record how they are called."""
    return Machine(tmp_path, tools, fake_python, fake_program)


class Machine:
    def __init__(self, folder, tools, fake_python, fake_program):
        self.envs = folder / "envs"
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        self.python38 = fake_python(folder / "python3.8", "3.8.18")
        self.python311 = fake_python(folder / "python3.11", "3.11.7")
        for compiler in ("gcc", "g++"):
            fake_program(folder / "bin" / compiler, "#!/bin/sh\n")
        self.environ = {"PATH": f"{folder / 'bin'}{os.pathsep}{tools}", "HOME": str(folder),
                        "PYTHON38": str(self.python38), "PYTHON311": str(self.python311),
                        "FAKE_CALLS": str(self.calls_file), "FAKE_PIP": "ok"}

    def command(self, *options):
        return [*SETUP, "--envs", str(self.envs), *options]

    def setup(self, *options, **environ):
        return subprocess.run(self.command(*options), env={**self.environ, **environ}, capture_output=True, text=True,
                              timeout=60)

    def calls(self, *words):
        """The recorded calls of the fakes that hold all ``words``; forgotten once read."""
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.write_text("")
        return [line for line in lines if all(word in line for word in words)]

    def start_hanging_install(self):
        process = subprocess.Popen(self.command("--env", "openvino"), env={**self.environ, "FAKE_PIP": "hang"},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        hanging = self.calls_file.with_name("calls.hanging")
        deadline = time.monotonic() + 30
        while not (hanging.exists() and hanging.read_text().strip()):
            assert time.monotonic() < deadline, "pip install was not reached"
            time.sleep(0.02)
        return process, int(hanging.read_text())


def test_both_environments_are_set_up_and_stamped(machine):
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"setup: train, openvino up to date in {machine.envs}"
    for name, version in (("train", "3.8.18"), ("openvino", "3.11.7")):
        assert json.loads((machine.envs / name / "set-up.json").read_text())["python"] == version


def test_installs_are_hash_checked_and_in_order(machine):
    machine.setup("--env", "train")
    installs = machine.calls("pip", " install ")
    images = ROOT / "images" / "train"
    pip = "-m pip --disable-pip-version-check --no-input install --progress-bar off"
    assert [call.strip() for call in installs] == [
        f"{pip} --require-hashes -r {images}/requirements-build.txt",
        f"{pip} --no-build-isolation --require-hashes -r {images}/requirements.txt "
        f"-r {images}/requirements-nncf.txt -r {images}/requirements-test.txt"]


def test_up_to_date_environment_costs_no_pip_and_less_than_a_second(machine):
    machine.setup()
    seconds = []
    for _ in range(3):
        machine.calls()
        began = time.monotonic()
        again = machine.setup()
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 1.0
    assert again.stdout == f"setup: train, openvino up to date in {machine.envs}\n"
    assert [call.strip() for call in machine.calls()] == ["--version", "--version"]


def test_stamp_of_other_locks_is_not_trusted(machine):
    machine.setup("--env", "openvino")
    stamp = machine.envs / "openvino" / "set-up.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "digest": "of other locks"}))
    checked = machine.setup("--env", "openvino", "--check")
    assert (checked.returncode, checked.stdout) == (1, "setup: openvino: made from other locks\n")
    machine.calls()
    assert machine.setup("--env", "openvino").returncode == 0
    assert machine.setup("--env", "openvino", "--check").returncode == 0
    assert not machine.calls("-m venv")


def test_check_changes_nothing(machine):
    checked = machine.setup("--check")
    assert checked.returncode == 1
    assert checked.stdout == "setup: train: not set up\nsetup: openvino: not set up\n"
    assert not machine.envs.exists()


def test_folder_of_the_environments_comes_from_the_variable(machine, tmp_path):
    (tmp_path / "named" / "train").mkdir(parents=True)
    checked = subprocess.run([*SETUP, "--check", "--env", "train"], stdout=subprocess.PIPE, text=True,
                             env={**machine.environ, "MMDET_COMPRESS_ENVS": str(tmp_path / "named")})
    assert checked.stdout == "setup: train: set-up not finished\n"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_setup_ends_its_children_and_is_continued(machine, is_running, signal_number):
    process, child = machine.start_hanging_install()
    process.send_signal(signal_number)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert message == "setup: interrupted. Start it again to go on from here.\n"
    assert not is_running(child)
    assert machine.setup("--check", "--env", "openvino").stdout == "setup: openvino: set-up not finished\n"
    machine.calls()
    assert machine.setup("--env", "openvino").returncode == 0
    assert not machine.calls("-m venv")


def test_killed_setup_leaves_the_lock_to_the_pip_that_outlives_it(machine):
    process, child = machine.start_hanging_install()
    process.kill()
    process.wait()
    with (machine.envs / ".set-up.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(child, signal.SIGKILL)
        assert eventually(lambda: acquired(lock))
    assert machine.setup("--env", "openvino").returncode == 0


def test_second_setup_waits_for_the_first(machine):
    machine.envs.mkdir()
    with (machine.envs / ".set-up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        waiting = subprocess.Popen(machine.command("--env", "openvino"), env=machine.environ, stdout=subprocess.PIPE,
                                   text=True)
        assert waiting.stdout.readline() == f"setup: waiting for another set-up in {machine.envs} (process 4711)\n"
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0


def test_broken_interpreter_is_made_anew(machine):
    machine.setup("--env", "openvino")
    (machine.envs / "openvino" / "bin" / "python").unlink()
    assert "does not run" in machine.setup("--env", "openvino", "--check").stdout
    machine.calls()
    assert machine.setup("--env", "openvino").returncode == 0
    assert machine.calls("-m venv --clear")


def test_packages_whose_installation_was_killed_are_installed_again(machine):
    machine.setup("--env", "openvino")
    site_packages = machine.envs / "openvino" / "lib" / "python3.x" / "site-packages"
    for name in ("whole-1.0.dist-info", "half-1.0.dist-info", "~alf"):
        (site_packages / name).mkdir()
    (site_packages / "whole-1.0.dist-info" / "INSTALLER").write_text("pip\n")
    (machine.envs / "openvino" / "set-up.json").unlink()
    machine.setup("--env", "openvino")
    assert [path.name for path in site_packages.iterdir()] == ["whole-1.0.dist-info"]


def test_failed_install_is_one_message_and_no_stamp(machine):
    failed = machine.setup("--env", "openvino", FAKE_PIP="fail")
    assert failed.returncode == 2
    assert failed.stderr.startswith("setup: set-up of openvino: installing what builds need")
    assert "ERROR: No matching distribution found" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not (machine.envs / "openvino" / "set-up.json").exists()


def test_nncf_extensions_are_built_without_the_locks_of_killed_builds(machine):
    extension = machine.envs / "train" / "torch_extensions" / "quantized_functions_cpu"
    machine.setup("--env", "train")
    extension.mkdir(parents=True)
    (extension / "lock").touch()
    (extension / "build.ninja").touch()
    (machine.envs / "train" / "set-up.json").unlink()
    machine.calls()
    machine.setup("--env", "train")
    assert [path.name for path in extension.iterdir()] == ["build.ninja"]
    assert machine.calls("import nncf.torch")


def test_without_nncf_no_nncf_is_installed_and_an_earlier_one_is_taken_out(machine):
    machine.setup("--env", "train")
    machine.calls()
    done = machine.setup("--env", "train", "--without-nncf")
    assert done.returncode == 0, done.stderr
    calls = machine.calls()
    assert not [call for call in calls if "requirements-nncf" in call or "import nncf" in call]
    removed = next(call for call in calls if " uninstall " in call).split()
    assert "nncf" in removed
    assert not {"numpy", "torch", "ninja", "tqdm", "scikit-learn", "attrs"} & set(removed)


def test_mmcv_wheel_index_comes_before_the_locks(machine):
    done = machine.setup("--env", "train", MMCV_WHEEL_INDEX="/srv/wheels")
    assert "installing mmcv-full from MMCV_WHEEL_INDEX, its hash unchecked" in done.stdout
    installs = machine.calls("pip", " install ")
    assert len(installs) == 3
    assert "--no-index --only-binary :all: --no-deps --find-links /srv/wheels mmcv-full==1.7.2" in installs[1]


def test_missing_compiler_is_told_before_anything_is_installed(machine, tmp_path):
    (tmp_path / "bin" / "g++").unlink()
    refused = machine.setup("--env", "train")
    assert refused.returncode == 2
    assert refused.stderr.startswith("setup: C++ compiler: no g++ on PATH.")
    assert "apt-get install g++" in refused.stderr
    assert not machine.calls("-m pip", "install")


def test_missing_python_headers_are_told(machine, tmp_path, fake_python):
    fake_python(tmp_path / "python3.8", "3.8.18", headers=False)
    refused = machine.setup("--env", "train")
    assert refused.returncode == 2
    assert "apt-get install python3.8-dev" in refused.stderr


def test_missing_python_is_told_with_exit_code_2(machine):
    refused = machine.setup("--env", "train", PYTHON38="")
    assert refused.returncode == 2
    assert refused.stderr.startswith("setup: Python 3.8: not found (no python3.8 on PATH, in pyenv or in uv).")


def test_folder_that_cannot_be_written_is_told(machine, tmp_path):
    machine.envs = tmp_path / "python3.8" / "envs"
    refused = machine.setup("--env", "openvino")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"setup: cannot write {machine.envs}")


def test_help_names_the_variables(machine):
    shown = machine.setup("--help").stdout
    for variable in ("MMDET_COMPRESS_ENVS", "PYTHON38", "PYTHON311", "MMCV_WHEEL_INDEX", "MAX_JOBS"):
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
