"""Whatever lies where a config, annotations, an archive or parameters are expected: a message says what it is, at once.

Checkpoints and images: ``tests/core/checkpoint/test_restricted.py``, ``tests/core/data/test_images.py``.
"""

from functools import partial

import pytest

from core.base.errors import UserError
from core.storage.archive import unpack
from tests.hostile import annotations, texts
from tests.hostile.kinds import KINDS, PLACES, SPARSE_BYTES

# To a reader of text these are bytes that are no text.
NO_TEXT = ("zeros", "a cut zip archive", "a 7-Zip archive", "a RAR archive", "an HDF5 file", "a program",
           "a safetensors file")


def coco(folder):
    annotations.coco("{}", folder, folder)
    return folder / "annotations" / "train.json", partial(annotations.read, folder)


def voc(folder):
    annotations.voc(annotations.SOUND, "a\n", folder, folder)
    return folder / "Annotations" / "a.xml", partial(annotations.read, folder)


def split(folder):
    annotations.voc(annotations.SOUND, "a\n", folder, folder)
    return folder / "ImageSets" / "Main" / "train.txt", partial(annotations.read, folder)


def config(folder):
    return folder / "config.py", partial(texts.read_config, folder / "config.py")


def yaml_config(folder):
    return folder / "config.yaml", partial(texts.read_config, folder / "config.yaml")


def parameters(folder):
    return folder / "p.yaml", partial(texts.read_parameters, folder / "p.yaml")


def archive(suffix, folder):
    return folder / f"a{suffix}", partial(unpack, folder / f"a{suffix}", folder / "out")


READERS = {"COCO": coco, "VOC": voc, "split list": split, "config": config, "YAML config": yaml_config,
           "parameters": parameters, "zip": partial(archive, ".zip"), "tar": partial(archive, ".tar"),
           "tar.gz": partial(archive, ".tar.gz")}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Return a function that gives the place of a reader's input, empty, and the reader."""
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()

    def place(reader):
        path, read = READERS[reader](tmp_path / "in")
        path.unlink(missing_ok=True)
        return path, read

    return place


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_said(given, reader, place):
    path, read = given(reader)
    make, _ = PLACES[place]
    make(path)
    if place == "ten gigabytes of nothing" and reader.startswith(("tar", "zip")):
        assert path.stat().st_size == SPARSE_BYTES
    with pytest.raises(UserError):
        read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", [name for name in READERS if name != "split list"])
def test_what_it_is_is_said(given, reader, kind):
    content, said = KINDS[kind]
    path, read = given(reader)
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read()
    assert said in str(refused.value) or kind == "a PDF file" and reader in ("config", "YAML config", "parameters")
