#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_hash
short_description: Hash and compare images
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Hashes the given images and returns the Hamming distance of each pair.
  - With a library, hashes a sample of its images again and returns the images whose hash differs from the hash in the library.
  - The module changes nothing and does not use the journal.
requirements:
  - Pillow >= 9.0
  - numpy >= 1.24
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.info
  - mobius.dhash._options.decoding
  - mobius.dhash._options.hashing
options:
  images:
    description: The images to hash.
    type: list
    elements: path
  library:
    description: The library to take a sample of hashed images from.
    type: path
  state_dir:
    description:
      - The folder for state files of the hashed libraries, as in M(mobius.dhash.library_migrate). If a migration has left the positions of the
        images of O(library) there, and O(library) is as it was then, the module parses only the sample.
    type: path
  sample:
    description: Number of images of the library to hash again. The module draws another sample whenever the library changes.
    type: int
    default: 20
  progress_file:
    description:
      - A file that the module replaces while it waits (O(max_load), O(max_pressure), O(throttle_command), O(pause_file)), with the reason.
        The action plugin sets this option to show the reason.
    type: path
"""

EXAMPLES = r"""
- name: Compare two images
  mobius.dhash.image_hash:
    images:
      - /srv/mobius/media/cover.jpg
      - /srv/mobius/media/cover-small.jpg
  register: compared

- name: Check the hashes of twenty images of the library
  mobius.dhash.image_hash:
    library: /srv/mobius/library.json
    sample: 20
  register: sampled
"""

RETURN = r"""
images:
  description: The result for each image.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path of the image.
      type: str
    dhash:
      description: The hash of the image. None if the image has no hash.
      type: str
      sample: 0F1E2D3C4B5A6978
    vertical:
      description: The vertical hash of the image.
      type: str
    low_detail:
      description: Whether the image is too flat to be matched by hash.
      type: bool
    decoder:
      description: The decoder that decoded the image.
      type: str
    kind:
      description: The kind of error, if the image has no hash.
      type: str
    error:
      description: The reason for the error, if the image has no hash.
      type: str
distances:
  description: The Hamming distance of each pair of O(images) in which both images have a hash.
  returned: when O(images) is given
  type: list
  elements: dict
  contains:
    images:
      description: The paths of the two images.
      type: list
    distance:
      description: The number of the 64 bits in which the two hashes differ.
      type: int
mismatches:
  description: The images of the sample whose hash differs from the hash in the library.
  returned: when O(library) is given
  type: list
  elements: dict
  contains:
    path:
      description: The path of the image in the library.
      type: str
    expected:
      description: The hash of the image in the library.
      type: str
    found:
      description: The hash that the image has now, or the error.
      type: str
throttled:
  description: How long no image was begun because the host was busy or the run was paused.
  returned: success
  type: dict
  contains:
    seconds:
      description: The number of seconds in all.
      type: float
    reasons:
      description: The number of seconds for each reason, one of V(load), V(cpu_pressure), V(io_pressure), V(command), V(pause_file), and V(lock)
        for another operation that had locked the library at the end of a wait.
      type: dict
      sample: {cpu_pressure: 41.2, pause_file: 3600.4}
    unavailable:
      description: What O(max_load) or O(max_pressure) could not limit because this host does not tell it, of V(load), V(cpu_pressure) and
        V(io_pressure).
      type: list
      elements: str
sandbox:
  description: What confined the processes that decoded images. None if no image was decoded.
  returned: success
  type: dict
  contains:
    in_force:
      description: What was in force in every one of these processes.
      type: list
      elements: str
      choices: [landlock, no_new_privs, seccomp, no_capabilities, unprivileged_user, resource_limits]
    missing:
      description: What was not in force in at least one of them, each with C(id), one of the tokens of RV(sandbox.in_force), and C(reason).
      type: list
      elements: dict
    landlock_version:
      description: The version of Landlock. 0 if it was not in force.
      type: int
    uid:
      description: The user ID with which the images were decoded, the smallest if there were several.
      type: int
    text:
      description: RV(sandbox.in_force) as text for people.
      type: str
      sample: landlock 7, no_new_privs, seccomp, no_capabilities, uid 65534, resource_limits
"""

import itertools
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import path_rules, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import difference_hash, hash_batches, host_throttle, sandbox, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_index
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_survey, plan_cache
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log

SHOWN = ("dhash", "vertical", "low_detail", "decoder", "kind", "error")


def hash_images(paths: list[str], params: dict[str, Any], roots: tuple[str, ...], throttle: host_throttle.Throttle) -> list[dict[str, Any]]:
    entries = hash_batches.hash_now(paths, params["algorithm"], roots, module_arguments.limits(params),
                                    module_arguments.parallel(params), params["temp_dir"], throttle)
    return [{key: getattr(entry, key) for key in SHOWN} for entry in entries]


def compare(params: dict[str, Any], throttle: host_throttle.Throttle) -> dict[str, Any]:
    paths = [os.path.abspath(path) for path in params["images"]]
    # Without media roots these images alone may be read, wherever a link leads.
    roots = module_arguments.media_roots(params, library="/") if params["media_roots"] else tuple({os.path.realpath(path) for path in paths})
    found = hash_images(paths, params, roots, throttle)
    images = [{"path": path, **image} for path, image in zip(paths, found)]
    distances = [{"images": [one["path"], other["path"]],
                  "distance": difference_hash.distance(one["dhash"], other["dhash"])}
                 for one, other in itertools.combinations([image for image in images if image["dhash"]], 2)]
    return {"images": images, "distances": distances}


def sample(params: dict[str, Any], throttle: host_throttle.Throttle) -> dict[str, Any]:
    library = run_record.resolve(params["library"])
    state = run_record.folder(params["state_dir"], library)
    path_rules.require(library, state, {"temp_dir": params["temp_dir"], "pause_file": params["pause_file"]})
    drawn = plan_cache.draw(library, state, params["sample"])
    if drawn is None:
        read, digest = library_index.read(library)
        drawn = list(map(read.image, library_survey.sample(read.hashed(), digest, params["sample"])))
    paths = [os.path.join(os.path.dirname(library), image["path"]) for image in drawn]
    found = hash_images(paths, params, module_arguments.media_roots(params, library), throttle)
    images = [{"path": on_record["path"], **image} for on_record, image in zip(drawn, found)]
    mismatches = [{"path": on_record["path"], "expected": on_record["dhash"], "found": image["dhash"] or image["error"]}
                  for on_record, image in zip(drawn, found) if image["dhash"] != on_record["dhash"]]
    return {"images": images, "mismatches": mismatches}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            images=dict(type="list", elements="path"),
            library=dict(type="path"),
            state_dir=dict(type="path"),
            sample=dict(type="int", default=20),
            progress_file=dict(type="path"),
            **module_arguments.HASHING,
        ),
        required_one_of=[("images", "library")],
        mutually_exclusive=[("images", "library")],
        supports_check_mode=True,
    )
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(module.params["interpreter"], check_mode=False)
        sandbox.require(module_arguments.limits(module.params))
        settings = host_throttle.settings_of(module.params)
        throttle = host_throttle.Throttle(host_throttle.OFF if module.check_mode else settings)
        with run_log.progress_to(module.params["progress_file"]) as progress:
            throttle.tell = run_log.Meter(progress).wait
            result = (compare if module.params["images"] else sample)(module.params, throttle)
    except DhashError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, sandbox=worker_pool.sandbox_in_force(), throttled=throttle.result(), **result)


if __name__ == "__main__":
    main()
