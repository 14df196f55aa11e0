"""Configs, options, parameter files, references and locations that are more, or less, than data."""

from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import Case

GOOD = ("model = dict(type='X')\ndata = dict(train=dict(pipeline=[dict(type='A')]), "
        "test=dict(pipeline=[dict(type='A')]))\n")
CODE = {
    "import": "import os\nos.system('touch CANARY')\n",
    "from import": "from os import system\nsystem('touch CANARY')\n",
    "__import__": "a = __import__('os').system('touch CANARY')\n", "open": "a = open('CANARY', 'w')\n",
    "eval": "a = eval('open(\"CANARY\", \"w\")')\n", "exec": "exec('open(\"CANARY\", \"w\")')\n",
    "function": "def f():\n    open('CANARY', 'w')\nf()\n", "class": "class A:\n    open('CANARY', 'w')\n",
    "lambda": "a = (lambda: open('CANARY', 'w'))()\n", "comprehension": "a = [open('CANARY', 'w') for _ in [1]]\n",
    "f-string": "a = f'{open(\"CANARY\", \"w\")}'\n", "decorator": "@open\nclass CANARY: pass\n",
    "with": "with open('CANARY', 'w') as a:\n    pass\n", "condition": "if open('CANARY', 'w'):\n    a = 1\n",
    "attribute": "a = ().__class__.__base__.__subclasses__()\n", "method": "a = 'CANARY'.upper()\n",
    "format": "a = '{0.__class__}'.format(1)\n", "subscript of a name": "a = __builtins__['open']('CANARY', 'w')\n",
    "assert": "assert open('CANARY', 'w')\n", "delete": "del a\n", "walrus": "a = (b := open('CANARY', 'w'))\n",
    "dict of a call": "a = dict(b=open('CANARY', 'w'))\n", "star of a call": "a = dict(**open('CANARY', 'w'))\n",
    "base outside": "_base_ = '/etc/passwd'\n", "base upwards": "_base_ = '../../../../etc/passwd'\n",
    "base of itself": "_base_ = 'hostile.py'\n", "base absent": "_base_ = 'absent.py'\n", "base number": "_base_ = 5\n",
    "custom imports": GOOD + "custom_imports = dict(imports=['antigravity'])\n",
    "huge power": "a = 9 ** 9 ** 9 ** 9\n", "huge text": "a = 'x' * 10 ** 12\n", "huge list": "a = [0] * 10 ** 12\n",
    "huge shift": "a = 1 << 10 ** 12\n", "number of 10,000 digits": "a = " + "9" * 10_000 + "\n",
    "NaN": "a = 1e999 - 1e999\n",
    "division by nothing": "a = 1 / 0\n", "brackets": "a = " + "[" * 10_000 + "]" * 10_000 + "\n",
    "plus signs": "a = " + "+" * 100_000 + "1\n", "sums": "a = " + "1+" * 50_000 + "1\n", "not closed": "a = [1, 2\n",
    "indented": "  a = 1\n", "NUL": "a = 1\0\n", "two megabytes": "#" * (2 << 20), "no model": "a = 1\n",
    "model is a list": "model = []\n", "unknown name": "a = undefined\n", "bytes": "a = b'x'\n", "set": "a = {1, 2}\n",
    "keys of numbers": "a = {1: 2}\n", "doubling": "a = ['x' * 1000]\n" + "a = a + a\n" * 40 + GOOD}
YAML = {
    "python object": "!!python/object/apply:os.system ['touch CANARY']", "python name": "!!python/name:os.system",
    "python module": "!!python/module:os", "python object new": "!!python/object/new:os.system ['touch CANARY']",
    "python tuple": "!!python/tuple [1, 2]", "python bytes": "!!python/bytes aGk=", "unknown tag": "!evil {a: b}",
    "python object plain": "!!python/object:collections.OrderedDict {}",
    "laughs": "\n".join([" {}", "x0: &x0 [lol]"] + [f"x{index}: &x{index} [{', '.join([f'*x{index - 1}'] * 10)}]"
                                                   for index in range(1, 12)]),
    "itself": "&a [*a]", "merge": "{<<: *a}", "nested 10,000 deep": "[" * 10_000, "not closed": "[1, 2",
    "tab": "\n\t- a", "number of 10,000 digits": "9" * 10_000, "two documents": "1\n---\n2"}
LOCATIONS = {
    "empty": "", "NUL": "s3://bucket/a\0b", "another machine": "file://elsewhere/data", "http": "http://127.0.0.1:9/x",
    "https with a key": "https://key:secret@127.0.0.1/x?X-Amz-Signature=abc", "gopher": "gopher://x",
    "no bucket": "s3://", "bucket of one letter": "s3://a/b", "bucket with a space": "s3://a bucket/b",
    "file with a query": "file:///data?x=1", "file with a fragment": "file:///data#x", "file relative": "file:data",
    "bad host": "file://[::1/data", "built-in unknown": "builtin://nothing", "built-in option": "builtin://digits?x",
    "built-in option twice": "builtin://digits?train=1&train=2", "built-in command": "builtin://digits?train=$(touch)",
    "built-in negative": "builtin://digits?train=-1", "built-in huge": "builtin://digits?train=999999999999",
    "nowhere": "/nonexistent/data", "a device": "/dev/null", "newline": "s3://bucket\n/x"}
REFERENCES: dict[str, Any] = {
    "empty": {}, "numbers": {"path": 1, "digest": 2, "options": 3}, "options are a list": {
        "path": "a", "digest": "b", "files": "{}", "options": "[]"},
    "options are not JSON": {"path": "a", "digest": "b", "files": "{}", "options": "{"},
    "options are deep": {"path": "a", "digest": "b", "files": "{}", "options": "[" * 100_000},
    "options are huge": {"path": "a", "digest": "b", "files": "{}", "options": '{"a": ' + "1" * 5000 + "}"},
    "path leads upwards": {"path": "../../../../etc/passwd", "digest": "b", "options": "{}", "files": "{}"}}
OPTIONS = ["=", "a", "a..b=1", "=1", "a=[", "a=[" + "[" * 500, "a=" + "9" * 5000, "model.type.x=1", "__class__=1",
           "a.__dict__=1", ".=1", "a='"]


def file(name: str, text: str, folder: Path, canary: Path) -> Path:
    path = folder / name
    path.write_bytes(text.replace("CANARY", str(canary)).encode("utf-8", "surrogatepass"))
    return path


def given(value: Any, folder: Path, canary: Path) -> Any:
    return value


def read_config(path: Path):
    from core.config.loading import load_data

    return load_data(path)


def read_stored(path: Path):
    from core.config.fingerprint import data_from_text

    return data_from_text(path.read_text())


def read_parameters(path: Path):
    from pipelines.parameters import Parameter, load_parameters

    return load_parameters(path, {"classes": Parameter("classes", "LIST", [], ""),
                                  "seed": Parameter("seed", "NUMBER_INTEGER", 0, "")})


def read_reference(value: Any):
    from core.config.loading import load_data
    from core.config.reference import ConfigRef

    ref = ConfigRef.from_json(value)
    return load_data(ref.path, ref.options)


def read_location(value: str):
    from core.data.dataset import resolve_data

    return resolve_data(value)


def read_option(value: str):
    from core.config.options import apply_options, parse_options

    return apply_options({"model": {"type": "X"}}, parse_options([value]), "config")


def sound() -> list[Case]:
    return [Case("config", partial(file, "sound.py", GOOD), read_config),
            Case("stored config", partial(file, "stored.txt", "{'model': {'type': 'X'}}"), read_stored),
            Case("parameters", partial(file, "p.yaml", "classes: [a, b]\n"), read_parameters),
            Case("location", partial(given, "builtin://digits?train=2&val=2&test=2"), read_location),
            Case("option", partial(given, "model.type=Y"), read_option)]


def cases() -> list[Case]:
    found = [Case(f"config, {name}", partial(file, "hostile.py", text), read_config) for name, text in CODE.items()]
    found += [Case(f"stored config, {name}", partial(file, "stored.txt", text), read_stored)
              for name, text in list(CODE.items())[:22]]
    found += [Case(f"YAML config, {name}", partial(file, "hostile.yaml", f"model: {text}\n"), read_config)
              for name, text in YAML.items()]
    found += [Case(f"parameters, {name}", partial(file, "p.yaml", f"classes: {text}\n"), read_parameters)
              for name, text in YAML.items()]
    found += [Case(f"JSON config, {name}", partial(file, "hostile.json", text), read_config) for name, text in {
        "deep": "[" * 100_000, "huge number": '{"a": ' + "9" * 10_000 + "}", "NaN": '{"model": NaN}', "list": "[]",
        "cut off": '{"model": ', "infinite": '{"model": {"type": "X", "a": 1e999}}'}.items()]
    found += [Case(f"location, {name}", partial(given, text), read_location) for name, text in LOCATIONS.items()]
    found += [Case(f"config reference, {name}", partial(given, value), read_reference)
              for name, value in REFERENCES.items()]
    return found + [Case(f"option, {text[:20]} ({len(text)})", partial(given, text), read_option) for text in OPTIONS]
