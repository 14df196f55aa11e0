"""The images' command line around a docker that only writes down what it is asked; real builds are e2e tests."""

import json
import os
import re
import subprocess
import sys

import pytest

from components import images
from scripts.environment import ROOT
from scripts.images import IMAGES, build_command, push

DIGEST = "sha256:" + "1" * 64
# Answers as the docker command does; the first on PATH lacks the plugin that newer ones build with.
DOCKER = """#!PYTHON
import json, os, sys
command = sys.argv[1:]
with open("ASKED", "a") as file:
    file.write(json.dumps(command) + "\\n")
if command[:2] == ["build", "--help"]:
    print("usage")
elif command[0] == "info":
    print("20.10")
elif command[:2] == ["image", "inspect"] and command[3] == "{{.Size}}":
    print(os.environ.get("SIZE", "1000000"))
elif command[:2] == ["image", "inspect"]:
    print(json.dumps([command[-1].rpartition(":")[0] + "@DIGEST"] if os.environ.get("KNOWN") else []))
elif command[0] == "push" and os.environ.get("REFUSED"):
    print("denied: log in first")
    sys.exit(1)
"""


@pytest.fixture(name="docker")
def fixture_docker(tmp_path):
    """Return a function that runs scripts/images.py and gives the process and what docker was asked."""
    able = DOCKER.replace("PYTHON", sys.executable).replace("ASKED", str(tmp_path / "asked")).replace("DIGEST", DIGEST)
    for name, text in (("old", "#!/bin/sh\nexit 1\n"), ("able", able)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "docker").write_text(text)
        (tmp_path / name / "docker").chmod(0o755)

    def run(*options, folders=("old", "able"), **variables):
        # No folder that may hold a real docker.
        path = os.pathsep.join(str(tmp_path / folder) for folder in folders)
        kept = {"PATH": path, "HOME": str(tmp_path), **variables}
        done = subprocess.run([sys.executable, str(ROOT / "scripts/images.py"), *options], env=kept, check=False,
                              capture_output=True, text=True)
        asked = tmp_path / "asked"
        return done, [json.loads(line) for line in asked.read_text().splitlines()] if asked.exists() else []

    return run


def builds(asked):
    return [command for command in asked if command[0] == "build" and "--file" in command]


def test_both_images_are_built_by_the_docker_that_can(docker):
    done, asked = docker()
    assert (done.returncode, done.stderr) == (0, "")
    assert [(command[command.index("--file") + 1], command[command.index("--tag") + 1]) for command in builds(asked)] \
        == [(f"images/{name}/Dockerfile", images.tagged(name)) for name in ("openvino", "train")]
    assert re.search(r"^images: \S+/openvino:\S+ 1 MB, built in \d+ s$", done.stdout, flags=re.MULTILINE)


def test_an_image_carries_version_revision_and_code():
    command = build_command("docker", IMAGES["train"], "tag", "cpu", "python:3.11-slim-bookworm", {"MAX_JOBS": "3"})
    arguments = dict(word.split("=", 1) for word in command if "=" in word)
    assert arguments["VERSION"] == images.TAG
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", arguments["REVISION"])
    assert re.fullmatch(r"[0-9a-f]{64}", arguments["CODE"])
    assert {**arguments, **dict.fromkeys(("VERSION", "REVISION", "CODE"))} == {
        "PYTHON_IMAGE": "python:3.11-slim-bookworm", "VARIANT": "cpu", "MAX_JOBS": "3",
        **dict.fromkeys(("VERSION", "REVISION", "CODE"))}


def test_pips_settings_go_in_as_a_secret(docker, tmp_path):
    _, asked = docker("openvino", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert f"id=pip-config,src={tmp_path / 'pip.conf'}" in builds(asked)[0]


def test_a_release_names_its_base_by_digest(docker):
    done, asked = docker("openvino", "--release", KNOWN="1")
    assert done.returncode == 0, done.stderr
    assert f"PYTHON_IMAGE=python@{DIGEST}" in builds(asked)[0]
    done, _ = docker("openvino", "--release")
    assert done.returncode == 2
    assert "docker pull python:3.11-slim-bookworm" in done.stderr


def test_an_image_that_grew_too_large_is_an_error(docker):
    done, _ = docker("openvino", SIZE="901000000")
    assert done.returncode == 2
    assert "is 901 MB. It must not exceed 900 MB." in done.stderr


def test_pushing_writes_down_the_digests(docker, tmp_path, monkeypatch):

    monkeypatch.setenv("PATH", str(tmp_path / "able"))
    monkeypatch.setenv("KNOWN", "1")
    able = str(tmp_path / "able" / "docker")
    assert push(able, "registry.local:5000/team") == {
        name: f"registry.local:5000/team/{name}@{DIGEST}" for name in ("openvino", "train")}
    push(able, "registry.local/gpu", "cuda")
    pushed = [line for line in (tmp_path / "asked").read_text().splitlines() if '"push"' in line]
    assert pushed[-1] == f'["push", "--quiet", "registry.local/gpu/train:{images.TAG}-cuda"]'
    done, _ = docker("--push", "registry.local/team", KNOWN="1", REFUSED="1")
    assert done.returncode == 2
    assert "denied: log in first." in done.stderr and "docker login" in done.stderr


@pytest.mark.parametrize(("options", "variables", "said"), [
    (["trian"], {}, "image: trian. The images are openvino, train."),
    (["--push", ""], {}, "It must name a registry"),
    (["train"], {"MMCV_WHEEL_INDEX": "/nowhere"}, "MMCV_WHEEL_INDEX: /nowhere"),
    ([], {"folders": []}, "docker: there is no such command"),
    ([], {"folders": ["old"]}, "its plugin is missing")])
def test_what_a_user_can_get_wrong_is_said(docker, options, variables, said):
    done, asked = docker(*options, **variables)
    assert done.returncode == 2
    assert said in done.stderr and not builds(asked)


def test_the_cuda_variant_is_compiled_on_the_base_that_is_named(docker):
    done, asked = docker("train", "--variant", "cuda", CUDA_IMAGE="registry.local/cuda:12.1", SIZE="9000000000")
    assert done.returncode == 0, done.stderr
    assert {"VARIANT=cuda", "CUDA_IMAGE=registry.local/cuda:12.1"} <= set(builds(asked)[0])
    assert f"{images.tagged('train')}-cuda" in builds(asked)[0]
