"""A split read by one format's reader, as ``core.data.examination`` does it for all."""

from core.data.search import FileSearch


def list_splits(reader, root):
    """Return the names of the splits that ``core.data.coco`` or ``core.data.voc`` finds in a folder, sorted."""
    return tuple(sorted(reader.find_splits(FileSearch(root))))


def read_split(reader, root, name):
    """Read the first part of a split."""
    search = FileSearch(root)
    return reader.read_part(search, reader.find_splits(search)[name][0], name)
