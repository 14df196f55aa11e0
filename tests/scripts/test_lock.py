from scripts.lock import compile_commands, find_uv


def test_each_lock_is_held_to_those_before_it():
    commands = list(compile_commands("uv", "/usr/bin/python3.11", upgrade=False))
    assert [command[command.index("--output-file") + 1] for command in commands] == [
        "images/train/requirements-build.txt", "images/train/requirements.txt", "images/train/requirements-nncf.txt",
        "images/openvino/requirements-build.txt", "images/openvino/requirements.txt",
        "images/development/requirements-authoring.txt", "images/development/requirements-test.txt"]
    assert commands[2] == [
        "uv", "pip", "compile", "--quiet", "--generate-hashes", "--custom-compile-command", "make lock",
        "--python", "/usr/bin/python3.11", "--python-version", "3.11", "--override", "images/overrides.txt",
        "images/train/requirements-nncf.in", "--output-file", "images/train/requirements-nncf.txt",
        "--build-constraints", "images/train/requirements-build.txt",
        "--constraints", "images/train/requirements-build.txt", "--constraints", "images/train/requirements.txt"]


def test_upgrade_is_passed_on():
    assert all(command[-1] == "--upgrade" for command in compile_commands("uv", "python", upgrade=True))


def test_uv_on_path_is_used(tmp_path, fake_program, monkeypatch):
    uv = fake_program(tmp_path / "uv", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uv(tmp_path / "unused") == str(uv)
