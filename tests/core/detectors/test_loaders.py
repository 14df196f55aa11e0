"""mmcv's, mmdet's and torch's loaders, as they are once something was built from a config."""

import io
import pickle

import mmcv
import pytest
import torch

from core.base.errors import UserError
from core.detectors.building import build_dataset, build_detector, build_optimizer, building
from core.detectors.loaders import install, originals
from tests.hostile.canaries import canaries


@pytest.fixture(scope="module", autouse=True)
def made(tmp_path_factory):
    install()
    with canaries(tmp_path_factory.mktemp("canaries") / "made") as made:
        yield made
        assert made.fired() == []


@pytest.mark.parametrize("scheme", ["", "file://", "pavi://", "petrel:s3:/"])
@pytest.mark.parametrize("inside", [True, False])
def test_no_loader_of_checkpoints_unpickles(made, scheme, inside):
    from mmcv.runner import _load_checkpoint, load_checkpoint
    from mmdet.models.backbones import detectors_resnet, swin
    from mmdet.models.detectors import kd_one_stage

    place = scheme + made.file(".pth")
    for load in (_load_checkpoint, lambda name: load_checkpoint(torch.nn.Linear(1, 1), name),
                 mmcv.runner.CheckpointLoader.load_checkpoint, swin._load_checkpoint, lambda name: (
                     detectors_resnet.load_checkpoint(torch.nn.Linear(1, 1), name)), lambda name: (
                     kd_one_stage.load_checkpoint(torch.nn.Linear(1, 1), name)), mmcv.runner.checkpoint.load_url,
                 torch.hub.load_state_dict_from_url, torch.utils.model_zoo.load_url, torch.load):
        with pytest.raises((UserError, FileNotFoundError)):
            if inside:
                with building("model config"):
                    load(place)
            else:
                load(place)


def test_no_loader_fetches_a_url(made):
    from mmcv.runner import load_checkpoint

    for load in (mmcv.runner.checkpoint.load_url, torch.hub.load_state_dict_from_url, torch.utils.model_zoo.load_url,
                 torch.hub.load, torch.hub.download_url_to_file, mmcv.load,
                 lambda name: load_checkpoint(torch.nn.Linear(1, 1), name), mmcv.FileClient(backend="disk").get):
        with pytest.raises((UserError, FileNotFoundError, TypeError)):
            load(made.url + "evil.pth")
    with pytest.raises(UserError, match="file client"):
        mmcv.load(made.url + "evil.json")


def test_restricted_reading_takes_the_place_of_torch_load(made, tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "sound.pth")
    assert torch.equal(torch.load(tmp_path / "sound.pth", map_location="cpu")["a"], torch.ones(2))
    with pytest.raises(UserError, match="only tensors"):
        torch.load(made.file(".pth"))
    with pytest.raises(UserError, match="from files"):
        torch.load(io.BytesIO((tmp_path / "sound.pth").read_bytes()))
    with pytest.raises(UserError, match="TorchScript"):
        torch.jit.load(made.file(".pth"))
    # torch's own way of copying a tensor to another process is no file of a config.
    assert torch.equal(pickle.loads(pickle.dumps(torch.ones(3))), torch.ones(3))


@pytest.mark.parametrize("arguments", [
    {"backend": "http"}, {"backend": "petrel"}, {"backend": "ceph"}, {"backend": "lmdb", "db_path": "x"},
    {"backend": "memcached", "server_list_cfg": "a", "client_cfg": "b", "sys_path": "/tmp"}, {"prefix": "https"},
    {"backend": "disk", "path_mapping": {}}])
def test_files_are_on_disks(arguments):
    with pytest.raises(UserError, match="file client"):
        mmcv.FileClient(**arguments)
    with pytest.raises(UserError, match="file client"):
        mmcv.FileClient.infer_client(arguments)
    assert mmcv.FileClient().get(__file__) == mmcv.FileClient(backend="disk").get(__file__)


def test_pickles_are_not_read_and_yaml_is_data(made, tmp_path):
    with pytest.raises(UserError, match="pickle can run code"):
        mmcv.load(made.file(".pkl"))
    with open(made.file(".pkl"), "rb") as stream, pytest.raises(UserError, match="pickle can run code"):
        mmcv.load(stream, file_format="pkl")
    with pytest.raises(UserError, match="constructor for the tag"):
        mmcv.load(made.file(".yaml"))
    mmcv.dump({"a": [1]}, tmp_path / "a.yaml")
    mmcv.dump({"a": [1]}, tmp_path / "a.pkl")
    assert mmcv.load(tmp_path / "a.yaml") == {"a": [1]}


def test_configs_named_by_configs_are_read_as_data(made):
    with pytest.raises(UserError, match="evil.py"):
        mmcv.Config.fromfile(made.file(".py"))
    assert mmcv.Config.fromfile("configs/detectors/retinanet_r18_small.py").model.type == "RetinaNet"
    with pytest.raises(UserError):
        mmcv.Config.fromstring(made.expression, ".py")


def test_modules_are_not_imported_by_name(made):
    from mmcv.utils import import_modules_from_strings

    with pytest.raises(UserError, match="import"):
        import_modules_from_strings([made.module])
    with pytest.raises(UserError, match="registry"):
        mmcv.runner.obj_from_dict({"type": made.module})


@pytest.mark.parametrize("kind", [dict, print, eval, open, 3, None, ["ResNet"], lambda: None])
def test_a_type_is_a_name(kind):
    from mmdet.models import BACKBONES, build_backbone

    for build in (lambda: build_backbone({"type": kind}), lambda: BACKBONES.build({"type": kind}),
                  lambda: mmcv.build_from_cfg({"type": kind}, BACKBONES),
                  lambda: mmcv.cnn.build_norm_layer({"type": kind}, 3),
                  lambda: mmcv.cnn.build_conv_layer({"type": kind}, 3, 3, 3)):
        with pytest.raises(UserError, match="A type is a name in the registry"):
            build()


@pytest.mark.parametrize("kind", ["os.system", "mmcv.nothing", "torch.nn.Linear", "absent", "mmdet.", ".", "a.b.c"])
def test_a_name_is_in_the_registry(kind):
    from mmdet.models import BACKBONES

    with pytest.raises(KeyError, match="registry"):
        mmcv.build_from_cfg({"type": kind}, BACKBONES)
    with pytest.raises(UserError, match="cannot build"), building("model config"):
        mmcv.build_from_cfg({"type": kind}, BACKBONES)
    with pytest.raises(UserError, match="cannot build"):
        build_optimizer(torch.nn.Linear(1, 1), {"type": kind, "lr": 0.1})


def test_a_cause_that_was_never_raised_is_passed_over():
    with pytest.raises(UserError, match="ValueError: raise ValueError"), building("detector"):
        raise ValueError() from AssertionError()


def test_an_assertion_without_words_is_told_by_its_line():
    from mmcv.cnn.bricks.transformer import TRANSFORMER_LAYER

    attention = {"type": "MultiheadAttention", "embed_dims": 64, "num_heads": 4}
    with pytest.raises(UserError, match="BaseTransformerLayer: assert .*embed_dims"), building("model config"):
        mmcv.build_from_cfg({"type": "BaseTransformerLayer", "attn_cfgs": attention,
                             "operation_order": ("self_attn", "norm", "ffn", "norm")}, TRANSFORMER_LAYER)


def test_names_with_the_scope_of_a_registry_are_found():
    from mmdet.models import BACKBONES

    for kind in ("ResNet", "mmdet.ResNet"):
        assert mmcv.build_from_cfg({"type": kind, "depth": 18}, BACKBONES).depth == 18


@pytest.mark.parametrize("kind", ["__import__('os').getcwd", "lambda *a, **k: 1", "eval", "batched_nms", None, {}])
def test_the_type_of_nms_is_looked_up(kind):
    boxes, scores, labels = torch.rand(4, 4), torch.rand(4), torch.zeros(4)
    with pytest.raises(UserError, match="nms.type"):
        mmcv.ops.batched_nms(boxes, scores, labels, {"type": kind, "iou_threshold": 0.5})
    with pytest.raises(UserError, match="nms.type"):
        build_detector(mmcv.Config({"model": {"type": "RetinaNet", "test_cfg": {"rcnn": [{"nms": {"type": kind}}]}}}))
    for known in ("nms", "soft_nms"):
        mmcv.ops.batched_nms(boxes, scores, labels, {"type": known, "iou_threshold": 0.5})


@pytest.mark.parametrize("kind", ["os", "nms", "get_compiler_version", "batched_nms", "absent", 3])
def test_a_layer_of_regions_is_a_layer(kind):
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

    with pytest.raises(UserError, match="roi_layer.type"):
        SingleRoIExtractor({"type": kind}, 8, [4])
    SingleRoIExtractor({"type": "RoIAlign", "output_size": 7}, 8, [4])


@pytest.mark.parametrize("kind", ["load", "from_dict", "os", "Lambda", "FDA", "HistogramMatching", "absent", dict])
def test_a_transform_of_albumentations_is_a_transform(kind):
    from mmdet.datasets.pipelines import Albu

    for transforms in ([{"type": kind}], [{"type": "OneOf", "transforms": [{"type": kind}], "p": 1.0}]):
        with pytest.raises(UserError, match="Albu"):
            Albu(transforms)
    Albu([{"type": "OneOf", "transforms": [{"type": "Blur"}], "p": 1.0}],
         bbox_params={"type": "BboxParams", "format": "pascal_voc", "label_fields": ["gt_labels"]})


@pytest.mark.parametrize("hook", [
    {"type": "WandbLoggerHook"}, {"type": "MMDetWandbHook"}, {"type": "PaviLoggerHook"}, {"type": "MlflowLoggerHook"},
    {"type": "CheckpointHook", "out_dir": "/tmp"}, {"type": "TextLoggerHook", "out_dir": "s3://bucket/x"},
    {"type": "TensorboardLoggerHook", "log_dir": "../elsewhere"}, {"type": "ProfilerHook", "json_trace_path": "/x"},
    {"type": "ProfilerHook", "on_trace_ready": {"type": "tb_trace", "dir_name": "/x"}}])
def test_hooks_write_to_the_work_folder_alone(hook, tmp_path):
    from mmcv.runner import HOOKS

    with pytest.raises(UserError, match=hook["type"]), building("hooks", writable=[tmp_path]):
        mmcv.build_from_cfg(hook, HOOKS)
    with building("hooks", writable=[tmp_path]):
        mmcv.build_from_cfg({"type": "TensorboardLoggerHook", "log_dir": str(tmp_path / "tf_logs")}, HOOKS)


def test_a_bad_file_client_of_a_transform_is_known_when_the_data_set_is_built(tmp_path):
    from core.data.dataset import Split

    (tmp_path / "truth.json").write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}')
    split = Split("test", tmp_path / "truth.json", tmp_path, 0, 0)
    load = {"type": "LoadImageFromFile", "file_client_args": {"backend": "http"}}
    for pipeline in ([load], [{"type": "MultiScaleFlipAug", "img_scale": (8, 8), "transforms": [load]}]):
        settings = {"type": "CocoDataset", "ann_file": str(split.annotation_file), "img_prefix": str(tmp_path),
                    "classes": ("a",), "pipeline": pipeline, "test_mode": True}
        for wrapped in (settings, {"type": "RepeatDataset", "times": 2, "dataset": settings}):
            with pytest.raises(UserError, match="file client"):
                build_dataset(wrapped, split)
    with pytest.raises(UserError, match="data set config"):
        build_dataset({**settings, "pipeline": [], "ann_file": __file__}, split)


def test_the_originals_can_be_had_for_comparisons(tmp_path):
    with originals():
        assert torch.load.__module__ == "torch.serialization"
        with pytest.raises(TypeError, match="str or valid type"):
            mmcv.build_from_cfg({"type": 3}, mmcv.runner.HOOKS)
    with pytest.raises(UserError):
        mmcv.build_from_cfg({"type": 3}, mmcv.runner.HOOKS)
