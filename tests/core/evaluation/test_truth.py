from core.evaluation.truth import truth_by_image

TRUTH = {"images": [{"id": 4}, {"id": 2}, {"id": 9}],
         "annotations": [{"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 1},
                         {"image_id": 2, "category_id": 5, "bbox": [0, 0, 9, 9]}],
         "categories": [{"id": 7, "name": "cat"}, {"id": 5, "name": "dog"}]}


def test_boxes_by_image():
    found = truth_by_image(TRUTH, ("dog", "cat"), skipped=[9])
    assert list(found) == [4, 2]
    assert found[2].boxes.tolist() == [[1, 2, 4, 6], [0, 0, 9, 9]]
    assert (found[2].labels.tolist(), found[2].ignored.tolist()) == ([1, 0], [True, False])
    assert found[4].boxes.shape == (0, 4) and len(found[4].labels) == 0
