"""NNCF's own JSON schema, where NNCF is installed."""

import importlib.util
from collections.abc import Iterator
from typing import Any

from core.compression.config_check.finding import Finding, child

_LONGEST = 300


def nncf_is_installed() -> bool:
    """Return whether NNCF, and with it its schema, is installed in this environment."""
    return importlib.util.find_spec("nncf") is not None


def schema_findings(nncf_config: dict[str, Any]) -> list[Finding]:
    """Return what NNCF's schema refuses, with the place of each; empty where NNCF is not installed.

    Keys that are not text are left to our own rules: JSON has none, and the schema's validator fails on them.
    ``NNCFConfig.from_dict`` tells the first refusal only and, within an algorithm, not its place.
    """
    if not nncf_is_installed() or not _has_text_keys(nncf_config):
        return []
    from nncf.config.schema import REF_VS_ALGO_SCHEMA, ROOT_NNCF_CONFIG_SCHEMA

    findings = list(_refusals(nncf_config, ROOT_NNCF_CONFIG_SCHEMA, ""))
    section = nncf_config.get("compression") if isinstance(nncf_config, dict) else None
    for index, algorithm in enumerate(section if isinstance(section, list) else [section]):
        path = child("compression", index) if isinstance(section, list) else "compression"
        name = algorithm.get("algorithm") if isinstance(algorithm, dict) else None
        if isinstance(name, str) and name in REF_VS_ALGO_SCHEMA:
            findings += _refusals(algorithm, REF_VS_ALGO_SCHEMA[name], path)
    return findings


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return not isinstance(value, (list, tuple)) or all(map(_has_text_keys, value))


def _refusals(value: Any, schema: dict[str, Any], path: str) -> Iterator[Finding]:
    from jsonschema.validators import validator_for

    for error in validator_for(schema)(schema).iter_errors(value):
        place = path
        for key in error.absolute_path:
            place = child(place, key)
        yield Finding(place or "nncf_config", error.instance, f"NNCF's schema refuses it: {error.message[:_LONGEST]}.",
                      "Correct it as NNCF 2.0.0's ConfigFile.md describes it.")
