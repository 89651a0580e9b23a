import numpy as np

from skipvid.video.draw import draw_skeleton
from skipvid.video.draw.skeleton import LEFT, RIGHT


def standing(height: float = 200.0, left: float = 150.0, top: float = 20.0) -> np.ndarray:
    """17 COCO joints of a person that faces the camera: its left side is at the right of the picture."""
    x = [0, 1, -1, 2, -2, 5, -5, 7, -7, 8, -8, 3, -3, 3, -3, 3, -3]
    y = [2, 1, 1, 2, 2, 8, 8, 14, 14, 20, 20, 20, 20, 30, 30, 40, 40]
    joints = np.stack([np.array(x) * height / 40 + left, np.array(y) * height / 40 + top, np.full(17, 0.9)], axis=1)
    return joints.astype(np.float32)


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(axis=2) < 12


def test_the_left_side_and_the_right_side_have_their_own_colours() -> None:
    image = np.full((240, 300, 3), 90, np.uint8)
    draw_skeleton(image, standing())
    left, right = np.nonzero(near(image, LEFT))[1], np.nonzero(near(image, RIGHT))[1]
    assert len(left) > 40 and len(right) > 40
    assert left.min() > 149 and right.max() < 151


def test_joints_of_low_score_are_hidden_with_their_limbs() -> None:
    image = np.full((240, 300, 3), 90, np.uint8)
    joints = standing()
    joints[13:, 2] = 0.1
    draw_skeleton(image, joints, min_score=0.3)
    knees = int(joints[13, 1])
    assert (image[knees - 40 :] == 90).all()
    assert (image[:knees] != 90).any()


def test_nothing_is_drawn_where_every_joint_is_hidden() -> None:
    image = np.full((240, 300, 3), 90, np.uint8)
    joints = standing()
    joints[:, 2] = 0.0
    draw_skeleton(image, joints)
    assert (image == 90).all()


def test_larger_persons_get_thicker_limbs() -> None:
    def thickness(height: float) -> int:
        image = np.full((1100, 1100, 3), 90, np.uint8)
        joints = standing(height, 500)
        draw_skeleton(image, joints)
        shin = int((joints[13, 1] + joints[15, 1]) / 2)
        return int(near(image, LEFT)[shin].sum())

    assert 1 <= thickness(80) < thickness(220) <= thickness(1000) <= 10


def test_a_set_of_joints_other_than_cocos_is_drawn_as_points() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    draw_skeleton(image, np.array([[20, 20, 0.9], [80, 80, 0.9]], np.float32), size=80)
    assert (image[20, 20] != 90).any() and (image[80, 80] != 90).any()
    assert (image[40:60, 40:60] == 90).all()
