"""What a bundle is handed over with: a manifest that KServe takes, and a card that is of this model."""

import copy
import json
import shutil

import pytest

from core.base.errors import UserError
from core.bundle.check import check_bundle
from core.bundle.inference_service import check_inference_service, inference_service, service_name
from core.bundle.manifest import Manifest, content_digest, describe_files
from core.bundle.model_card import check_model_card, write_model_card
from core.export.spec import ModelSpec
from core.results.summary import Summary
from tests.summaries import summary_record

DIGEST = "5" * 64


def write_service(folder, values):
    (folder / "inferenceservice.json").write_text(json.dumps(values))
    return folder


@pytest.fixture
def service():
    return inference_service("Cells_v2", "s3://models/cells", "f32", DIGEST)


@pytest.mark.parametrize("name, expected", [
    ("cells", "cells"), ("Cells_v2.1", "cells-v2-1"), ("3cells", "model-3cells"), ("a" * 80, "a" * 50),
    ("a" * 49 + "-b", "a" * 49)])
def test_a_models_name_becomes_one_of_a_service(name, expected):
    assert service_name(name) == expected


def test_the_manifest_serves_what_was_measured(service, tmp_path):
    found = check_inference_service(write_service(tmp_path, service), DIGEST)
    model = found["spec"]["predictor"]["model"]
    assert (model["modelFormat"], model["protocolVersion"]) == ({"name": "openvino"}, "v2")
    assert model["storageUri"] == "s3://models/cells"
    assert model["args"] == ['--plugin_config={"INFERENCE_PRECISION_HINT":"f32"}']
    assert found["metadata"] == {"name": "cells-v2", "annotations": {"mmdet-compress/model-xml-sha256": DIGEST}}


@pytest.mark.parametrize("location", ["/srv/models/cells", "file:///srv/models/cells", ""])
def test_a_folder_becomes_one_of_a_volume(location):
    """file:// is a place in KServe's own container."""
    predictor = inference_service("cells", location, "f32", DIGEST)["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == "pvc://models/cells"


@pytest.mark.parametrize("place, value, named", [
    (("apiVersion",), "serving.kserve.io/v1alpha1", "v1beta1"), (("kind",), "Deployment", "InferenceService"),
    (("metadata", "name"), "Cells", "letter first"), (("metadata", "name"), "a" * 51, "at most 50"),
    (("metadata", "annotations", "mmdet-compress/model-xml-sha256"), "6" * 64, "5555"),
    (("spec", "predictor", "model", "modelFormat", "name"), "onnx", "openvino"),
    (("spec", "predictor", "model", "protocolVersion"), "v1", "v2"),
    (("spec", "predictor", "model", "storageUri"), "/srv/models", "s3://"),
    (("spec", "predictor", "model", "args"), [1], "texts"),
    (("spec", "predictor", "model", "resources", "limits", "memory"), "2 GB", "quantity"),
    (("spec", "predictor", "model", "storage_uri"), "s3://a/b", "'storage_uri'"), (("spec", "predictor"), {}, "model"),
    (("spec",), [], "an object"), (("status",), {}, "'status'")])
def test_what_kserve_would_refuse_is_named(service, tmp_path, place, value, named):
    spoiled = copy.deepcopy(service)
    inner = spoiled
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(UserError) as caught:
        check_inference_service(write_service(tmp_path, spoiled), DIGEST)
    assert "inferenceservice.json" in str(caught.value) and named in str(caught.value)


def places(value, place=()):
    """Yield the place of every value in JSON."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*place, key))


FULL = {("metadata", "labels"): {"a": "b"}, ("metadata", "namespace"): "cells",
        ("spec", "predictor", "maxReplicas"): 2, ("spec", "predictor", "serviceAccountName"): "s3",
        ("spec", "predictor", "model", "runtime"): "kserve-openvino",
        ("spec", "predictor", "model", "modelFormat", "version"): "1"}


def changed(values, place, value):
    """Return JSON with another value at a place."""
    found = copy.deepcopy(values)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return found


def test_a_value_of_another_kind_is_refused_by_its_place(service, tmp_path):
    """The self-check of a foreign bundle ended with a traceback, or took what KServe refuses."""
    for place, value in FULL.items():
        service = changed(service, place, value)
    check_inference_service(write_service(tmp_path, service), DIGEST)
    for place in list(places(service))[1:]:
        for value in (None, True, -1, 1.5, [], [None], [[]], {"a": None}, {"a": {"b": None}}):
            if place[-2:] == ("model", "args") and value == []:
                continue
            with pytest.raises(UserError, match="bundle file: .*inferenceservice.json"):
                check_inference_service(write_service(tmp_path, changed(service, place, value)), DIGEST)
    for value in (None, [], [[]], 1, "x", True):
        with pytest.raises(UserError, match="bundle file: .*inferenceservice.json"):
            check_inference_service(write_service(tmp_path, value), DIGEST)


def test_the_card_names_numbers_digests_limits_and_calls(assembled):
    card = (assembled / "MODEL_CARD.md").read_text()
    manifest = Manifest.read(assembled)
    record = summary_record()
    for fact in (manifest.validated_xml_sha256, manifest.files["model.bin"].sha256,
                 manifest.files["fp32/model.bin"].sha256, manifest.files["summary.json"].sha256, "0.4102", "0.4051",
                 "max_map_drop 0.01", "/v2/models/cells/infer", "kubectl apply -f inferenceservice.json",
                 "python -m runner --self-check", "[1, 3, 48, 64]", f"{record['speedup']:.2f}x by wall time",
                 "größe &amp; &lt;b&gt;", "On 9 images of the split test"):
        assert fact in card
    check_model_card(assembled, manifest.validated_xml_sha256)


@pytest.mark.parametrize("speed, said", [
    ({"bound": None, "share": None, "int8_gain": None}, "Speed-up 2.00x by wall time.\n"),
    ({"source": "cpu", "bound": 0.95, "share": 1.07, "int8_gain": 0.95},
     "by CPU time, since other processes disturbed; the layers alone gain\n0.95x on that CPU, int8 alone 0.95x.\n")])
def test_the_card_says_of_the_cpu_what_was_measured(assembled, service, tmp_path, speed, said):
    """Without a bound it said n/ax."""
    shutil.copytree(assembled, tmp_path, dirs_exist_ok=True)
    record = summary_record()
    record["speed"].update(speed)
    write_model_card(tmp_path, "cells", ModelSpec.read(tmp_path), Summary.from_json(record), service)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert said in card and "n/a" not in card


@pytest.mark.parametrize("name, spoil, named", [
    ("MODEL_CARD.md", lambda text: text.replace("| model.bin | `", "| model.bin | `0"), "another model.bin, whose"),
    ("MODEL_CARD.md", lambda text: "# cells", "model.xml, model.bin, fp32/model.xml"),
    ("inferenceservice.json", lambda text: text.replace("v1beta1", "v1"), "v1beta1")])
def test_a_bundle_of_another_card_or_manifest_is_refused(bundle, name, spoil, named):
    """Digests of files say nothing of it where the bundle was put together wrongly."""
    path = bundle / name
    path.write_text(spoil(path.read_text()))
    manifest, files = Manifest.read(bundle), describe_files(bundle)
    Manifest(manifest.schema, manifest.model_name, content_digest(files, manifest.validated_xml_sha256),
             manifest.validated_xml_sha256, manifest.model_info, manifest.model_api, manifest.versions,
             files).write(bundle)
    with pytest.raises(UserError) as caught:
        check_bundle(bundle)
    assert name in str(caught.value) and named in str(caught.value)
