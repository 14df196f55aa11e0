"""Each reader of a JSON file, or of detections: whatever lies there ends in a message, at once."""

import argparse
import copy
import json
import math
import os
import zipfile
from functools import partial

import numpy as np
import pytest

from components import images
from core.base.errors import UserError
from core.bundle.labels import read_labels
from core.bundle.manifest import SCHEMA, FileRecord, Manifest
from core.config.reference import ConfigRef
from core.data import digest
from core.data.layout import Layout, SplitNames
from core.data.prepared import read_manifest
from core.evaluation.coco_map import read_annotations
from core.evaluation.detections import Detections
from core.evaluation.golden import read_golden, write_golden
from core.evaluation.store import read_detections, write_detections
from core.export.spec import ModelSpec
from core.report.table import terminal_table
from core.report.training_log import read_training_log
from core.results.summary import Summary
from core.training import pruning_search
from pipelines.compress import _print_results
from tests.hostile.kinds import KINDS, PLACES
from tests.summaries import summary_record
from tools import test_exported

PLAN = pruning_search.SearchPlan(0.5, 0.01, 3, 0.6)
FOUND = Detections(np.float32([[1, 2, 3, 4]]), np.float32([0.9]), np.int64([0]))


def manifest(folder):
    Manifest(SCHEMA, "model", "a" * 64, "b" * 64, {"run": "x"}, {"model_type": "ssd"}, {"numpy": "1"},
             {"model.xml": FileRecord("c" * 64, 3)}).write(folder)
    return folder / "bundle.json", partial(Manifest.read, folder)


def golden(folder):
    (folder / "a.png").write_bytes(b"pixels")
    write_golden(folder, folder / "a.png", FOUND)
    return folder / "detections.json", partial(read_golden, folder)


def spec(folder):
    from tests.core.conftest import toy_model_spec

    toy_model_spec().write(folder)
    return folder / "spec.json", partial(ModelSpec.read, folder)


def summary(folder):
    (folder / "summary.json").write_text(json.dumps(summary_record()))
    return folder / "summary.json", partial(Summary.read, folder / "summary.json")


def results(folder):
    """The table that ends a run of ``pipelines/compress.py``."""
    summary(folder)
    console = argparse.Namespace(line=lambda text="": None)
    return folder / "summary.json", partial(_print_results, console, folder)


def log(folder):
    (folder / "log.json").write_text(
        '{"mode": "env", "epochs": 1, "iters_per_epoch": 1}\n'
        '{"mode": "train", "epoch": 1, "iter": 1, "lr": 0.1, "loss": NaN, "time": 1.0}\n')
    return folder / "log.json", partial(read_training_log, folder / "log.json")


def annotations(folder):
    (folder / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    return folder / "a.json", partial(read_annotations, folder / "a.json")


def trials(folder):
    pruning_search._open_record(folder / "trials.jsonl", PLAN)
    return folder / "trials.jsonl", partial(pruning_search._open_record, folder / "trials.jsonl", PLAN)


def exported(folder):
    (folder / "data.json").write_text(json.dumps({
        **dict.fromkeys(("uri", "digest", "format", "train_split", "val_split", "test_split", "source", "layout"), "x"),
        "classes": ["a"]}))
    return folder / "data.json", partial(test_exported._data, argparse.Namespace(data="", output=folder), ("a",))


def detections(folder):
    write_detections(folder / "found.npz", {7: FOUND})
    return folder / "found.npz", partial(read_detections, folder / "found.npz")


def labels(folder):
    (folder / "labels.txt").write_text("a\n")
    return folder / "labels.txt", partial(read_labels, folder)


READERS = {reader.__name__: reader for reader in (
    manifest, golden, spec, summary, results, log, annotations, trials, exported, detections, labels)}
JSON_READERS = [name for name in READERS if name not in ("detections", "labels")]
OBJECTS = ["manifest", "golden", "spec", "summary", "results", "annotations", "exported"]
# Absent, a run has no summary yet, a search begins, and an exported model's data are asked for.
OPTIONAL = ("results", "trials", "exported")
VALUES = (None, True, -1, 0, 2 ** 63, 1e308, "", "\ud800", "\x1b[2J", "../../x", "/dev/zero", [], [[[]]], {}, {"a": {}})
TEXTS = {"cut": '{"a": [1, 2', "not a number": '{"a": NaN}', "infinite": '{"a": 1e999}', "a huge integer": "9" * 50_000,
         "deep": "[" * 900 + "]" * 900, "deeper": '{"a":' * 100_000, "a list": "[]", "a number": "7", "a text": '"x"',
         "null": "null", "no UTF-8": b"\xff\xfe{", "UTF-16": '{"a": 1}'.encode("utf-16"), "two": "{} {}",
         "many": "[" + "[]," * 1000 + "[]]"}


@pytest.fixture(scope="module")
def brackets(tmp_path_factory):
    """100 MB of opened lists."""
    path = tmp_path_factory.mktemp("brackets") / "brackets.json"
    path.write_bytes(b"[" * 100_000_000)
    yield path
    path.unlink()


def refused(read):
    with pytest.raises(UserError) as error:
        read()
    return str(error.value)


@pytest.mark.parametrize("reader", READERS)
def test_sound_files_are_read(tmp_path, reader):
    """Else the other tests would show nothing."""
    _, read = READERS[reader](tmp_path)
    read()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_said(tmp_path, reader, place):
    path, read = READERS[reader](tmp_path)
    path.unlink()
    PLACES[place][0](path)
    if reader in OPTIONAL and not path.exists():
        return
    if (reader, place) == ("labels", "an empty file") or (reader, place) == ("trials", "an empty file"):
        return
    said = refused(read)
    assert len(said) < 2000 and str(tmp_path) in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", [*JSON_READERS, "detections"])
def test_what_it_is_is_said(tmp_path, reader, kind):
    path, read = READERS[reader](tmp_path)
    path.write_bytes(KINDS[kind][0])
    said = refused(read)
    assert len(said) < 2000
    if reader not in ("log", "trials", "detections"):
        assert KINDS[kind][1] in said


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reader", JSON_READERS)
def test_hostile_json_is_refused(tmp_path, reader, text):
    path, read = READERS[reader](tmp_path)
    content = TEXTS[text]
    path.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")
    assert len(refused(read)) < 2000


@pytest.mark.parametrize("reader", JSON_READERS)
def test_a_hundred_megabytes_of_brackets_are_refused(tmp_path, reader, brackets):
    path, read = READERS[reader](tmp_path)
    path.unlink()
    os.link(brackets, path)
    assert len(refused(read)) < 2000


def changes(value):
    """Return ``value`` with each of its parts replaced by each hostile value, a key left out, and one added."""
    found = []

    def walk(node, put):
        found.extend(put(other) for other in VALUES)
        for key, item in list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list)
                              else ()):
            def put_inner(other, node=node, key=key):
                changed = copy.copy(node)
                changed[key] = other
                return put(changed)

            walk(item, put_inner)
        if isinstance(node, dict):
            found.append(put({**node, "\x1b[2J": 1}))
            found.extend(put({other: item for other, item in node.items() if other != key}) for key in node)

    walk(value, lambda other: other)
    return found


@pytest.mark.parametrize("reader", OBJECTS)
def test_any_value_of_a_sound_file_replaced_is_read_or_refused(tmp_path, reader):
    path, read = READERS[reader](tmp_path)
    wrong = 0
    for changed in changes(json.loads(path.read_text())):
        path.write_text(json.dumps(changed))
        try:
            read()
        except UserError as error:
            wrong += 1
            assert len(str(error)) < 4000
    assert wrong > 20


@pytest.mark.parametrize("text", ["[" * 5000, "NaN", "{", '{"options": {}}', "[1]", "7", "null", '{"parts": {"a": 1}}'])
def test_references_that_are_none_are_refused(text):
    refused(partial(Layout.from_text, SplitNames("a", "", "b"), text))
    refused(partial(ConfigRef.from_json, {"path": "x", "digest": "y", "options": text if text[0] != "{" else "[]"}))


@pytest.mark.parametrize("place", [*PLACES, *KINDS, *TEXTS])
def test_a_damaged_cache_is_made_anew(tmp_path, place, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"x")
    os.utime(tmp_path / "data" / "a", (0, 0))
    memory = digest.FileMemory(tmp_path / "data")
    row = memory.row(tmp_path / "data" / "a")
    memory.save()
    for path in (memory._file, tmp_path / "manifest.json"):
        path.unlink(missing_ok=True)
        if place in PLACES:
            PLACES[place][0](path)
        else:
            content = KINDS[place][0] if place in KINDS else TEXTS[place]
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_manifest(tmp_path) is None
    assert digest.FileMemory(tmp_path / "data").row(tmp_path / "data" / "a") == row


def test_image_digests_that_are_none_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "DIGESTS", tmp_path / "digests.json")
    for content in ("{", "[" * 5000, "\x00"):
        (tmp_path / "digests.json").write_text(content)
        assert "digests.json" in refused(partial(images._chosen, "train", "NO_SUCH_VARIABLE"))


def npz(path, **arrays):
    """Write an archive of sound arrays, some replaced; bytes stand for an entry's own content."""
    sound = {"images": np.int64([7]), "counts": np.int64([1]), "boxes": np.float32([[1, 2, 3, 4]]),
             "scores": np.float32([0.9]), "labels": np.int64([0])}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {**sound, **arrays}.items():
            if array is not None:
                archive.writestr(f"{name}.npy", array if isinstance(array, bytes) else npy(array.dtype.str, array.shape,
                                                                                          array.tobytes()))


def npy(kind, shape, content):
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content


@pytest.mark.parametrize("arrays", [
    {"boxes": npy("<f4", (10 ** 12, 4), b"")}, {"boxes": npy("<f4", (-1, 4), b"")},
    {"boxes": npy("<f4", (1, 4), bytes(99))},
    {"scores": npy("|O", (1,), b"\x80\x02}.")}, {"scores": npy("<f8", (1,), bytes(8))}, {"scores": None},
    {"labels": npy("<i8", (1, 1), bytes(8))}, {"counts": np.int64([-1])}, {"counts": np.int64([2 ** 62, 2 ** 62])},
    {"counts": np.int64([5])}, {"counts": np.int64([1, 0])}, {"extra": np.int64([1])}, {"images": b""},
    {"images": b"\x93NUMPY\x09\x09"}, {"boxes": npy("<f4", (0, 4), b"")},
    {"boxes": npy("(10000000000,)f4", (1, 4), b"")}])
def test_detections_that_claim_what_is_not_there_are_refused(tmp_path, arrays):
    npz(tmp_path / "found.npz")
    assert list(read_detections(tmp_path / "found.npz")) == [7]
    npz(tmp_path / "found.npz", **arrays)
    assert len(refused(partial(read_detections, tmp_path / "found.npz"))) < 2000


def test_detections_do_not_unpack_to_more_than_their_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("core.evaluation.store.MOST_BYTES", 1_000_000)
    npz(tmp_path / "found.npz", boxes=np.zeros((70_000, 4), np.float32))
    assert (tmp_path / "found.npz").stat().st_size < 10_000
    assert "unpacks to more" in refused(partial(read_detections, tmp_path / "found.npz"))


def test_an_unknown_loss_is_read(tmp_path):
    assert math.isnan(log(tmp_path)[1]().train[0].losses["loss"])
    assert terminal_table(summary_record())
