"""What passes between stages in place of a data set."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from core.base.errors import UserError


@dataclass(frozen=True)
class DataRef:
    """A data set that was found good: where it lies, what it held, and which parts of it are used.

    Attributes:
        uri: Where it lies: an absolute path, ``s3://bucket/prefix`` or ``builtin://digits?...`` with every option
            spelled out.
        digest: sha256 over the files that matter, with their hashes, or their ETags for a prefix on S3 (see
            ``core.data.digest``).
        format: ``coco`` or ``voc``.
        classes: The class names, in the order of the model's outputs.
        train_split: Name of the split to train on.
        val_split: Name of the split to follow training with, or ``""`` for none.
        test_split: Name of the split that measurements are made on.
        source: Digest of the archive or of the listing on S3 that it was taken from; empty for a folder.
        layout: Which annotations each split is made of (``core.data.layout``), as text.
    """

    uri: str
    digest: str
    format: str
    classes: tuple[str, ...]
    train_split: str
    val_split: str
    test_split: str
    source: str = ""
    layout: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the reference as a JSON object."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DataRef":
        """Return the reference that :meth:`to_json` wrote; raise UserError where ``value`` is none."""
        if not isinstance(value, dict):
            value = {}
        texts = [field.name for field in fields(cls) if field.name != "classes"]
        wrong = [name for name in texts if not isinstance(value.get(name), str)]
        classes = value.get("classes")
        if not isinstance(classes, (list, tuple)) or not all(isinstance(name, str) for name in classes):
            wrong.append("classes")
        unknown = sorted(set(value) - set(texts) - {"classes"})
        if wrong or unknown:
            raise UserError("data reference", ", ".join(wrong + unknown),
                            "It must have exactly the keys that the resolve stage wrote, each of its type.",
                            "Pass the `data` output of the resolve stage unchanged.")
        return cls(classes=tuple(classes), **{name: value[name] for name in texts})
