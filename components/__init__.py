"""The stages: each a container component (component.py) and its command line (__main__.py) over core."""
