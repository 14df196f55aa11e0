from hashlib import sha256

from core.base.digest import BLOCK_BYTES, sha256_file


def test_file_of_several_blocks(tmp_path):
    content = b"0123456789abcdef" * (BLOCK_BYTES // 16) + b"end"
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == sha256(content).hexdigest()
