"""JSON is parsed in one place, within bounds."""

import ast
import json
from pathlib import Path

import pytest

from core.base.json_file import MOST_DEPTH, json_object, json_value

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("core", "components", "pipelines", "tools")
# What reads files that could be anybody's, and the only modules that may: each bounds what it reads.
READERS = {
    "json.load": (), "json.loads": ("core/base/json_file.py",), "json.JSONDecoder": (),
    "yaml.load": (), "yaml.safe_load": ("core/config/data_only.py",), "yaml.full_load": (), "yaml.unsafe_load": (),
    "yaml.safe_load_all": (), "numpy.load": (), "numpy.loadtxt": (), "numpy.genfromtxt": (), "numpy.fromfile": (),
    # Replaced there.
    "torch.load": ("core/detectors/loaders.py",), "torch.jit.load": (), "joblib.load": (), "marshal.load": (),
    "marshal.loads": (),     "shelve.open": (), "pickle.load": (), "pickle.Unpickler": (),
    # The states of this process's own random generators.
    "pickle.loads": ("core/training/samples.py",),
    # Python's unpickler without what acts.
    "pickle._Unpickler": ("core/checkpoint/plain_pickle.py",),
    # The second one takes what the first one opened.
    "zipfile.ZipFile": ("core/storage/zip_index.py", "core/evaluation/store.py"),
    "tarfile.open": ("core/storage/archive.py",),
    # Pictures that this program drew.
    "xml.etree.ElementTree.fromstring": ("core/report/svg.py",), "xml.etree.ElementTree.parse": (),
    "xml.etree.ElementTree.iterparse": (), "xml.dom.minidom.parse": (), "csv.reader": (), "csv.DictReader": (),
    "mmcv.Config.fromfile": (), "mmcv.load": (), "pandas.read_csv": (), "pandas.read_json": (),
    "onnx.load": (), "onnx.load_model": (), "onnx.load_model_from_string": ("core/compression/fake_quantize.py",)}
_USED = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def names(tree):
    """Return the dotted names that a module uses, its imports followed."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound.update({alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname
                          else alias.name.partition(".")[0] for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            bound.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})

    def dotted(node):
        if isinstance(node, ast.Name):
            return bound.get(node.id)
        inner = dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{inner}.{node.attr}" if inner else None

    return {name for node in ast.walk(tree) for name in [dotted(node)] if name}


def test_files_are_parsed_where_they_are_bounded_and_nowhere_else():
    assert len(_USED) > 200
    found = {(name, path.relative_to(ROOT).as_posix()) for path in _USED
             for name in names(ast.parse(path.read_text(encoding="utf-8"))) & READERS.keys()}
    allowed = {(name, place) for name, places in READERS.items() for place in places}
    assert found == allowed


@pytest.mark.parametrize("source", [
    "import json\njson.load(open('x'))", "from json import loads as l\nl('x')", "import json as j\nf = j.loads",
    "import numpy as np\nnp.load('x')", "def f():\n    from json import load\n    return load(file)"])
def test_the_search_finds_another_reader(source):
    assert names(ast.parse(source)) & READERS.keys()


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "-1e999", "9" * 30, "-" + "9" * 100])
def test_numbers_out_of_bounds_are_refused_where_they_are_not_asked_for(text):
    with pytest.raises(ValueError):
        json_value(f"[{text}]")
    assert json_value(f"[{text}]", any_number=True)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", "", b"\xff\xfe\x00", b"\xef\xbb\xbf["])
def test_what_is_no_json_is_a_value_error_whatever_is_asked_for(text):
    with pytest.raises(ValueError):
        json_value(text, any_number=True)


def test_depth_is_bounded_in_lists_and_objects():
    def nested(depth):
        value = 1
        for number in range(depth):
            value = {"a": value} if number % 2 else [value]
        return json.dumps(value)

    assert json_value(nested(MOST_DEPTH))
    for depth in (MOST_DEPTH + 1, 900):
        with pytest.raises(ValueError, match="nested too deeply"):
            json_value(nested(depth))


def test_sound_text_is_read():
    assert json_value(b'\xef\xbb\xbf{"a": [1, -2.5, null, 18446744073709551615]}') == {
        "a": [1, -2.5, None, 2 ** 64 - 1]}
    assert json_object('{"a": 1}') == {"a": 1}
    for text in ("[1]", "1", "null", '"x"'):
        with pytest.raises(ValueError, match="an object is expected|object"):
            json_object(text)
