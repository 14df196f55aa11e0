import json

from core.results import documents
from core.results.documents import SCHEMA_FILE, main, schema_of
from core.results.validation import Validation


def test_the_schema_and_the_page_are_up_to_date(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_what_is_out_of_date_is_named_and_written(tmp_path, monkeypatch, capsys):
    page = tmp_path / "metrics.md"
    page.write_text("# before\n<!-- generated -->\nstale table\n<!-- end -->\nafter\n")
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "PAGE", page)
    monkeypatch.setattr(documents, "SCHEMA_FILE", tmp_path / "metrics.schema.json")
    assert main(["--check"]) == 1 and "stale table" in page.read_text()
    assert "metrics.md" in capsys.readouterr().out
    assert main([]) == 0 and main(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("# before\n") and text.endswith("<!-- end -->\nafter\n") and "stale table" not in text
    assert "| `share` | 0 to 1 | " in text


def test_every_key_is_described():
    schema = schema_of(Validation)
    for name, part in {"Validation": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


def test_the_schema_is_valid_and_refuses_what_the_records_refuse():
    import jsonschema
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    # NNCF's jsonschema knows no later draft; but for prefixItems they agree on what the records use.
    validator = jsonschema.Draft7Validator
    validator.check_schema(schema)
    metrics = {"$defs": schema["$defs"], "$ref": "#/$defs/Ratio"}
    good = {"median": 1.0, "low": 0.5, "high": 2.0}
    assert validator(metrics).is_valid(good)
    for change in ({"median": 0}, {"extra": 1}, {"high": None}):
        assert not validator(metrics).is_valid({**good, **change})
