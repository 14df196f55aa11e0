"""The typed record of a run: a baseline and its candidates, their forms and what was measured of each.

JSON Schema and the tables of docs/metrics.md are generated from these classes (``python -m core.results.documents``).
"""
