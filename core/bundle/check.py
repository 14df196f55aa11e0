"""Whether a bundle is whole, its manifest and card are of its model, and the model still finds in the golden image what
it found when it was validated."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.bundle.inference_service import check_inference_service
from core.bundle.labels import COPY_AGAIN, LABELS_FILE, one_line, read_labels
from core.bundle.manifest import MODEL_XML, Manifest, damage
from core.bundle.model_card import check_model_card
from core.bundle.model_info import take_model_info
from core.evaluation.golden import GOLDEN, MAX_SCORE_DIFFERENCE, MIN_IOU, Difference, difference, read_golden
from core.openvino.detector import OpenVinoDetector
from core.openvino.image import CorruptImageError, read_image


@dataclass(frozen=True)
class BundleCheck:
    """What a sound bundle's check saw: its manifest and how the golden image's boxes differ from those expected."""

    manifest: Manifest
    golden: Difference

    def __str__(self) -> str:
        return (f"{self.manifest.model_name}: {len(self.manifest.files)} files as published; golden image: "
                f"{self.golden}")


def check_bundle(folder: Path) -> BundleCheck:
    """Check every file's digest, model.xml's origin, manifest and card, the labels, and the golden image's boxes.

    Raises:
        UserError: Something is missing, damaged or different; the message names every file concerned.
    """
    manifest = Manifest.read(folder)
    faults = damage(folder, manifest)
    if faults:
        raise UserError("bundle", folder, f"{'; '.join(faults)}.", COPY_AGAIN)
    measured = hashlib.sha256(take_model_info((Path(folder) / MODEL_XML).read_bytes())).hexdigest()
    if measured != manifest.validated_xml_sha256:
        raise UserError("bundle file", Path(folder) / MODEL_XML, "It is not the model that was validated.", COPY_AGAIN)
    check_inference_service(folder, measured)
    check_model_card(folder, measured)
    detector = OpenVinoDetector(Path(folder))
    if read_labels(folder) != tuple(map(one_line, detector.spec.classes)):
        raise UserError("bundle file", Path(folder) / LABELS_FILE, "It names other classes than the model's own: "
                        f"{', '.join(detector.spec.classes)}.", COPY_AGAIN)
    golden = read_golden(Path(folder) / GOLDEN)
    try:
        found = difference(golden.detections, detector(read_image(golden.image)))
    except CorruptImageError as error:
        raise UserError("golden image", error.path, f"It cannot be decoded: {error.reason}.", COPY_AGAIN) from error
    if not found.tolerable:
        raise UserError("golden image", golden.image, f"{str(found).capitalize()}; at most {MAX_SCORE_DIFFERENCE} and "
                        f"at least {MIN_IOU} are accepted.",
                        "Every file is as published, so look at the versions of openvino, numpy and opencv: "
                        "bundle.json names the ones it was measured with.")
    return BundleCheck(manifest, found)
