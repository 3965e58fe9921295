"""Pictures taken beside the physics are those taken in step with it."""

from __future__ import annotations

import numpy as np

from sim_node.bed import Bed
from sim_node.studio import Studio


def test_studio_takes_the_bed_s_own_pictures_while_the_scene_moves_on():
    bed = Bed()
    bed.reset("put the red cube in the basket", 4)
    expected = bed.images()
    studio = Studio([bed.scene])
    try:
        shot = studio.shoot(bed.scene)
        bed.step_joint(bed.joints() + 0.1, 0.0)
        pictures = shot.result()
        assert pictures.keys() == expected.keys()
        assert all(np.array_equal(pictures[name], expected[name]) for name in expected)
        later = studio.shoot(bed.scene).result()
        assert not np.array_equal(later["wrist"], expected["wrist"])
    finally:
        studio.close()


def test_studio_skips_rather_than_waits():
    bed = Bed()
    bed.reset("put the red cube in the basket", 4)
    studio = Studio([bed.scene])
    try:
        shots = [studio.shoot(bed.scene) for _ in range(20)]
        taken = [shot for shot in shots if shot is not None]
        assert taken and len(taken) + studio.skipped == 20
        studio.wait()
        assert taken[-1].done()
    finally:
        studio.close()
