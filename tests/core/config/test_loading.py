from pathlib import Path

import pytest

from core.base.errors import UserError
from core.config import loading
from core.config.loading import config_folders, config_root, find_config, load_config, load_data, pipelines
from core.config.python_text import NotData

CODE = "\nimport math\nextra = math.floor(2.5)\n"


def test_load_data_reads_checks_and_changes(detector):
    data = load_data(detector, {"model.bbox_head.num_classes": 3})
    assert data["model"]["bbox_head"]["num_classes"] == 3
    assert data["data"]["train"]["pipeline"][2]["img_scale"] == (320, 240)


def test_load_config_is_an_mmcv_config(detector):
    import mmcv
    config = load_config(detector, {"lr_config.step": [1]})
    assert isinstance(config, mmcv.Config)
    assert config.filename == str(detector)
    assert config.data.train.pipeline[2].img_scale == (320, 240)
    assert config.lr_config.step == [1]
    assert "RetinaNet" in config.text


def test_relative_paths_prefer_the_repository(detector, monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "REPOSITORY", tmp_path / "repository")
    monkeypatch.chdir(detector.parents[1])
    assert find_config("configs/detector.py") == detector
    own = tmp_path / "repository" / "configs" / "detector.py"
    own.parent.mkdir(parents=True)
    own.write_text("a = 1")
    assert find_config("configs/detector.py") == own
    assert find_config(detector) == detector


def test_a_missing_file_names_the_nearest(detector):
    with pytest.raises(UserError, match="no such file. Did you mean `detector.py`"):
        find_config(detector.with_name("detectr.py"))
    with pytest.raises(UserError, match="no such file. Give a file below configs/"):
        find_config(detector.parent / "nowhere" / "x.py")
    with pytest.raises(UserError, match="name too long"):
        find_config("x" * 5000)


def test_root_of_bases(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "REPOSITORY", tmp_path / "repository")
    assert config_root(tmp_path / "repository" / "configs" / "a.py") == tmp_path / "repository"
    assert config_root(tmp_path / "configs" / "x" / "configs" / "a.py") == tmp_path / "configs"
    assert config_root(tmp_path / "elsewhere" / "a.py") == tmp_path / "elsewhere"


def test_a_container_sees_every_base(write, tmp_path):
    (tmp_path / "mmdetection").mkdir()
    (tmp_path / "mmdetection" / "base.py").write_text("a = 1")
    path = write(sub__child="_base_ = ['../other.py', '../../mmdetection/base.py']", other="b = 2")
    assert config_folders(path) == [tmp_path / "configs", tmp_path / "mmdetection"]
    path.write_text("import os")
    assert config_folders(path) == [tmp_path / "configs"]


def test_code_is_refused_without_trust(detector):
    detector.write_text(detector.read_text() + CODE)
    with pytest.raises(NotData, match="`import` begins an import.*--trust-config"):
        load_data(detector)


def test_code_runs_with_trust(detector):
    plain = load_config(detector)
    detector.write_text(detector.read_text() + CODE)
    config = load_config(detector, {"lr_config.step": [1]}, trust=True)
    assert config.extra == 2
    assert config.lr_config.step == [1]
    assert config.model == plain.model


# mmcv leaves its temporary file behind when the code fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("code, problem", [
    ("import nowhere_to_be_found", "ModuleNotFoundError"), ("import os\nextra = {}['x']", "KeyError: 'x'"),
    ("extra = open('/nonexistent/x')", "FileNotFoundError"), ("extra = [object() for i in range(1)]", "type object"),
])
def test_trusted_code_that_fails_is_a_message(detector, code, problem):
    detector.write_text(detector.read_text() + code)
    with pytest.raises(UserError, match=problem):
        load_config(detector, trust=True)


def test_malformed_text_is_refused_even_with_trust(detector):
    detector.write_text("model = (")
    with pytest.raises(UserError, match="valid Python syntax"):
        load_data(detector, trust=True)


def test_custom_imports_need_trust(detector, tmp_path, monkeypatch):
    detector.write_text(detector.read_text() + "custom_imports = dict(imports=['made_up_module'])\n")
    with pytest.raises(UserError, match="custom_imports of made_up_module. The config asks to import Python modules.*"
                       "Not installed here: made_up_module. Install made_up_module and pass --trust-config"):
        load_data(detector)
    with pytest.raises(UserError, match="custom_imports: .*must be importable"):
        load_config(detector, trust=True)
    (tmp_path / "made_up_module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_config(detector, trust=True).custom_imports == {"imports": ["made_up_module"]}
    with pytest.raises(UserError, match="runs their code. Pass --trust-config"):
        load_data(detector)


@pytest.mark.parametrize("value", ["1", "dict(imports=3)", "dict(imports=[1, '', '..', 'a b'])", "'made_up_module'"])
def test_custom_imports_of_another_kind_are_refused_as_well(detector, value):
    detector.write_text(detector.read_text() + f"custom_imports = {value}\n")
    with pytest.raises(UserError, match="The config asks to import Python modules"):
        load_data(detector)


@pytest.mark.parametrize("line, problem", [
    ("nncf_confg = dict()", "unknown key `nncf_confg`.*Did you mean `nncf_config`"),
    ("optimzer = dict()", "unknown key `optimzer`.*Did you mean `optimizer`"), ("text = 1", "the key `text`"),
    ("model = None", "`model` or its `type` is missing"), ("model = dict()", "`model` or its `type` is missing"),
    ("data = None", "`data.train` has no pipeline"), ("data = dict(train=dict(pipeline=[1]))", "`data.test` has no"),
    ("data = dict(train=dict(type='X'), test=dict(pipeline=[1]))", "`data.train` has no pipeline"),
])
def test_configs_that_are_refused(detector, line, problem):
    detector.write_text(detector.read_text() + "\n" + line)
    with pytest.raises(UserError, match=problem):
        load_data(detector)


def test_options_are_checked_against_the_config(detector):
    with pytest.raises(UserError, match="--cfg-options: unknown key nncf_confg.*Did you mean `nncf_config`"):
        load_data(detector, {"nncf_confg": {}})
    with pytest.raises(UserError, match="`model` or its `type` is missing"):
        load_data(detector, {"model": {"_delete_": True}})


def test_pipelines_of_wrapped_datasets():
    wrapped = {"type": "RepeatDataset", "dataset": {"type": "ConcatDataset", "datasets": [
        {"pipeline": [1]}, {"type": "MultiImageMixDataset", "pipeline": [2], "dataset": {"pipeline": [3]}}]}}
    assert list(pipelines([wrapped, {"pipeline": []}, None])) == [[1], [2], [3]]


def test_the_projects_own_configs_are_data():
    folder = loading.REPOSITORY / "configs"
    paths = [path for kind in ("detectors", "nncf_compression") for path in sorted((folder / kind).rglob("*.py"))]
    if not paths:
        pytest.skip("the project's configs are not in this tree")
    for path in paths:
        assert load_data(Path("configs") / path.relative_to(folder))["model"]["type"]
