"""Run stages as containers of this machine's Docker Engine, with what they need of this machine mounted.

kfp.local has a runner of its own, which takes a container that ended before its log could be read for a success
(kfp 2.17.0, docker_task_handler.py) and mounts nothing but artifacts; here a container is kept until its exit code
has been read.
"""

import codecs
import contextlib
import importlib.util
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import CACHE_VARIABLE, cache_folder
from core.base.supervision import LIFELINE_VARIABLE, more_time
from core.config.keys import WEIGHTS_KEY
from core.config.loading import config_folders, load_data
from core.config.named_texts import named_texts
from core.config.stored import is_stored
from core.data.from_config import config_data_folders
from core.storage.location import Scheme, parse_location
from pipelines.code_digest import CODE_LABEL, image_code_digest
from pipelines.parameters import texts_of
from pipelines.process import GRACE_SECONDS
from pipelines.work_dir import LOCK

CODE_IN_IMAGE = "/app"
HOME_IN_IMAGE = "/home/stage"
# Data loaders hand batches over in /dev/shm, of which Docker gives 64 MB.
SHARED_MEMORY = "2g"
# Whose containers they are, so that a later run finds those that a killed one has left.
LABEL = "mmdet-compress.pipeline-root"
# Parameters that are configs, and those that change them.
CONFIGS = {"model_config": "model_options", "compression_config": "compression_options",
           "compression_configs": "compression_options"}
READ_ONLY = ("data", "checkpoint", "weights", *CONFIGS)
_PASSED_ON = ("AWS_", "S3_")
_HERE = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Surroundings:
    """What a container sees of this machine.

    Attributes:
        volumes: Host path to ``{"bind": path inside, "mode": "ro" or "rw"}``, as Docker's client takes them.
        network: ``host`` where a storage service of this machine must be reached, else ``bridge``.
        gpus: GPUs that the stages which train or evaluate get.
    """

    volumes: dict[str, dict[str, str]]
    variables: dict[str, str]
    network: str
    labels: dict[str, str]
    gpus: int = 0


def connect() -> Any:
    """Return a client of the Docker Engine; raise UserError where the package is missing or no engine answers."""
    if importlib.util.find_spec("docker") is None:
        raise UserError("--runner docker", "the Python package 'docker' is missing",
                        "It talks to the Docker Engine.", "Install it beside kfp, or leave --runner out.")
    import docker

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise UserError("--runner docker", " ".join(str(error).split()), "A Docker Engine must answer.",
                        "Start Docker and see that you may use it ('docker info'), or leave --runner out.") from error
    return client


def image_ids(client: Any, names: Iterable[str]) -> dict[str, str]:
    """Return each image's id; one that is not here is pulled, or UserError is raised where it cannot be."""
    return {name: _image(client, name).id for name in names}


def outdated(client: Any, names: Iterable[str], root: Path) -> list[str]:
    """Return the images that were built by `make images` from other code than lies in ``root`` now."""
    here = image_code_digest(root)
    return [name for name in names if (_image(client, name).labels or {}).get(CODE_LABEL, here) != here]


def _image(client: Any, name: str) -> Any:
    import docker

    try:
        return client.images.get(name)
    except docker.errors.ImageNotFound:
        pass
    try:
        return client.images.pull(name)
    except docker.errors.DockerException as error:
        reason = " ".join(str(error).split())
        raise UserError("image", name, f"It is not on this machine and cannot be pulled: {reason}.",
                        "Build it (make images), log in to its registry, or name another with --train-image and "
                        "--openvino-image.") from error


def surroundings(values: Mapping[str, Any], root: Path, pipeline_root: Path) -> Surroundings:
    """Return what containers must see for a run with the parameters ``values``, whose locations are absolute.

    Data, configs, checkpoint and weights are mounted to be read only, under their own paths, and so is what the configs
    themselves name; the project's configs take the place of the image's, so that a new one needs no new image.

    Raises:
        UserError: The config's own data are used, and are not there or cannot be found out.
    """
    cache = cache_folder()
    volumes = {str(pipeline_root): "rw", str(cache): "rw"}
    for name, text in ((one, text) for one in READ_ONLY for text in texts_of(values, one)):
        place = _local(text)
        if place is not None and place.exists() and root / "configs" not in place.parents:
            # A config's bases may lie anywhere.
            for folder in config_folders(place) if name in CONFIGS else [place]:
                volumes.setdefault(str(folder), "ro")
    destination = _local(str(values.get("destination") or ""))
    if destination is not None:
        # Docker would make a missing folder as root.
        destination.mkdir(parents=True, exist_ok=True)
        volumes[str(destination)] = "rw"
    variables = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    # Such as AWS_CA_BUNDLE.
    volumes.update({value: "ro" for value in variables.values() if os.path.isabs(value) and os.path.isfile(value)})
    mounted = {path: {"bind": path, "mode": mode} for path, mode in volumes.items()}
    for path, inside in named_by_configs(values, root).items():
        mounted.setdefault(path, {"bind": inside, "mode": "ro"})
    mounted[str(root / "configs")] = {"bind": f"{CODE_IN_IMAGE}/configs", "mode": "ro"}
    if (Path.home() / ".aws").is_dir():
        mounted[str(Path.home() / ".aws")] = {"bind": f"{HOME_IN_IMAGE}/.aws", "mode": "ro"}
    local_service = any(host in value for name, value in variables.items() if "ENDPOINT" in name for host in _HERE)
    variables |= {CACHE_VARIABLE: str(cache), LIFELINE_VARIABLE: str(pipeline_root / LOCK)}
    return Surroundings(mounted, variables, "host" if local_service else "bridge", {LABEL: str(pipeline_root)},
                        int(values.get("gpus") or 0))


def named_by_configs(values: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Return the files and folders of this machine that the configs name, each with its path in a container.

    They are weights, and the config's own data where the run is given no other. A config on S3 names none: whoever can
    write there could read what lies here.

    Raises:
        UserError: The config's own data are used, and are not there or cannot be found out.
    """
    found: dict[str, bool] = {}
    for name, path in ((one, text) for one in CONFIGS for text in texts_of(values, one)):
        own_data = name == "model_config" and not values.get("data")
        if is_stored(path):
            continue
        file = Path(root, path)
        try:
            config = load_data(file, values.get(CONFIGS[name]))
        except UserError as error:
            if own_data:
                raise UserError(f"parameter {name}", path, "With --runner docker the config's own data are mounted, "
                                f"and they are known where it can be read as data: {error}", "Give `data`.") from error
            # Resolve says what is wrong, or runs a trusted one.
            continue
        texts = [text for _, text in named_texts(config)]
        kept = config.get(WEIGHTS_KEY)
        found.update({str(root / text): not os.path.isabs(text) for text in texts if os.path.isfile(root / text)})
        found.update({str(root / kept): not os.path.isabs(kept)} if kept and os.path.isdir(root / kept) else {})
        if own_data:
            found.update(config_data_folders(config, file, root))
    return {path: f"{CODE_IN_IMAGE}/{Path(path).relative_to(root)}" if relative and root in Path(path).parents else path
            for path, relative in found.items() if root / "configs" not in Path(path).parents}


def _local(location: str) -> Path | None:
    """Return the path of a location of this machine, None for every other."""
    if not location or ("://" in location and not location.startswith("file:")):
        return None
    parsed = parse_location(location)
    return Path(parsed.path) if parsed.scheme is Scheme.FILE else None


def run_container(client: Any, image: str, command: list[str], variables: Mapping[str, str], around: Surroundings,
                  write_line: Callable[[str], None]) -> int:
    """Run ``command`` in a container of ``image`` and return its exit code; its output goes to ``write_line``.

    Whatever ends this function, the container is stopped (SIGTERM, and SIGKILL after ``GRACE_SECONDS``) and removed.
    Where this program is killed, the stage sees that the lock on the work dir is gone, and ends.
    """
    import docker

    requests = [docker.types.DeviceRequest(count=around.gpus, capabilities=[["gpu"]])] if around.gpus else None
    container = client.containers.run(
        image, command, detach=True, init=True, volumes=around.volumes, network_mode=around.network,
        environment={**around.variables, **variables}, user=f"{os.getuid()}:{os.getgid()}", shm_size=SHARED_MEMORY,
        device_requests=requests, labels=around.labels)
    with more_time(GRACE_SECONDS + 1.0, signal.SIGTERM, signal.SIGINT):
        try:
            _follow(container.logs(stream=True), write_line)
            return int(container.wait()["StatusCode"])
        finally:
            _remove(container)


def remove_left_over(client: Any, pipeline_root: Path) -> int:
    """Stop and remove the containers of an earlier run in this folder that was killed; return how many."""
    left_over = client.containers.list(all=True, filters={"label": f"{LABEL}={pipeline_root}"})
    for container in left_over:
        _remove(container)
    return len(left_over)


def _remove(container: Any) -> None:
    import docker

    # It may be gone meanwhile, or be going.
    with contextlib.suppress(docker.errors.NotFound):
        container.stop(timeout=int(GRACE_SECONDS))
        container.remove(force=True)


def _follow(pieces: Iterable[bytes], write_line: Callable[[str], None]) -> None:
    """Pass a log, which comes in pieces of any length, on by lines."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        for line in lines:
            write_line(line.rstrip("\r"))
    if rest:
        write_line(rest)
