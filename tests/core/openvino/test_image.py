import cv2
import numpy as np
import pytest

from core.base.errors import UserError
from core.openvino.image import CorruptImageError, read_image


@pytest.fixture
def picture():
    random = np.random.default_rng(0)
    return cv2.resize(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60))


def write(path, image, *options):
    path.write_bytes(cv2.imencode(path.suffix, image, list(options))[1].tobytes())
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "two words.png", "grün 青.png"])
def test_reads_bgr(tmp_path, picture, name):
    assert np.array_equal(read_image(write(tmp_path / name, picture)), picture)


def test_reads_as_mmcv_does(tmp_path, picture):
    import mmcv
    path = write(tmp_path / "a.jpg", picture)
    assert np.array_equal(read_image(path), mmcv.imread(str(path)))


def test_gray_becomes_three_equal_channels(tmp_path, picture):
    gray = picture[..., 0]
    assert np.array_equal(read_image(write(tmp_path / "gray.png", gray)), np.stack([gray] * 3, axis=2))


def test_sixteen_bits_become_eight(tmp_path, picture):
    assert np.array_equal(read_image(write(tmp_path / "deep.png", picture.astype(np.uint16) * 257)), picture)


def test_transparency_is_dropped(tmp_path, picture):
    see_through = np.dstack([picture, np.full(picture.shape[:2], 9, np.uint8)])
    assert np.array_equal(read_image(write(tmp_path / "alpha.png", see_through)), picture)


def test_exif_rotation_is_applied(tmp_path, picture):
    upright = read_image(write(tmp_path / "upright.jpg", picture))
    content = (tmp_path / "upright.jpg").read_bytes()
    # An EXIF segment with one entry, orientation (0x0112) = 6: rotate clockwise to show.
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    (tmp_path / "rotated.jpg").write_bytes(content[:2] + segment + content[2:])
    rotated = read_image(tmp_path / "rotated.jpg")
    assert np.array_equal(rotated, cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE))


@pytest.mark.parametrize("suffix, options", [(".jpg", ()), (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), (".png", ()),
                                             (".bmp", ())])
@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_corrupt(tmp_path, picture, suffix, options, kept):
    path = write(tmp_path / f"cut{suffix}", picture, *options)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * kept)])
    with pytest.raises(CorruptImageError) as error:
        read_image(path)
    assert error.value.path == path
    assert error.value.reason == ("the file is empty" if kept == 0 else
                                  "OpenCV cannot decode it; it is truncated or not an image")


def test_another_kind_of_file_is_corrupt(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(CorruptImageError, match="text.jpg: OpenCV cannot decode it"):
        read_image(tmp_path / "text.jpg")


def test_a_picture_beyond_opencvs_limit_is_corrupt(tmp_path):
    (tmp_path / "huge.pgm").write_bytes(b"P5 1048576 1048576 255\n" + bytes(100))
    with pytest.raises(CorruptImageError, match="huge.pgm"):
        read_image(tmp_path / "huge.pgm")


def test_a_missing_file_is_an_error_of_the_data_set(tmp_path):
    with pytest.raises(UserError, match="It cannot be read .No such file or directory"):
        read_image(tmp_path / "absent.jpg")
