"""Inputs to begin with, and the words that mutations are made of."""

import json

from tests.hostile import annotations, checkpoints, texts
from tests.hostile.checkpoints import (
    ARRAY,
    F4,
    array,
    call,
    dtype,
    in_meta,
    latin,
    name_of,
    number,
    numbers,
    storage,
    tensor,
    text,
    weights,
)

_LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>data/</Prefix>
<KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>data/a.png</Key>
<LastModified>2024-01-02T03:04:05.678Z</LastModified><ETag>"d41d8cd98f00b204e9800998ecf8427e"</ETag><Size>70</Size>
<StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""
_CONFIG = """_base_ = []
scale = (192, 192)
model = dict(type='RetinaNet', backbone=dict(depth=18, init_cfg=None), lr=0.02 * 2 ** 3, test_cfg={'a': [1, -1.5]})
data = dict(samples_per_gpu=2, train=dict(pipeline=[dict(type='Resize', img_scale=scale)]), **dict(b=scale[0]))
"""


def seeds(target: str) -> list[bytes]:
    """Return sound and hostile inputs of a target."""
    good = weights(tensor(numbers(4), numbers(1)))
    found = {
        "checkpoint": [bytes([form]) + content for form in (0, 1) for content in (
            good, weights(tensor(numbers(2, 2), numbers(2, 1), of=storage(view=b"N"))),
            in_meta("mean", array(F4, numbers(2), latin("x" * 8))),
            in_meta("a", call("numpy.core.multiarray", "scalar", F4, latin("abcd"))),
            *(value for value in checkpoints.PICKLES.values() if len(value) < 2000))],
        "config": [b"\0" + _CONFIG.encode(), b'\x01{"model": {"type": "X", "a": [1, 2.5, null, true]}}',
                   b"\2model: {type: X, a: [1, 2.5, ~]}\n", b"\3model.type=Y\nmodel.a.1.b=[1, {c: 2}]\n",
                   *(b"\0" + value.encode() for value in texts.CODE.values() if len(value) < 2000),
                   *(b"\2model: " + value.encode() for value in texts.YAML.values() if len(value) < 2000)],
        "coco": [b"\0" + json.dumps(value).encode() for value in (annotations.document(), *(
            annotations.DOCUMENTS.values()))],
        "voc": [b"\0" + annotations.SOUND.encode(), b"\1a\n", *(b"\0" + value.encode() for value in (
            annotations.XML.values()) if len(value) < 2000)],
        "listing": [b"\0" + _LISTING.encode()]}
    return [seed for seed in found[target] if len(seed) < 4000]


def words(target: str) -> list[bytes]:
    """Return what a mutation may insert."""
    if target == "checkpoint":
        return [name_of(module, name) for module, name in (
            ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor_v3"),
            ("torch._utils", "_rebuild_parameter"), ("torch._tensor", "_rebuild_from_type_v2"),
            ("torch._utils", "_rebuild_device_tensor_from_numpy"), ("torch", "Size"), ("torch", "device"),
            ("torch", "float32"), ("torch", "uint8"), ("torch", "FloatStorage"), ("torch.storage", "UntypedStorage"),
            ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"), ("numpy.core.numeric", "_frombuffer"), ("collections", "OrderedDict"),
            ("collections", "defaultdict"), ("mmcv.utils.config", "ConfigDict"), ("builtins", "set"),
            ("builtins", "bytes"), ("_codecs", "encode"), ("datetime", "datetime"), ("datetime", "timedelta"),
            ("datetime", "timezone"))] + [
            b"(", b")", b"t", b"R", b"b", b"}", b"]", b"s", b"u", b"a", b"e", b"N", b"\x88", b"\x89", b"Q", b"0", b"1",
            b"2", b"q\x01", b"h\x01", b"q\x02", b"h\x02", b"\x85", b"\x86", b"\x87", b"\x8f", b"\x90", b"\x91",
            b"\x93", b"\x94", b"\x81", b"\x92", b"\x95" + bytes(8), ARRAY, F4, dtype("S8"), dtype("b1"), dtype("M8"),
            numbers(4), numbers(1), numbers(0), numbers(1 << 61), number(-1), number(1 << 62), latin("x" * 8),
            text("<"), text("|"), text("meta"), text("state_dict"), text("nncf"), text("optimizer"),
            tensor(numbers(4), numbers(1)), storage(), array(F4, numbers(2), latin("x" * 8)),
            b"(" + number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"]
    found = {
        "config": ["dict(", "_base_", "{{_base_.a}}", "{{ fileDirname }}", "_delete_", "lambda", "f'{a}'", "**", "*",
                   "//", "%", "<<", "0x", "1e999", "1j", "9" * 70, "\\\n", "'''", '"""', "#", "\0", "\f", "\x1a", "&a",
                   "*a", "!!python/name:os.system", "<<:", "---", "...", "? ", "- ", ": ", "|\n", "\ud800", "é", "[",
                   "]", "{", "}", "(", ")", ",", "=", "\r", "\t", "True", "None", "nan", "inf", "-0", "1_000", "b''",
                   "u''", "rb''", "a = a + a\n", "range(0, 1)", "for a in b", "if a else b", ".1.", "..", "model"],
        "coco": ['"images"', '"annotations"', '"categories"', '"bbox"', '"segmentation"', '"counts"', '"size"', '"id"',
                 '"iscrowd"', '"area"', "1e400", "-1", "0", "NaN", "Infinity", "null", "true", "[", "]", "{", "}", ",",
                 ":", '"\\ud800"', '"../a.png"', '"a.png"', "1.5", "9" * 400, '{"counts": [0, 64], "size": [8, 8]}',
                 '{"counts": "0d2", "size": [8, 8]}', "[[0, 0, 4, 0, 4, 4]]", '""', "[[1]]", '"\\u0000"'],
        "voc": ["<object>", "</object>", "<size>", "<bndbox>", "<xmin>", "</xmin>", "<name>", "<difficult>",
                "1", "<!DOCTYPE a>", "<![CDATA[", "]]>", "<?xml version='1.0' encoding='utf-16'?>", "<?xml", "?>",
                "&amp;", "&#0;", "&#x1b;", "nan", "inf", "1e309", "-1", "0", "\0", "../a", "a\n", "<!--", "-->",
                "xmlns:a='b'"],
        "listing": ["<Contents>", "</Contents>", "<Key>", "</Key>", "<Size>", "</Size>", "<ETag>", "</ETag>",
                    "<Size/>", "<ETag/>", "<LastModified/>", "<LastModified>", "</LastModified>",
                    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1e400", "-1", "9" * 30, "data/",
                    "../", "%00", "%ZZ", "&#10;",
                    "<EncodingType>url</EncodingType>", "<IsTruncated>true</IsTruncated>", "&amp;", "<Error>", "<Code>",
                    "<NextContinuationToken>a</NextContinuationToken>", "<CommonPrefixes>", "<!DOCTYPE a>", "<Owner>",
                    "<?xml", "\ud800", "true", "<Contents/>", "2024-01-02", "1700000000", "xmlns='x'"]}
    return [word.encode("utf-8", "surrogatepass") for word in found[target]]
