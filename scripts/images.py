"""Build the container images from this clone, and push them; `make images` runs this.

A build needs a Docker Engine with BuildKit and, for the CUDA variant, a base image that has nvcc. An image carries the
project's version and git revision as OCI labels, and the digest of the code inside.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from components import images  # noqa: E402
from core.base.errors import UserError  # noqa: E402
from core.base.supervision import run_command  # noqa: E402
from pipelines.code_digest import image_code_digest  # noqa: E402

WHEELS = ROOT / "build" / "wheels"
EXIT_USER_ERROR, EXIT_INTERRUPTED = 2, 130
VARIABLES = """environment variables:
  MMCV_WHEEL_INDEX    folder of prebuilt mmcv-full wheels; spares its build, their hash is not checked
  MAX_JOBS            compilers at a time (default: one a core)
  PIP_CONFIG_FILE     pip's settings while building; they do not get into the image
  CUDA_IMAGE          for --variant cuda: another base with nvcc 12 than the Dockerfile's"""


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        name: Its folder under ``images/``.
        base: Name and tag of the public image it is made from.
        megabytes: The size it must not exceed, in 1e6 bytes; 0 where none is set.
    """

    name: str
    base: str
    megabytes: int


IMAGES = {image.name: image for image in (Image("openvino", "python:3.11-slim-bookworm", 900),
                                          Image("train", "python:3.11-slim-bookworm", 6500))}


def build_command(docker: str, image: Image, tag: str, variant: str, base: str, environ: dict[str, str]) -> list[str]:
    """Return the Docker command that builds ``image`` as ``tag`` from the base image ``base``."""
    arguments = {"PYTHON_IMAGE": base, "VERSION": images.TAG, "REVISION": revision(),
                 "CODE": image_code_digest(ROOT)}
    if image.name == "train":
        arguments["VARIANT"] = variant
        arguments["MAX_JOBS"] = environ.get("MAX_JOBS") or str(os.cpu_count() or 1)
    if variant == "cuda" and environ.get("CUDA_IMAGE"):
        arguments["CUDA_IMAGE"] = environ["CUDA_IMAGE"]
    command = [docker, "build", "--progress", "plain", "--file", f"images/{image.name}/Dockerfile", "--tag", tag]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    if environ.get("PIP_CONFIG_FILE"):
        command += ["--secret", f"id=pip-config,src={environ['PIP_CONFIG_FILE']}"]
    return [*command, "."]


def revision() -> str:
    """Return the commit of this clone, with ``-dirty`` where files differ from it; ``unknown`` outside git."""
    if shutil.which("git") is None:
        return "unknown"
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    dirty = commit and _output("git", "-C", str(ROOT), "status", "--porcelain")
    return f"{commit}-dirty" if dirty else commit or "unknown"


def find_docker(environ: dict[str, str]) -> str:
    """Return the first docker command on PATH that can build by BuildKit; newer ones need their buildx plugin for it.

    Raises:
        UserError: There is none, or no Docker Engine answers it.
    """
    rule, hint = "Images are built by a Docker Engine.", "Start Docker and see that 'docker info' answers."
    candidates = [str(Path(folder) / "docker") for folder in environ.get("PATH", "").split(os.pathsep)
                  if os.access(Path(folder) / "docker", os.X_OK)]
    if not candidates:
        raise UserError("docker", "there is no such command", rule, f"Install Docker. {hint}")
    able = [docker for docker in candidates if _output(docker, "build", "--help", DOCKER_BUILDKIT="1")]
    if not able:
        raise UserError("docker", candidates[0], "It must be able to build by BuildKit, and its plugin is missing.",
                        "Install it (docker-buildx-plugin).")
    if not _output(able[0], "info", "--format", "{{.ServerVersion}}"):
        raise UserError("docker", "no engine answers", rule, hint)
    return able[0]


def stage_wheels(index: str) -> None:
    """Put the mmcv-full wheels of a folder, which must have some, where the build finds them; without one, none."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    if not index:
        return
    found = sorted(Path(index).glob("mmcv_full-*.whl")) if Path(index).is_dir() else []
    if not found:
        raise UserError("MMCV_WHEEL_INDEX", index, "For an image it must be a folder that holds mmcv_full-*.whl.",
                        "Name such a folder, or unset it to have mmcv-full compiled.")
    for wheel in found:
        shutil.copy(wheel, WHEELS / wheel.name)


def base_image(docker: str, image: Image, release: bool) -> str:
    """Return the base image: by tag, for a release by the digest that the tag has on this machine.

    Raises:
        UserError: The digest is not known, since the image did not come from a registry.
    """
    if not release:
        return image.base
    digests = json.loads(_inspect(docker, image.base, "{{json .RepoDigests}}") or "[]")
    if not digests:
        raise UserError("base image", image.base, "A release names it by digest, and here it has none.",
                        f"Get it from its registry: docker pull {image.base}.")
    return digests[0]


def megabytes(docker: str, tag: str) -> float:
    """Return the size of an image on this machine, in 1e6 bytes."""
    return int(_inspect(docker, tag, "{{.Size}}")) / 1e6


def _inspect(docker: str, tag: str, form: str) -> str:
    return _output(docker, "image", "inspect", "--format", form, tag)


def _output(*command: str, **variables: str) -> str:
    """Return what a command prints, nothing where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                          env={**os.environ, **variables})
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def build(docker: str, image: Image, tag: str, variant: str, release: bool, environ: dict[str, str]) -> None:
    """Build one image and tell its size and the time it took.

    Raises:
        UserError: The build failed, or the image is larger than it may be.
    """
    started = time.monotonic()
    command = build_command(docker, image, tag, variant, base_image(docker, image, release), environ)
    done = subprocess.run(command, cwd=ROOT, env={**environ, "DOCKER_BUILDKIT": "1"}, check=False)
    if done.returncode:
        raise UserError("image", tag, f"Its build failed (docker's exit code {done.returncode}); the reason is above.",
                        "Mend it and start again: finished steps are kept.")
    size = megabytes(docker, tag)
    print(f"images: {tag} {size:.0f} MB, built in {time.monotonic() - started:.0f} s", flush=True)
    if variant == "cpu" and size > image.megabytes:
        raise UserError("image", f"{tag} is {size:.0f} MB", f"It must not exceed {image.megabytes} MB.",
                        "Find what grew: docker history.")


def tag_of(name: str, variant: str, registry: str = images.REGISTRY) -> str:
    """Return an image's name; the CUDA variant of train has a tag of its own."""
    return images.tagged(name, registry) + ("-cuda" if name == "train" and variant == "cuda" else "")


def push(docker: str, registry: str, variant: str = "cpu") -> dict[str, str]:
    """Push both images to ``registry`` and return their names by digest.

    Raises:
        UserError: An image is missing or the registry refuses it.
    """
    released = {}
    for name in IMAGES:
        source, target = tag_of(name, variant), tag_of(name, variant, registry)
        for command in ([docker, "tag", source, target], [docker, "push", "--quiet", target]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise UserError("image", target, " ".join(done.stdout.decode().split()) + ".",
                                "Build the images (make images), see that the registry's name is right, and log in "
                                "to it (docker login).")
        repository = target.rpartition(":")[0]
        digests = json.loads(_inspect(docker, target, "{{json .RepoDigests}}"))
        released[name] = next(digest for digest in digests if digest.startswith(f"{repository}@"))
    return released


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="images", description=__doc__, epilog=VARIABLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="IMAGE", nargs="*", help=f"{' or '.join(IMAGES)} (default: both)")
    parser.add_argument("--variant", choices=("cpu", "cuda"), default="cpu", help="of the train image (default: cpu)")
    parser.add_argument("--release", action="store_true", help="name the base images by digest")
    parser.add_argument("--push", metavar="REGISTRY",
                        help="build nothing: push both images there and write their digests to images/digests.json")
    return parser


def work(arguments: argparse.Namespace, environ: dict[str, str]) -> None:
    """Build or push what the command line asks for."""
    unknown = sorted(set(arguments.names) - set(IMAGES))
    if unknown:
        raise UserError("image", ", ".join(unknown), f"The images are {', '.join(IMAGES)}.", "Name one of them.")
    docker = find_docker(environ)
    if arguments.push is not None:
        if not arguments.push:
            raise UserError("--push", repr(arguments.push), "It must name a registry.", "make push REGISTRY=HOST/PATH")
        released = push(docker, arguments.push, arguments.variant)
        images.DIGESTS.write_text(json.dumps(released, indent=1) + "\n")
        print(f"images: digests written to {images.DIGESTS.relative_to(ROOT)}")
        return
    stage_wheels(environ.get("MMCV_WHEEL_INDEX", ""))
    for name in arguments.names or list(IMAGES):
        variant = arguments.variant if name == "train" else "cpu"
        build(docker, IMAGES[name], tag_of(name, variant), variant, arguments.release, environ)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        work(parser().parse_args(argv), dict(os.environ))
    except UserError as error:
        print(f"images: {error}", file=sys.stderr, flush=True)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(run_command("images", main))
