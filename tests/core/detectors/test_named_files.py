"""Which files shape a run's result beside its config and data, and that a changed one is seen."""

import hashlib

import pytest

from core.base.errors import UserError
from core.config.reference import ConfigRef
from core.detectors.named_files import file_digests, require_same_files


def named(key, name):
    """Return a config in which ``key`` stands where users write it."""
    return {"load_from": {"load_from": name}, "resume_from": {"resume_from": name},
            "init_cfg": {"model": {"backbone": {"init_cfg": [{"type": "Pretrained", "checkpoint": name}]}}},
            "pretrained": {"model": {"pretrained": name}},
            "teacher": {"model": {"teacher_ckpt": name}},
            "hook": {"custom_hooks": [{"type": "ExpMomentumEMAHook", "resume_from": name}]},
            "anything": {"model": {"bbox_head": {"word_vectors": name}}}}[key]


@pytest.mark.parametrize("key", ["load_from", "resume_from", "init_cfg", "pretrained", "teacher", "hook", "anything"])
def test_another_content_behind_the_same_name_is_another_digest(key, tmp_path):
    file = tmp_path / "weights.pth"
    config, ref = named(key, str(file)), ConfigRef("own.py", "0" * 64)
    assert file_digests(config) == {}
    found = []
    for content in ("one", "two"):
        file.write_text(content)
        found.append(file_digests(config))
    assert [*found[0]] == [*found[1]] == [str(file)] and found[0] != found[1]
    require_same_files(ConfigRef("own.py", "0" * 64, files=found[1]), config)
    for other in (found[0], {}):
        with pytest.raises(UserError, match="weights.pth changed since the run began"):
            require_same_files(ConfigRef("own.py", "0" * 64, files=other), config)
    file.unlink()
    require_same_files(ref, config)


def test_published_weights_are_the_file_that_is_kept_of_them(tmp_path):
    config = {**named("init_cfg", "torchvision://resnet18"), "pretrained_weights": str(tmp_path)}
    assert file_digests(config) == {}
    (tmp_path / "resnet18-f37072fd.pth").write_text("one")
    first = file_digests(config)
    (tmp_path / "resnet18-f37072fd.pth").write_text("two")
    assert [*first] == ["torchvision://resnet18"] and file_digests(config) != first


def test_weights_on_s3_are_known_by_their_listing(s3):
    config = named("load_from", f"{s3.uri}/weights.pth")
    assert file_digests(config) == {}
    s3.put("weights.pth", b"one")
    first = file_digests(config)
    s3.put("weights.pth", b"two")
    assert len(first) == 1 and file_digests(config) != first


def test_a_teachers_config_is_known_with_its_bases(tmp_path):
    (tmp_path / "base.py").write_text("a = 1\n")
    (tmp_path / "teacher.py").write_text("_base_ = 'base.py'\nmodel = dict(type='GFL')\n")
    config = {"model": {"teacher_config": str(tmp_path / "teacher.py")}}
    first = file_digests(config)
    (tmp_path / "base.py").write_text("a = 2\n")
    assert len(first) == 1 and file_digests(config) != first


def test_imported_modules_are_known_by_their_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_heads").mkdir()
    for name in ("__init__.py", "head.py"):
        (tmp_path / "own_heads" / name).write_text("")
    config = {"custom_imports": {"imports": ["own_heads", "no.such.module"], "allow_failed_imports": True}}
    first = file_digests(config)
    (tmp_path / "own_heads" / "head.py").write_text("class Head: pass\n")
    assert [*first] == ["own_heads"] and file_digests(config) != first


def test_data_and_what_a_run_writes_are_not_among_them(tmp_path):
    file = tmp_path / "labels.json"
    file.write_text("{}")
    split = {key: str(file) for key in ("ann_file", "img_prefix", "data_root")}
    assert file_digests({"data": {"train": {"dataset": split}}, "work_dir": str(file)}) == {}


@pytest.mark.parametrize("name", ["/proc/self/pagemap", "/proc/kmsg", "/proc/self/mem", "/proc/kcore", "/dev/zero",
                                  "~no-such-user-at-all/x"])
def test_a_name_of_no_file_of_bytes_is_not_read(name):
    # Reading these waits, goes on for ever or fails; their sizes are 0 or more than any file's.
    assert set(file_digests({"model": {"name": name}}).values()) <= {hashlib.sha256(b"").hexdigest()}


def test_a_file_larger_than_any_reader_takes_is_not_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10 << 30)
    assert file_digests({"model": {"name": str(tmp_path / "sparse")}}) == {}


def test_a_digest_of_a_module_imports_nothing(tmp_path, monkeypatch):
    package = tmp_path / "some_package_of_a_config"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "some_package_of_a_config.module"
    assert file_digests({"custom_imports": {"imports": [name, f"{name}.none", "", ".", "a..b"]}}).keys() == {name}
