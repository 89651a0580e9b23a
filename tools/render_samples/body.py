"""A clothed human body as one skinned mesh, modelled once and posed every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .attire import add_bag, add_hanging, add_head
from .figure import SKIRT, TRUNK, Build
from .limbs import add_arm, add_leg, add_trunk
from .mesh import Mesh, MeshBuilder

Array = NDArray[Any]


def build_body(build: Build) -> Mesh:
    """The mesh in the bind pose of `skeleton.bind_pose`, at stature 1.75 m."""
    builder = MeshBuilder(len(skeleton.BONES))
    _, joints = skeleton.forward(skeleton.rest_joints(), skeleton.bind_pose())
    add_trunk(builder, build)
    for side in ("left", "right"):
        add_leg(builder, build, side, joints)
        add_arm(builder, build, side, joints)
    add_head(builder, build)
    if build.skirt:
        add_hanging(builder, build, build.skirt, SKIRT)
    if build.coat:
        add_hanging(builder, build, build.coat, TRUNK)
    add_bag(builder, build, joints)
    return builder.mesh()


def skin(mesh: Mesh, rest: Array, bind: tuple[Array, Array], posed: tuple[Array, Array], scale: float) -> Array:
    """(V, 3) float32 vertices in the world: linear blend skinning from the bind pose to the pose, at the person's scale."""
    world = np.einsum("bij,bkj->bik", posed[0], bind[0]) * scale
    shift = posed[1] - np.einsum("bij,bj->bi", world, bind[1])
    transforms = np.concatenate([world, shift[:, :, None]], -1).reshape(len(rest), 12).astype(np.float32)
    blended = (mesh.weights @ transforms).reshape(-1, 3, 4)
    return np.asarray(np.einsum("vij,vj->vi", blended[:, :, :3], mesh.vertices) + blended[:, :, 3])
