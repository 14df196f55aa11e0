import copy
import functools
import importlib.util
import os
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.config import statements
from core.config.data_only import MAX_BASE_DEPTH, MAX_FILES, data_from_json, data_from_yaml, read_config
from core.config.python_text import MAX_TOKENS, NotData

STOCK_CONFIGS = 634


def read(path: Path):
    return read_config(path, path.parent)


def test_bases_merge_as_in_mmcv(write):
    path = write(child="_base_ = ['a.py', 'sub/b.py']\nmodel = dict(depth=34)\nlr = {{_base_.lr}}\n__hidden = 1",
                 a="model = dict(type='X', depth=18)\n_deprecation_ = dict(expected='b')", sub__b="_base_ = '../c.py'",
                 c="lr = 0.1\nrunner = dict(max_epochs=(1, 2))")
    expected = {"model": {"type": "X", "depth": 34}, "lr": 0.1, "runner": {"max_epochs": (1, 2)}}
    assert read(path) == expected


def test_json_and_yaml_with_bases_and_references(write):
    path = write.named({
        "child.json": '{"_base_": "./base.yaml", "model": {"depth": 34, "classes": {{ _base_.number }}}, '
                      '"work_dir": "runs/{{ fileBasenameNoExtension }}"}',
        "base.yaml": "_base_: [leaf.py]\nmodel:\n  type: X\n  depth: 18\nrate: {{_base_.table.rate}}\n",
        "leaf.py": "number = 3\ntable = dict(rate=0.5)"})
    assert read(path) == {"number": 3, "table": {"rate": 0.5}, "model": {"type": "X", "depth": 34, "classes": 3},
                          "rate": 0.5, "work_dir": "runs/child"}


def test_predefined_variables(write):
    path = write(child="a = '{{ fileBasename }}|{{fileBasenameNoExtension}}|{{ fileExtname}}|{{fileDirname }}'")
    assert read(path) == {"a": f"child.py|child|.py|{path.parent}"}


def test_a_local_base_is_read_wherever_it_lies(write, tmp_path):
    elsewhere = tmp_path / "mmdetection" / "configs" / "_base_" / "runtime.py"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text("rate = 0.5")
    path = write(project__child="_base_ = '../../mmdetection/configs/_base_/runtime.py'")
    assert read_config(path) == {"rate": 0.5}
    path.write_text(f"_base_ = ['{elsewhere}']\nroot = {{{{_base_.rate}}}} * 2")
    assert read_config(path) == {"rate": 0.5, "root": 1.0}


def test_a_base_is_data_wherever_it_lies(write, tmp_path):
    (tmp_path / "code.py").write_text("import os")
    with pytest.raises(NotData, match="code.py, line 1: `import`"):
        read_config(write(child="_base_ = '../code.py'"))


def test_a_scope_is_explained(write):
    with pytest.raises(UserError, match="knows no scopes"):
        read_config(write(child="_base_ = 'mmdet::ssd/ssd300_coco.py'"))


def test_a_base_outside_the_root_is_refused(write):
    path = write(inner__child="_base_ = '../secret.py'", secret="password = 'x'")
    with pytest.raises(UserError, match=r"_base_: \.\./secret.py. Bases of a config from storage .*inner, only"):
        read(path)
    assert read_config(path, path.parents[1]) == {"password": "x"}


def test_a_link_out_of_the_root_is_refused(write, tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("a = 1")
    path = write(child="_base_ = 'link.py'")
    (path.parent / "link.py").symlink_to(outside)
    with pytest.raises(UserError, match="within"):
        read(path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../../../../../../etc/hostname"])
def test_a_base_elsewhere_is_refused_within_a_root(write, name):
    with pytest.raises(UserError, match="within"):
        read(write(child=f"_base_ = '{name}'"))


def test_what_a_file_changes_in_a_base_reference_stays_in_it(write):
    path = write(child="_base_ = 'a.py'\nown = {{_base_.model}}\nown.update(depth=34)\nown['head']['n'] = 3",
                 a="model = dict(depth=18, head=dict(n=1))")
    assert read(path) == {"model": {"depth": 18, "head": {"n": 1}}, "own": {"depth": 34, "head": {"n": 3}}}


@pytest.mark.parametrize("files, problem", [
    (dict(child="_base_ = 'child.py'"), "child.py: inherits from itself"),
    (dict(child="_base_ = 'a.py'", a="_base_ = 'child.py'"), "child.py: inherits from itself"),
    (dict(child="_base_ = ['a.py', 'b.py']", a="x = 1", b="x = 2"), "`x` comes from b.py and from a base before it"),
    (dict(child="_base_ = ['a.py', 'a.py']", a="x = 1"), "`x` comes from a.py"),
    (dict(child="_base_ = 'missing.py'"), "missing.py: no such file"),
    (dict(child="_base_ = 3"), "_base_: 3. It is one path"), (dict(child="_base_ = ('a.py',)"), "It is one path"),
    (dict(child="_base_ = 'a\\x00.py'"), "It is one path"),
    (dict(child="_base_ = 'x' * 5000 + '.py'"), "name too long|no such file"),
    (dict(child="_base_ = 'a.py'\nx = dict(y=1)", a="x = None"), "x: a dict that would inherit from None"),
    (dict(child="_base_ = 'a.txt'"), "the suffix .txt"),
])
def test_bases_that_cannot_be(write, files, problem):
    with pytest.raises(UserError, match=problem):
        read(write(**files))


def test_a_refusal_in_a_base_names_the_base(write):
    with pytest.raises(NotData, match=r"a.py, line 2: `open\('x'\)`"):
        read(write(child="_base_ = 'a.py'", a="\nx = open('x')"))


def test_inheritance_is_bounded(write):
    chain = {f"f{i}": f"_base_ = 'f{i + 1}.py'" for i in range(MAX_BASE_DEPTH + 2)}
    with pytest.raises(UserError, match="levels of `_base_`"):
        read(write(**chain))
    many = {f"f{i}": f"x{i} = 1" for i in range(MAX_FILES + 1)}
    names = [f"{name}.py" for name in many]
    with pytest.raises(UserError, match=f"more than {MAX_FILES} files"):
        read(write(child=f"_base_ = {names}", **many))


def test_values_nested_through_names_are_bounded(write):
    deep = "a0 = dict()\n" + "".join(f"a{i + 1} = dict(a=a{i})\n" for i in range(3000))
    with pytest.raises(UserError, match="nested deeper"):
        read(write(child="_base_ = 'b.py'\n" + deep, b=deep))


@pytest.mark.parametrize("content, problem", [
    (b"a = '\xff'", "UTF-8 text"), (b"a = 1\0", "NUL character"), (b"#" * (1 << 21), "longer than 1048576 bytes"),
    (b"#" + "\u00e9".encode() * (1 << 20), "cut within a character|longer than"),
])
def test_files_that_are_no_text(tmp_path, content, problem):
    path = tmp_path / "a.py"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read(path)


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read(path) == {"a": 1}


def test_devices_pipes_and_folders_are_refused(tmp_path):
    pipe, folder = tmp_path / "pipe.py", tmp_path / "folder.py"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        with pytest.raises(UserError, match="A config is a regular file"):
            read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(write):
    path = write(child="a = 1")
    path.chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        read(path)


@pytest.mark.parametrize("text, problem", [
    ("{", "Expecting property name"), ("[" * 100000, "nested too deeply|nested deeper"),
    ("9" * 100, "an integer of 333 bits"),
    ("NaN", "the number nan"), ('{"a": 99999999999999999999}', "an integer of 67 bits"),
    ("[" * 40 + "]" * 40, "nested deeper"), ("'a'", "Expecting value"),
])
def test_json_that_is_refused(text, problem):
    with pytest.raises(UserError, match=problem):
        data_from_json(text, "config x")


@pytest.mark.parametrize("text, problem", [
    ("a: !!python/object/apply:os.system [echo]", "could not determine a constructor"), ("a: [", "expected"),
    ("a: &x [1]\nb: *x", r"line 2: the alias \*x"), ("a: &x [*x]", "the alias"), ("a: !!set {x}", "type set"),
    ("a: 2001-01-01", "type date"), ("a: .nan", "the number nan"), ("1: a", "the key 1 is not text"),
    ("[" * 100, "nested too deeply"), ("a: " + "9" * 100, "a number of 100 characters"),
    ("a: 1\n---\nb: 2", "a single document"),
    ("- 1\n" * (MAX_TOKENS + 1), f"more than {MAX_TOKENS} words"), ("a: {{ x }}", "unhashable"),
])
def test_yaml_that_is_refused(text, problem):
    with pytest.raises(UserError, match=problem):
        data_from_yaml(text, "config x")


@pytest.mark.parametrize("name, text, problem", [
    ("a.json", "[1]", "a list"), ("a.yaml", "", "a NoneType"), ("a.json", '{"a": "{{_base_.x}}"}', "Expecting"),
    ("a.yaml", "a: {{_base_.x}}", "The base has no `x`"),
])
def test_structured_configs_that_are_refused(write, name, text, problem):
    with pytest.raises(UserError, match=problem):
        read(write.named({name: text}))


def test_same_as_mmcv(write):
    import mmcv
    path = write(
        child="_base_ = ['a.py', 'b.py']\nscale = (1, 2)\nmodel = dict(head=dict(_delete_=True, type='H'), s=[scale])\n"
              "new = dict(_delete_=True, x=dict(_delete_=True))\nn = {{_base_.b.x}}\nname = '{{ fileBasename }}'",
        a="model = dict(type='X', head=dict(type='A', n=1), s=None)", b="b = dict(x=(1, 2))")
    assert repr(read(path)) == repr(mmcv.Config(mmcv.Config._file2dict(str(path))[0])._cfg_dict.to_dict())


def stock_folder() -> Path:
    found = importlib.util.find_spec("mmdet")
    if found is None:
        pytest.skip("mmdet is not in this environment")
    folder = Path(found.origin).parent / ".mim" / "configs"
    if not folder.is_dir():
        pytest.skip("this mmdet does not ship its configs")
    return folder


def test_every_stock_config_equals_mmcvs_reading(monkeypatch):
    """All 634 of mmdet 2.28.2 (and their bases) are data; repr tells tuples from lists and keeps the order of keys."""
    folder = stock_folder()
    from mmcv import Config

    # The bases are read hundreds of times: what both sides make of a file is kept.
    monkeypatch.setattr(statements, "parse_python", functools.cache(statements.parse_python))
    read_file = functools.cache(Config._file2dict)
    monkeypatch.setattr(Config, "_file2dict", staticmethod(lambda *given: copy.deepcopy(read_file(
        os.path.normpath(given[0]), *given[1:]))))
    paths = [path for path in sorted(folder.glob("*/**/*.py")) if "_base_" not in path.parts]
    assert len(paths) == STOCK_CONFIGS
    different = [path.name for path in paths if repr(read_config(path))
                 != repr(Config(Config._file2dict(str(path))[0])._cfg_dict.to_dict())]
    assert not different
