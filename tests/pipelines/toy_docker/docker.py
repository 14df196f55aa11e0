"""Stands in for the docker package as far as it is used here and by kfp.local: a container is a process."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace


class DockerException(Exception):
    pass


class ImageNotFound(DockerException):
    pass


class NotFound(DockerException):
    pass


errors = SimpleNamespace(NotFound=NotFound, DockerException=DockerException, ImageNotFound=ImageNotFound)


class DockerClient:
    def __init__(self):
        self.images = SimpleNamespace(get=image)
        self.containers = SimpleNamespace(run=run, list=left_over)

    def ping(self):
        return True

    def close(self):
        pass


def from_env():
    return DockerClient()


def note(event):
    with open(os.environ["TOY_ASKED"], "a") as file:
        file.write(json.dumps(event) + "\n")


def image(name):
    return SimpleNamespace(id=f"sha256:{name}", labels={})


class Container:
    def __init__(self, process):
        self._process = process

    def logs(self, stream):
        # As the engine does: in pieces that are no lines.
        while True:
            piece = self._process.stdout.read1(7)
            if not piece:
                return
            yield piece

    def wait(self):
        return {"StatusCode": self._process.wait()}

    def stop(self, timeout):
        self._process.terminate()

    def remove(self, force):
        self._process.wait()
        note({"removed": True})


def left_over(all, filters):
    """Return the containers of $TOY_LEFT_OVER: process ids and labels of what an earlier run has left."""
    listed = [line.split(" ", 1) for line in os.environ.get("TOY_LEFT_OVER", "").splitlines()]
    return [LeftOver(int(pid)) for pid, label in listed if label == filters["label"]]


class LeftOver:
    def __init__(self, pid):
        self._pid = pid

    def stop(self, timeout):
        os.kill(self._pid, signal.SIGTERM)

    def remove(self, force):
        os.kill(self._pid, signal.SIGKILL)


def run(image, command, volumes, environment, user, **_):
    asked = {"image": image, "user": user, "volumes": sorted(volumes), "variables": sorted(environment)}
    note(asked)
    root = os.environ["TOY_ROOT"]
    return Container(subprocess.Popen(
        [sys.executable, *command[1:]], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, **environment, "PYTHONPATH": root}))
