# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_schedule
short_description: Compute who measures with whom, and when, in the fabric test
version_added: 0.1.0
description:
  - Makes, on the controller, rounds of measurements in which no port is used twice - every pair of hosts within each rail, ways between
    rails, and all-reduces over the processes of each instance, within each host and over its hosts - and each host's part of them.
  - Shows the schedule with the time that it takes. Refuses one that takes longer than it may, that lacks perftest on a host, or that would
    disturb units that serve.
  - No host is contacted.
options:
  hosts:
    description:
      - Of each host C(address) (that others reach it by), C(facts) (RV(railyard.sglang.rdma_facts#module:ansible_facts)), C(planned)
        (the key C(rdma) of its slice of the plan, or null), C(looked) (what M(railyard.sglang.fabric_host) returned), C(cluster) (hosts of
        different ones are not paired) and C(traffic_class) (0 to 255, of the packets that it sends; below 0 or null the port's default).
    type: dict
    required: true
  instances:
    description: Instances of the plan.
    type: list
    elements: dict
    required: true
  notes:
    description: What the report shall say besides.
    type: list
    elements: str
    default: []
  pairs:
    description: Whether pairs of ports are measured.
    type: bool
    default: true
  tests:
    description: Tests of perftest, without C(ib_) in front.
    type: list
    elements: str
    choices: [write_bw, read_bw, send_bw, write_lat, read_lat, send_lat]
    default: [write_bw, write_lat]
  both_directions:
    description: Whether bandwidth within rails is measured in both directions.
    type: bool
    default: true
  cross_rails:
    description: Whether ways between rails are tried - V(none), V(sample) (each pair of hosts, each distance between rails once) or V(all).
    type: str
    choices: [none, sample, all]
    default: sample
  ports_at_once:
    description: Ports of a host that measure at the same time; 0 sets no limit.
    type: int
    default: 0
  bandwidth_size:
    description: Bytes of a message of bandwidth tests.
    type: int
    default: 1048576
  bandwidth_seconds:
    description:
      - Seconds that a bandwidth test sends, at least three less than O(test_seconds). Between rails it sends no longer than three seconds
        less than O(cross_seconds).
    type: int
    default: 2
  bandwidth_iterations:
    description: Messages of a bandwidth test, instead of a time; 0 sets none.
    type: int
    default: 0
  latency_size:
    description: Bytes of a message of latency tests.
    type: int
    default: 8
  latency_iterations:
    description: Messages of a latency test.
    type: int
    default: 1000
  queue_pairs:
    description: Queue pairs of a bandwidth test.
    type: int
    default: 4
  tcp_port:
    description: First of the TCP ports by which both ends of a test find each other; eight per rail are used.
    type: int
    default: 18515
  test_seconds:
    description: Seconds that a test may take once both ends have met.
    type: int
    default: 15
  cross_seconds:
    description: The same between rails, where a way that is not there costs all of it.
    type: int
    default: 10
  connect_seconds:
    description: Seconds that an end waits for its peer, beyond what earlier rounds may have taken.
    type: int
    default: 10
  max_seconds:
    description: Seconds that the whole may take. What does not fit is refused, and what is not done by then is not measured.
    type: int
    default: 900
  trim:
    description: Whether to leave out what does not fit, ways between rails first, instead of refusing.
    type: bool
    default: false
  allreduce:
    description: Whether all-reduces are measured.
    type: bool
    default: true
  allreduce_mib:
    description: Sizes of all-reduces in MiB.
    type: list
    elements: float
    default: [8, 64, 256, 1024]
  allreduce_iterations:
    description: All-reduces of each size that are timed.
    type: int
    default: 20
  allreduce_seconds:
    description: Seconds that all sizes together may take once all ranks have met.
    type: int
    default: 120
  allreduce_connect_seconds:
    description: Seconds in which all ranks must meet, with the import of torch.
    type: int
    default: 60
  allreduce_port:
    description: First of eight TCP ports by which ranks find each other.
    type: int
    default: 18700
  allow_serving:
    description: Consent to measure beside units that serve.
    type: bool
    default: false
  require_perftest:
    description: Whether a host without perftest is refused.
    type: bool
    default: true
  poll_seconds:
    description: Seconds between two looks whether a host has finished, from 1 to 600; checked here, before anything is started.
    type: int
    default: 5
extends_documentation_fragment:
  - railyard.sglang.attributes
  - railyard.sglang.attributes.read_only
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Compute the schedule
  railyard.sglang.fabric_schedule:
    hosts: "{{ hosts }}"
    instances: "{{ sglang_planned.plan.instances }}"
    cross_rails: none
  run_once: true
  register: schedule
"""

RETURN = r"""
run:
  description: Name of the run.
  returned: success
  type: str
rounds:
  description: Rounds with kind, test, measurements and seconds.
  returned: success
  type: list
  elements: dict
parts:
  description: The part of each host.
  returned: success
  type: dict
measurements:
  description: Every measurement by its identifier.
  returned: success
  type: dict
rails:
  description: The port of each host on each rail.
  returned: success
  type: list
  elements: dict
missing:
  description: Rails on which a host has no port, and ports that ought to carry data and do not (rail is null), with the reason.
  returned: success
  type: list
  elements: dict
left_out:
  description: Measurements that did not fit, each with the reason.
  returned: success
  type: list
  elements: dict
notes:
  description: What else is not measured.
  returned: success
  type: list
  elements: str
estimate:
  description: Seconds that it takes where all is well.
  returned: success
  type: int
bound:
  description: Seconds that it takes at most.
  returned: success
  type: int
head_start:
  description: Seconds that starting it on all hosts may take.
  returned: success
  type: int
"""
