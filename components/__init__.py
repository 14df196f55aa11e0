"""The stages: each a declaration with its function (stage.py) over core, and its command (__main__.py)."""
