"""The walk of MMDetection's own configs: its entries, its verdicts, its page."""

import json
import time

import pytest

from core.base.errors import UserError
from core.dry_run.comparing import Likeness
from core.export.attempt import PROVEN
from scripts import mmdet_table
from scripts.detectors import REPOSITORY, Cell
from scripts.mmdet_configs import ENTRIES, mmdetection_configs, small_config
from scripts.mmdet_table import FolderRow, Walk, counts_line, main, markdown, verdict

OK = {"resolve": Cell("ok", "accepted"), "FP32 IR": Cell("ok", "0.998 of 900, masks 0.970"),
      "wrapped": Cell("ok", "60 quantizers"), "IR": Cell("ok", "0.970 of 900, 7.0 MB"),
      "train step": Cell("ok", "97 of 97")}
WHOLE = FolderRow("ssd", "int8", "ssd300_coco.py", OK, {"compared": 900}, 60.0, day="2026-11-29")
PARTIAL = FolderRow("yolo", "int8", "yolov3.py", {**OK, "IR": Cell("FAILED", "IR: 0.5"), "train step": Cell("-")},
                    day="2026-11-28")
REFUSED = FolderRow("rpn", "int8", "rpn.py", {"resolve": Cell("REFUSED", "no box head")}, seconds=2.0)


def test_every_folder_of_mmdetection_has_an_entry():
    folders = {folder.name for folder in mmdetection_configs().iterdir()
               if folder.is_dir() and folder.name[0] not in "._"}
    assert set(ENTRIES) == folders and len(folders) == 92
    for folder, entry in ENTRIES.items():
        assert (mmdetection_configs() / folder / entry.config).is_file()


def walked():
    """Return the folders of the committed table that are supported."""
    return sorted({row["detector"] for row in json.loads(mmdet_table.ROWS.read_text()) if len(row["cells"]) > 1})


@pytest.mark.detectors
@pytest.mark.parametrize("folder", walked())
def test_the_ir_of_every_supported_folder_finds_pytorchs_boxes(folder, tmp_path):
    """The comparison of the table's rows in FP32, padded images among them, made again; it raises where they differ."""
    walk = mmdet_table.Walk(folder, "int8", tmp_path)
    for stage in (walk.resolve, walk.build, walk.fp32):
        stage()


def test_resolve_exports_no_backbone_or_neck_that_the_table_proves():
    from core.config.loading import load_config

    rows = [FolderRow.from_json(values) for values in json.loads(mmdet_table.ROWS.read_text())]
    proven = {row.detector for row in rows if row.algorithm == "int8" and verdict([row]) == "whole"}
    parts = set()
    for folder in proven:
        model = load_config(mmdetection_configs() / folder / ENTRIES[folder].config).model
        necks = model.get("neck") or []
        parts |= {part["type"] for part in (model.backbone, *(necks if isinstance(necks, list) else [necks]))}
    assert len(proven) >= 60 and parts <= PROVEN


def test_a_folder_is_whole_in_part_or_refused():
    assert [verdict([row]) for row in (WHOLE, PARTIAL, REFUSED)] == ["whole", "partial", "REFUSED"]
    assert verdict([]) == "not tried"
    assert verdict([WHOLE, FolderRow("ssd", "pruning", cells={"IR": Cell("FAILED", "")})]) == "whole"
    assert counts_line([WHOLE, PARTIAL, REFUSED]).startswith(
        "Of 92 folders 1 are supported whole in int8, 1 in part, 1 are refused by name, 89 are not tried yet")


def test_the_page_says_what_was_seen_and_why_not():
    page = markdown([WHOLE, PARTIAL, REFUSED])
    assert "| ssd | ssd300_coco.py | whole | 0.998 of 900, masks 0.970 | 60 quantizers | 0.970 of 900, 7.0 MB |" in page
    assert "| partial | 0.998 of 900, masks 0.970 | 60 quantizers | FAILED |" in page
    assert "- yolo, int8, IR: IR: 0.5" in page
    assert "| rpn | rpn_r50_fpn_1x_coco.py | no box head | 2 |" in page
    assert "2026-11-28 to " in page


def test_the_committed_page_and_readme_are_those_of_the_committed_rows():
    rows = list(mmdet_table._read_rows(mmdet_table.ROWS).values())
    assert mmdet_table.PAGE.read_text() == markdown(rows)
    assert counts_line(rows) in (REPOSITORY / "README.md").read_text()


def test_no_committed_row_ends_in_a_traceback():
    for row in mmdet_table._read_rows(mmdet_table.ROWS).values():
        assert not [cell for cell in row.cells.values() if cell.outcome == "FAILED" and "Error: " in cell.seen[:40]]


@pytest.fixture
def walked(monkeypatch):
    """Walks nothing; returns the list of what would have been walked."""
    tried = []

    def run(folder, algorithm):
        tried.append((folder, algorithm))
        cells = {"resolve": Cell("REFUSED", "so")} if folder == "rpn" else OK
        return FolderRow(folder, algorithm, cells=cells)

    monkeypatch.setattr(mmdet_table, "run_row_apart", run)
    return tried


def test_done_rows_stay_and_what_is_refused_is_not_compressed(walked, tmp_path):
    command = ["--folders", "ssd,rpn", "--rows", str(tmp_path / "rows.json"), "--page", str(tmp_path / "page.md")]
    assert main(command) == 0
    assert walked == [("ssd", "int8"), ("rpn", "int8"), ("ssd", "pruning"), ("ssd", "int8_pruning")]
    assert main(command) == 0
    assert len(walked) == 4
    assert main([*command, "--algorithms", "int8", "--again"]) == 0
    assert walked[4:] == [("ssd", "int8"), ("rpn", "int8")]
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 4


def compared(monkeypatch, tmp_path, share, itself):
    walk = Walk("yolox", "int8", tmp_path)
    walk.counts = {"points": 157, "parameters": 5_000_000, "compressed_ir_bytes": 5_800_000}
    monkeypatch.setattr(walk, "_likeness", lambda name: Likeness(900, 0.0, share, 334, None))
    monkeypatch.setattr(walk, "_likeness_to_itself", lambda: itself)
    return walk.compare()


def test_an_ir_is_as_near_to_pytorch_as_pytorch_is_to_itself_or_fails(monkeypatch, tmp_path):
    assert compared(monkeypatch, tmp_path, 0.9, None) == "0.900 of 334, 5.8 MB"
    assert compared(monkeypatch, tmp_path, 0.75, 0.694) == "0.750 of 334, PyTorch with itself 0.694, 5.8 MB"
    assert compared(monkeypatch, tmp_path, 0.675, 0.694).startswith("0.675 of 334, PyTorch with itself 0.694")
    with pytest.raises(UserError, match=r"0.660 of 334 boxes, PyTorch with itself 0.694. .* must be 0.8, or"):
        compared(monkeypatch, tmp_path, 0.66, 0.694)


def test_a_process_that_dies_or_hangs_is_a_row_as_far_as_it_came(monkeypatch):
    def dies(folder, algorithm, on_stage):
        on_stage(FolderRow("ssd", "int8", cells={"builds": Cell("ok", "9.0 M")}))
        exit(7)

    monkeypatch.setattr(mmdet_table, "run_row", dies)
    row = mmdet_table.run_row_apart("ssd", "int8")
    assert row.cells == {"builds": Cell("ok", "9.0 M"), "process": Cell("FAILED", "ended with code 7")}
    monkeypatch.setattr(mmdet_table, "run_row", lambda folder, algorithm, on_stage: WHOLE)
    assert mmdet_table.run_row_apart("ssd", "int8") == WHOLE
    monkeypatch.setattr(mmdet_table, "run_row", lambda folder, algorithm, on_stage: time.sleep(60))
    monkeypatch.setattr(mmdet_table, "ROW_SECONDS", 0.2)
    assert mmdet_table.run_row_apart("ssd", "int8").cells["process"].seen == "no end within 0.2 s"


def test_a_config_is_cut_down_and_its_neck_fits():
    config = small_config("retinanet", "int8_pruning")
    assert config.model.backbone.depth == 18 and config.model.neck.in_channels == [64, 128, 256, 512]
    assert config.data.test.pipeline[1].img_scale == (160, 128)
    assert [part["algorithm"] for part in config.nncf_config["compression"]] == ["filter_pruning", "quantization"]
