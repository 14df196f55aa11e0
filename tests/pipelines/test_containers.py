import pytest

from core.base.errors import UserError
from pipelines import containers
from pipelines.compress import ROOT, _located


@pytest.fixture(name="around")
def fixture_around(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: containers.surroundings(values, ROOT, tmp_path / "root")


def mounts(around):
    return {path: (volume["bind"], volume["mode"]) for path, volume in around.volumes.items()}


def own(tmp_path):
    return {str(tmp_path / "root"): (str(tmp_path / "root"), "rw"),
            str(tmp_path / "cache"): (str(tmp_path / "cache"), "rw"),
            str(ROOT / "configs"): ("/app/configs", "ro")}


def test_the_built_in_job_sees_artifacts_cache_and_configs(around, tmp_path):
    job = around(data="builtin://digits", model_config="configs/detectors/retinanet_r18_small_digits.py",
                 checkpoint="", destination="")
    assert mounts(job) == own(tmp_path)
    assert (job.network, job.gpus) == ("bridge", 0)


def test_what_the_user_names_is_mounted_under_its_own_path(around, tmp_path):
    data, detectors, checkpoint = tmp_path / "data", tmp_path / "configs" / "mine", tmp_path / "fp32.pth"
    data.mkdir()
    detectors.mkdir(parents=True)
    (detectors / "int8.py").touch()
    checkpoint.touch()
    destination = tmp_path / "models" / "new"
    job = around(data=f"file://{data}", compression_config=str(detectors / "int8.py"), checkpoint=str(checkpoint),
                 destination=str(destination))
    read_only = {str(place): (str(place), "ro") for place in (data, tmp_path / "configs", checkpoint)}
    assert mounts(job) == {**own(tmp_path), **read_only, str(destination): (str(destination), "rw")}
    assert destination.is_dir()


CONFIG = """
model = dict(type='RetinaNet', backbone=dict(init_cfg=dict(type='Pretrained', checkpoint={weights!r})))
load_from = {start!r}
data_root = {data!r}
data = dict(**{{split: dict(type='CocoDataset', pipeline=[dict(type='LoadImageFromFile')], data_root=data_root,
                           ann_file='ann/labels.json', img_prefix='img') for split in ('train', 'val', 'test')}})
"""


def test_what_a_config_names_is_mounted_under_its_own_path(around, tmp_path):
    data, weights, start = tmp_path / "set", tmp_path / "backbone.pth", tmp_path / "coco.pth"
    for folder in ("ann", "img"):
        (data / folder).mkdir(parents=True)
    for file in (data / "ann" / "labels.json", weights, start):
        file.touch()
    project = tmp_path / "project"
    project.mkdir()
    config = project / "own.py"

    def mounted(name, **values):
        config.write_text(CONFIG.format(weights=str(weights), start=str(start), data=name))
        return mounts(around(model_config=str(config), compression_config=str(config), **values))

    expected = {**own(tmp_path), **{str(place): (str(place), "ro") for place in (project, weights, start)}}
    folders = {str(data / name): (str(data / name), "ro") for name in ("ann", "img")}
    # A relative one counts from the config's folder, where neither the project's nor the current one has it.
    for name in (str(data), "../set"):
        assert mounted(name) == {**expected, **folders}, name
    assert mounted(str(data), data="builtin://digits") == expected
    with pytest.raises(UserError, match="config, data: .*labels.json"):
        mounted(str(tmp_path / "absent"))
    config.write_text("model = open('x').read()\n")
    with pytest.raises(UserError, match="Give `data`"):
        around(model_config=str(config), compression_config=str(config))


def test_a_storage_service_of_this_machine_is_reached(around, tmp_path, monkeypatch):
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:17480")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    job = around(data="s3://bucket/set", destination="s3://bucket/models")
    assert mounts(job) == {**own(tmp_path), str(bundle): (str(bundle), "ro"),
                           str(tmp_path / "home" / ".aws"): ("/home/stage/.aws", "ro")}
    assert job.network == "host"
    assert job.variables["AWS_ENDPOINT_URL_S3"] == "https://127.0.0.1:17480"


@pytest.mark.parametrize(("name", "value", "inside"), [
    ("data", "../set", str(ROOT.parent / "set")), ("data", "s3://bucket/set", "s3://bucket/set"),
    ("data", "builtin://digits", "builtin://digits"), ("checkpoint", "", ""), ("seed", 3, 3),
    ("model_config", "configs/detectors/a.py", "configs/detectors/a.py"),
    ("model_config", str(ROOT / "configs/detectors/a.py"), "configs/detectors/a.py"),
    ("model_config", "mine.py", str(ROOT / "mine.py"))])
def test_locations_count_from_the_project_before_they_go_into_a_container(name, value, inside):
    assert _located(name, value) == inside


def test_a_log_is_passed_on_by_lines():
    lines = []
    containers._follow([b"on", b"e\r\ntw\xc3", b"\xb6\nthr", b"ee"], lines.append)
    assert lines == ["one", "tw\u00f6", "three"]


def test_what_the_images_are_made_from_has_a_digest(tmp_path):
    from pipelines.code_digest import image_code_digest

    for folder in ("core", "components", "configs"):
        (tmp_path / folder).mkdir()
    before = image_code_digest(tmp_path)
    (tmp_path / "core" / "a.md").touch()
    assert image_code_digest(tmp_path) == before
    (tmp_path / "configs" / "a.py").touch()
    assert image_code_digest(tmp_path) != before
