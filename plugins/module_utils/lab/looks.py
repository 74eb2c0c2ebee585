# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtual machines look like to those that ask for the distribution; as data.

`rhel_like` is Debian with the release files, the package manager and the enforcing SELinux of a RHEL: code for RHEL takes its
paths there. It is no RHEL: kernel, policy, ram disk tools and packages are Debian's. What works there was exercised, not tested on RHEL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

#: Where Debian's policy says which file has which label.
FILE_CONTEXTS = "/etc/selinux/default/contexts/files/file_contexts"


@dataclass(frozen=True)
class Look:
    """What an image has besides that of plain Debian."""

    packages: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    kernel_arguments: str = ""
    labelled: bool = False


_RHEL_RELEASE = """NAME="Red Hat Enterprise Linux"
VERSION="9.4 (look-alike of the lab)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Look-alike of Red Hat Enterprise Linux 9.4 (Debian)"
CPE_NAME="cpe:/o:redhat:enterprise_linux:9::baseos"
"""

LOOKS: Mapping[str, Look] = {
    # Records of an audit that nobody reads cost time; those of SELinux are read.
    "debian": Look(kernel_arguments="audit=0"),
    "rhel_like": Look(
        packages=(
            "createrepo-c",
            "dnf",
            "policycoreutils",
            "policycoreutils-python-utils",
            "python3-dnf",
            "python3-selinux",
            "rpm",
            "selinux-policy-default",
            "selinux-utils",
        ),
        files={
            "etc/os-release": _RHEL_RELEASE,
            "etc/redhat-release": "Red Hat Enterprise Linux release 9.4 (look-alike of the lab)\n",
            "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=default\n",
        },
        kernel_arguments="security=selinux selinux=1",
        labelled=True,
    ),
}
