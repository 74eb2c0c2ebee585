# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as a module runs them on its host."""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import runner as bounded

Runner = Callable[[List[str]], Tuple[int, str, str]]
#: Where programs of administrators are, whatever the search path.
ADMINISTRATION = ("/sbin", "/usr/sbin", "/usr/local/sbin")
NOT_FOUND = 127
#: A command that answers takes a part of this even on a busy machine; one that hangs must not hang the run.
SECONDS = 120.0
#: Drivers of many cards take their time.
LONGER = {"modprobe": 300.0, "rmmod": 300.0}


def runner(
    module: AnsibleModule, directories: Sequence[str] = ADMINISTRATION, locale: str = "C", longer: Optional[Mapping[str, float]] = None,
) -> Runner:
    """Return what runs a command and returns its exit status, output and errors.

    127: there is no such program. 124: it gave no answer in time.

    :param directories: searched before the search path.
    :param locale: language and character set of the command.
    :param longer: seconds for programs that may take longer than others.
    """

    def run(argv: List[str]) -> Tuple[int, str, str]:
        program = module.get_bin_path(argv[0], opt_dirs=list(directories))
        if program is None:
            return NOT_FOUND, "", f"{argv[0]}: not found"
        return bounded.run([program, *argv[1:]], {**LONGER, **(longer or {})}.get(argv[0], SECONDS), locale)

    return run
