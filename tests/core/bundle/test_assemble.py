import dataclasses
import json
import shutil

import pytest

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.bundle.assemble import assemble
from core.bundle.manifest import Manifest, describe_files
from core.bundle.model_info import take_model_info
from core.bundle.readme import readme
from core.openvino.ir import model_api
from tests.core.bundle.conftest import RUN

CONTENT = {"MODEL_CARD.md", "README.md", "inferenceservice.json", "fp32/model.bin", "fp32/model.xml", "fp32/spec.json",
           "golden/detections.json", "golden/image.png", "labels.txt", "model.bin", "model.xml", "report.html",
           "requirements.txt",
           "runner/__main__.py", "spec.json", "summary.json"}


def test_bundle_holds_all_that_is_promised(assembled, sources):
    manifest = Manifest.read(assembled)
    assert {name for name in manifest.files if not name.startswith("runner/core/")} == CONTENT
    assert manifest.files == describe_files(assembled)
    assert (manifest.model_name, manifest.versions) == ("cells", {"openvino": "2024.6.0", "nncf": "2.0.0"})
    assert (assembled / "labels.txt").read_bytes().decode() == "red\ngröße & <b>\n青 い\n"
    assert sha256_file(assembled / "model.bin") == sha256_file(sources.compressed / "model.bin")
    assert "`python this-folder/runner image.jpg`" in (assembled / "README.md").read_text()


def test_the_manifest_says_how_model_api_takes_the_model(assembled, int8_spec):
    assert Manifest.read(assembled).model_api == {"model_type": "ssd", "model_api_note": ""}
    assert "Model API loads `model.xml` with no further parameter." in (assembled / "README.md").read_text()
    masked = dataclasses.replace(int8_spec, outputs=("boxes", "labels", "masks"), dynamic=True)
    assert model_api(masked) == {"model_type": "MaskRCNN", "model_api_note": "it needs a fixed input"}
    assert "But it needs a fixed input." in readme("cells", masked, model_api(masked))
    heads = dataclasses.replace(int8_spec, outputs=("cls_scores_0",))
    assert model_api(heads)["model_type"] == "" and "raw heads" in model_api(heads)["model_api_note"]
    assert "Model API does not know its outputs." in readme("cells", heads, model_api(heads))


def test_the_readme_says_what_an_image_is_padded_with(int8_spec):
    fit = dataclasses.replace(int8_spec, keep_ratio=True, resize_type="fit_to_window")
    low = dataclasses.replace(int8_spec, resize_height=40, pad_pixel=(114.0,) * 3)
    for spec, told in ((int8_spec, None), (low, "BGR (114, 114, 114): by"), (
            dataclasses.replace(fit, pad_pixel=(103.53, 116.28, 123.675)),
            "BGR (103.53, 116.28, 123.675) or with 114 in every channel: by")):
        found = readme("cells", spec, model_api(spec))
        assert told in found if told else "Padding" not in found


def test_model_says_where_it_comes_from_and_what_was_measured(assembled, sources):
    from core.openvino.runtime import read_ir

    info = {key: str(value) for key, value in read_ir(assembled)[0].get_rt_info(["model_info"]).value.items()}
    assert {key: info[key] for key in ("source_run", "measured_map", "measured_map50", "measured_map_fp32",
                                       "data_sha256", "summary_sha256")} == {
        "source_run": RUN, "measured_map": "0.4102", "measured_map50": "0.8272", "measured_map_fp32": "0.4051",
        "data_sha256": "da7a" * 16, "summary_sha256": sha256_file(sources.summary)}
    assert Manifest.read(assembled).model_info == {key: info[key] for key in Manifest.read(assembled).model_info}
    validated = (sources.compressed / "model.xml").read_bytes()
    assert take_model_info((assembled / "model.xml").read_bytes()) == validated


def test_another_run_with_the_same_results_gives_the_same_content(assembled, sources, tmp_path):
    other = assemble(sources, tmp_path / "bundle", "cells", "another run")
    first = Manifest.read(assembled)
    assert other.content_sha256 == first.content_sha256
    assert {name for name in other.files if other.files[name] != first.files[name]} == {"model.xml"}


def test_other_measurements_are_other_content(assembled, sources, tmp_path):
    summary = {**json.loads(sources.summary.read_text()), "map_ir": 0.5}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    other = assemble(dataclasses.replace(sources, summary=tmp_path / "summary.json"), tmp_path / "bundle", "cells", RUN)
    assert other.content_sha256 != Manifest.read(assembled).content_sha256


def test_summary_of_another_model_is_refused(sources, tmp_path):
    with pytest.raises(UserError, match="It measured another model than"):
        assemble(dataclasses.replace(sources, compressed=sources.fp32), tmp_path / "bundle", "cells", RUN)


@pytest.mark.parametrize("text", ["", "[]", '{"map_ir": 1}'])
def test_summary_that_is_none_is_refused(sources, tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(UserError, match="summary.*summary.json"):
        assemble(dataclasses.replace(sources, summary=tmp_path / "summary.json"), tmp_path / "bundle", "cells", RUN)


def test_model_that_does_not_give_its_golden_boxes_is_not_published(sources, tmp_path):
    golden = shutil.copytree(sources.golden, tmp_path / "golden")
    record = json.loads((golden / "detections.json").read_text())
    record["labels"][0] = (record["labels"][0] + 1) % 3
    (golden / "detections.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="1 of 6 boxes missing, 1 unexpected"):
        assemble(dataclasses.replace(sources, golden=golden), tmp_path / "bundle", "cells", RUN)
