"""Weights that a config names: found in a file, on S3 or among the files the user has, and read as data.

mmcv downloads what ``torchvision://``, ``open-mmlab://``, ``mmcls://`` and ``http(s)://`` stand for. Here nothing is
downloaded from the internet: the file of that name is looked for in the folder or bucket that the user names, as mmcv
or torch's hub caches it (``~/.cache/torch/hub/checkpoints``).
"""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.suggest import did_you_mean
from core.checkpoint.restricted import load_restricted
from core.config.keys import WEIGHTS_KEY
from core.storage.fetch import fetch
from core.storage.location import Scheme, local_path, parse_location, without_secrets
from core.storage.source import resolve_single
from core.storage.store import ObjectNotFound

VARIABLE = "MMDET_COMPRESS_WEIGHTS"
_THING = "pretrained weights"
_PUBLISHED = {"torchvision": "torchvision", "modelzoo": "torchvision", "open-mmlab": "open_mmlab",
              "openmmlab": "open_mmlab", "mmcls": "mmcls"}
"""mmcv's schemes (mmcv/runner/checkpoint.py:452-549), and the table of names of each."""
_TABLES = {"torchvision": "torchvision_0.12.json", "open_mmlab": "open_mmlab.json", "mmcls": "mmcls.json"}


def weights_location(config: Mapping[str, Any]) -> str:
    """Return where the user keeps published weights: the config's ``pretrained_weights``, else the variable; or ""."""
    location = config.get(WEIGHTS_KEY) or os.environ.get(VARIABLE, "")
    if not isinstance(location, str):
        raise UserError(f"config, {WEIGHTS_KEY}", f"a {type(location).__name__}", "It must be a folder or s3://bucket/"
                        "prefix.", "Write it as text.")
    return location


def weights_file(name: str, kept: str, thing: str = _THING) -> Path:
    """Return the file of the weights that a config names.

    Args:
        name: A path, a ``file:`` or ``s3://`` location, a URL, or a name of mmcv's model zoos.
        kept: Folder or ``s3://bucket/prefix`` with the files of URLs and model zoos; may be empty.
        thing: What names them, for messages.

    Raises:
        UserError: There is no such file, name or kind of location.
    """
    if not isinstance(name, str):
        raise UserError(thing, f"a {type(name).__name__}", "Weights are named by text.", "Write a path or a location.")
    published = published_file(name, thing)
    if published is not None:
        return _kept_file(name, published, kept, thing)
    location = parse_location(name, thing)
    if location.scheme is Scheme.S3:
        return fetch(resolve_single(name, thing))
    path = local_path(name, thing)
    if not path.is_file():
        raise UserError(thing, path, "It must be a file that exists.", "Correct the config, or put the file there.")
    return path


def published_file(name: str, thing: str = _THING) -> str | None:
    """Return the file name of weights that mmcv would download, None where ``name`` is a location of one's own.

    Raises:
        UserError: The name is none of the model zoo's, or the URL names no file.
    """
    scheme, separator, rest = name.partition("://")
    if not separator or scheme.lower() not in (*_PUBLISHED, "http", "https"):
        return None
    if scheme.lower() in ("http", "https"):
        return _file_of_url(name, thing)
    zoo = _PUBLISHED[scheme.lower()]
    table = _table(_TABLES[zoo])
    if zoo == "torchvision":
        # As mmcv's load_from_torchvision: ResNet50_Weights.IMAGENET1K_V1 is resnet50.imagenet1k_v1.
        rest = rest.lower().replace("_weights", "")
        table = table if rest in table else {**table, **_torchvision_names()}
    elif zoo == "open_mmlab":
        rest = _table("deprecated.json").get(rest, rest)
    # Of some old names mmcv has no file any more.
    if not table.get(rest):
        raise UserError(thing, f"{name:.200}", "mmcv's model zoo has no weights of this name.",
                        did_you_mean(rest, table, "Give a file instead."))
    return _file_of_url(table[rest], thing)


def read_weights(name: str, kept: str) -> dict[str, Any]:
    """Return the content of the weights that a config names, read by the restricted reader as mmcv would unpickle it.

    Raises:
        UserError: As :func:`weights_file`; or the file is no checkpoint.
    """
    path = weights_file(name, kept)
    contents = load_restricted(path)
    if not isinstance(contents, dict):
        raise UserError(_THING, path, f"It holds a {type(contents).__name__} where a dictionary is expected.",
                        "Save it with torch.save(model.state_dict(), file).")
    if name.lower().startswith("mmcls://"):
        # As mmcv's load_from_mmcls: a classifier's backbone, without its prefix.
        state = contents.get("state_dict", contents)
        prefix = "backbone."
        return {"state_dict": {key[len(prefix):]: value for key, value in state.items() if key.startswith(prefix)}}
    return contents


def _kept_file(name: str, file: str, kept: str, thing: str) -> Path:
    shown = without_secrets(name)
    if not kept:
        raise UserError(thing, shown, "Nothing is downloaded from the internet while a model is built.",
                        f"Put {file} into a folder or bucket and name that as the parameter `weights` (or ${VARIABLE}),"
                        " give a checkpoint of the whole detector, or set this key to None to train from scratch.")
    location = parse_location(kept, "parameter weights")
    if location.scheme is Scheme.S3:
        try:
            return fetch(resolve_single(f"{location}/{file}", thing))
        except ObjectNotFound as error:
            raise _absent(thing, shown, file, str(location)) from error
    path = local_path(kept, "parameter weights") / file
    if not path.is_file():
        raise _absent(thing, shown, file, str(path.parent))
    return path


def _absent(thing: str, name: str, file: str, place: str) -> UserError:
    return UserError(thing, name, f"{place} (parameter `weights`) has no file {file}.",
                     "Download it there once, or set this key to None to train from scratch.")


def _file_of_url(url: str, thing: str) -> str:
    try:
        file = PurePosixPath(urlsplit(url).path).name
    except ValueError as error:
        raise UserError(thing, without_secrets(url), f"It is no URL ({error}).", "Correct it.") from error
    if not file or file in (".", ".."):
        raise UserError(thing, without_secrets(url), "A URL of weights ends in a file name.", "Correct it.")
    return file


def _table(file: str) -> dict[str, str]:
    """Return one of mmcv's tables of published weights: name to URL, or to a newer name."""
    spec = importlib.util.find_spec("mmcv")
    if spec is None or spec.origin is None:
        raise UserError(_THING, file, "mmcv's tables of names are needed.", "Install mmcv, or give a file.")
    place = Path(spec.origin).parent / "model_zoo" / file
    table: dict[str, str] = read_json(place, "mmcv's table of weights", "Install mmcv again.")
    return table


def _torchvision_names() -> dict[str, str]:
    """Return the URLs of torchvision's own weights, named as mmcv does (mmcv/runner/checkpoint.py:140-166)."""
    import torchvision

    urls = {}
    for model in torchvision.models.list_models(torchvision.models):
        weights = torchvision.models.get_model_weights(model)
        name = weights.__name__.replace("_Weights", "").lower()
        urls.update({f"{name}.{entry.name.lower()}": entry.url for entry in weights})
        if hasattr(weights, "DEFAULT"):
            urls[f"{name}.default"] = weights.DEFAULT.url
    return urls
