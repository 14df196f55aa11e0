import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.base.errors import UserError
from core.data import images
from core.data.dataset import resolve_data
from core.data.digest import FileFacts, FileMemory
from core.data.images import ImageFault, check_image, check_sizes, examine_images, image_size
from tests.hostile.kinds import KINDS, PLACES


def encoded(name, size=(32, 24), mode="RGB", **options):
    pixels = np.random.RandomState(0).randint(0, 256, size=(size[1], size[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, name, **options)
    return file.getvalue()


@pytest.mark.parametrize("name, mode", [
    ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1"),
    ("BMP", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB"), ("PPM", "RGB"),
])
def test_whole_images_pass_and_opencv_decodes_them_to_the_same_size(name, mode):
    import cv2
    data = encoded(name, mode=mode)
    assert check_image(data) == (32, 24)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (24, 32, 3)


def test_sixteen_bits_and_one_pixel_pass():
    file = io.BytesIO()
    Image.fromarray(np.full((1, 1), 40_000, np.uint16)).save(file, "PNG")
    assert check_image(file.getvalue()) == (1, 1)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation, size", [(1, (32, 24)), (3, (32, 24)), (6, (24, 32)), (8, (24, 32))])
def test_the_size_is_the_one_after_exif_rotation_as_opencv_applies_it(name, orientation, size):
    import cv2
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(name, exif=exif)
    assert check_image(data) == size
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[1::-1] == size


@pytest.mark.parametrize("name", ["TIFF", "WEBP"])
def test_a_rotation_that_readers_apply_differently_is_refused(name):
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(ImageFault, match=f"{name} with EXIF orientation 6"):
        check_image(encoded(name, exif=exif))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, width=128, height=96):
    """Return a PNG image whose chunks are all there and sound, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


ROW = bytes(1 + 3 * 128)


@pytest.mark.parametrize("pixels", [
    b"no zlib", zlib.compress(ROW * 10), zlib.compress(ROW * 95), zlib.compress(b"\x09" + ROW[1:]) * 96, b"",
    zlib.compress(ROW * 96)[:-9]], ids=["no zlib", "ten rows", "a row short", "no filter", "none", "cut"])
def test_pixels_that_cannot_be_decoded_are_found_behind_sound_checksums(pixels, tmp_path):
    data = png(pixels)
    Image.open(io.BytesIO(data)).verify()
    with pytest.raises(ImageFault, match="corrupt"):
        check_image(data)
    (tmp_path / "a.png").write_bytes(data)
    found = examine_images([tmp_path / "a.png"], FileMemory(tmp_path))
    with pytest.raises(UserError, match="1 of 1 in .* cannot be used: a.png .corrupt: "):
        check_sizes([(tmp_path / "a.png", 128, 96)], found, tmp_path)


def test_such_an_image_with_all_its_pixels_is_sound():
    assert check_image(png(zlib.compress(ROW * 96))) == (128, 96)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_a_fault(tmp_path, place):
    make, said = PLACES[place]
    make(tmp_path / "a.png")
    said = {"absent": "missing", "a link to nothing": "missing"}.get(place, said)
    assert said in examine_images([tmp_path / "a.png"], FileMemory(tmp_path))[tmp_path / "a.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_image_is_called_what_it_is(kind):
    content, said = KINDS[kind]
    with pytest.raises(ImageFault, match=said):
        check_image(content)


def test_large_images_are_decoded_one_at_a_time(monkeypatch, tmp_path, image):
    monkeypatch.setattr(images, "_LARGE_PIXELS", 10)
    files = [image(tmp_path / f"{number}.png") for number in range(6)]
    assert all(isinstance(found, FileFacts) for found in examine_images(files, FileMemory(tmp_path)).values())


def test_bytes_behind_the_end_are_no_fault():
    assert check_image(encoded("JPEG") + b"\0" * 100) == (32, 24)
    assert check_image(encoded("JPEG") + b"trailer of a camera") == (32, 24)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_images_cut_short_are_found(name, kept):
    data = encoded(name, size=(64, 48))
    with pytest.raises(ImageFault):
        check_image(data[:int(len(data) * kept)])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_decoded_not_only_looked_at(progressive):
    data = bytearray(encoded("JPEG", size=(64, 48), progressive=progressive))
    # The header of the first scan: with another number of components no decoder can go on.
    data[data.index(b"\xff\xda") + 4] = 9
    assert data.endswith(b"\xff\xd9")
    with pytest.raises(ImageFault, match="corrupt"):
        check_image(bytes(data))


def test_a_damaged_png_is_found():
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 255
    with pytest.raises(ImageFault, match="corrupt"):
        check_image(bytes(data))


@pytest.mark.parametrize("data, reason", [
    (b"", "empty file"),
    (b"<html>404</html>", "not an image but a web page, such as an error or a log-in"),
    (b"\xff\xd8\xff\xd9", "not an image"),
    (encoded("GIF", mode="P"), "GIF is not one of JPEG, PNG, BMP, TIFF, WEBP, PPM"),
])
def test_what_the_training_cannot_read_is_refused(data, reason):
    with pytest.raises(ImageFault) as caught:
        check_image(data)
    assert str(caught.value) == reason


def test_a_picture_too_large_to_decode_safely_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageFault, match="too large"):
        check_image(encoded("PNG"))


def test_every_file_is_answered_for(tmp_path, image):
    good = image(tmp_path / "good.png")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    found = examine_images([good, bad, tmp_path / "gone.png", folder, good], FileMemory(tmp_path))
    assert isinstance(found.pop(good), FileFacts)
    assert found == {bad: "not an image but text", tmp_path / "gone.png": "missing", folder: "it is a folder"}


def test_a_name_too_long_for_a_file_is_answered_for(tmp_path):
    found = examine_images([tmp_path / ("x" * 300)], FileMemory(tmp_path))
    assert list(found.values()) == ["File name too long"]


def facts(width, height):
    return FileFacts(1, 1, "", width, height)


def test_faults_are_named_with_reasons_and_all_are_counted(tmp_path):
    files = [tmp_path / f"{index:02d}.png" for index in range(14)]
    found = {file: "missing" for file in files}
    found[files[0]] = facts(32, 24)
    found[files[1]] = facts(24, 32)
    with pytest.raises(UserError) as caught:
        check_sizes([(file, 32, 24) for file in files], found, tmp_path)
    assert str(caught.value.value).startswith(
        f"13 of 14 in {tmp_path} cannot be used: 01.png (decodes to 24x32 pixels, annotated as 32x24); "
        "02.png (missing); 03.png (missing); ")
    assert str(caught.value.value).endswith("10.png (missing); and 3 more")


def test_one_image_annotated_with_two_sizes_is_a_fault(tmp_path):
    file = tmp_path / "a.png"
    with pytest.raises(UserError, match="1 of 1 .* annotated as 32x25"):
        check_sizes([(file, 32, 24), (file, 32, 25)], {file: facts(32, 24)}, tmp_path)


def test_right_sizes_pass(tmp_path):
    check_sizes([(tmp_path / "a.png", 32, 24)], {tmp_path / "a.png": facts(32, 24)}, tmp_path)


def test_the_size_of_a_missing_image_is_asked_in_vain(tmp_path, image):
    assert image_size(image(tmp_path / "a.png", size=(7, 9))) == (7, 9)
    with pytest.raises(UserError, match="b.png .missing."):
        image_size(tmp_path / "b.png")


def test_resolve_names_every_image_that_training_could_not_decode(coco):
    folder = coco.root / "images" / "train"
    for name, pixels in (("0.png", b"no zlib"), ("2.png", zlib.compress((b"\0" * 97) * 9))):
        (folder / name).write_bytes(png(pixels, 32, 24))
    with pytest.raises(UserError, match="2 of 9 in .*train/0.png .corrupt: .*; images/train/2.png .corrupt: "):
        resolve_data(str(coco.root))
