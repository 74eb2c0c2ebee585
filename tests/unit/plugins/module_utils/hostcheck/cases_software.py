# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of packages and libraries."""

from __future__ import annotations

import functools

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NEEDLESS, NOTE, OK, UNKNOWN, WARNING
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.changes import (
    MANAGER,
    TORCH,
    VENV,
    Case,
    answer,
    both,
    file,
    gone,
    nothing,
    rank,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck.world import (
    LIBRARIES,
    cpu_world,
    new_world,
    router_world,
)

SOFTWARE: dict[str, list[Case]] = {
    "libstdcxx": [
        Case(
            ERROR, file(f"{LIBRARIES}/libstdc++.so.6", b"GLIBCXX_3.4.29\0GLIBCXX_3.4.30x"),
            "ends at GLIBCXX_3.4.29, and Mooncake of sglang-0.5.8-cu12 needs",
        ),
        Case(OK, file(f"{LIBRARIES}/libstdc++.so.6", b"GLIBCXX_3.4.22\0"), "", cpu_world),
        Case(
            ERROR, both(rank(environment={"LD_LIBRARY_PATH": "/opt/gcc/lib"}), file("/opt/gcc/lib/libstdc++.so.6", b"GLIBCXX_3.4.20\0")),
            "/opt/gcc/lib/libstdc++.so.6 ends at GLIBCXX_3.4.20",
        ),
        Case(
            ERROR, file(f"{LIBRARIES}/libstdc++.so.6", b"GLIBCXX_3.4.19\0"),
            "ends at GLIBCXX_3.4.19, and Mooncake of sglang-0.5.23-cu13 needs GLIBCXX_3.4.22", new_world,
        ),
        Case(
            ERROR, file(f"{LIBRARIES}/libstdc++.so.6", b"GLIBCXX_3.4.19\0"), "ends at GLIBCXX_3.4.19",
            functools.partial(new_world, backend="mooncake_tcp"),
        ),
        Case(NEEDLESS, nothing, "no rank transfers by Mooncake", functools.partial(new_world, backend="nixl")),
        Case(UNKNOWN, gone(f"{LIBRARIES}/libstdc++.so.6"), "in no usual directory"),
        Case(UNKNOWN, rank(stack="sglang-0.5.8-cu13"), "what Mooncake of sglang-0.5.8-cu13 needs"),
        Case(NEEDLESS, rank(arguments={"disaggregation-transfer-backend": "nixl"}), "no rank transfers by Mooncake"),
        Case(NEEDLESS, nothing, "no rank", router_world),
    ],
    "glibc": [
        Case(ERROR, file(f"{LIBRARIES}/libc.so.6", b"GLIBC_2.33\0"), "ends at GLIBC_2.33"),
        Case(ERROR, file(f"{LIBRARIES}/libc.so.6", b"GLIBC_2.17\0"), "ends at GLIBC_2.17, and Mooncake of sglang-0.5.23-cu13", new_world),
        Case(UNKNOWN, file(f"{LIBRARIES}/libc.so.6", b"none"), "cannot be read"),
        Case(NEEDLESS, rank(arguments={"disaggregation-transfer-backend": "nixl"}), "no rank transfers by Mooncake"),
    ],
    "python-path": [
        Case(
            ERROR, both(rank(environment={"PYTHONPATH": "/opt/x:/opt/y"}), file("/opt/y/torch/__init__.py", "")),
            "names /opt/y, whose torch is imported",
        ),
        Case(
            ERROR, both(answer(MANAGER, 0, "PYTHONPATH=/opt/y\n"), file("/opt/y/nvidia/nccl/x", "")),
            "service manager's environment names /opt/y",
        ),
        Case(WARNING, answer(MANAGER, 0, "PYTHONPATH=/opt/y\n"), "what is put there"),
        Case(ERROR, answer(MANAGER, 0, "PYTHONHOME=/opt/y\n"), "PYTHONHOME"),
        Case(OK, both(rank(environment={"PYTHONPATH": "/opt/x"}), file("/opt/x/nvidia/cudnn/x", "")), ""),
        Case(OK, both(rank(environment={"PYTHONPATH": "/opt/x"}, links=["/opt/x"]), file("/opt/x/deep_ep/__init__.py", "")), ""),
        Case(NEEDLESS, nothing, "no rank", router_world),
    ],
    "site-packages": [
        Case(NOTE, file(TORCH, ""), "has torch; the stack is a virtual environment and does not see it"),
        Case(
            NOTE,
            both(file("/var/lib/sglang/.local/lib/python3.12/site-packages/sgl_kernel/x", ""), rank(environment={"PYTHONNOUSERSITE": ""})),
            "has sgl_kernel",
        ),
        Case(NOTE, both(file(TORCH, ""), file(VENV, "home = /usr/bin\ninclude-system-site-packages = false\n")), "does not see it"),
        Case(
            WARNING, both(file(TORCH, ""), file(VENV, "include-system-site-packages = true\n")),
            "sglang-0.5.8-cu12 sees the system's packages",
        ),
        Case(OK, file("/usr/lib/python3/dist-packages/apt/__init__.py", ""), ""),
        Case(NEEDLESS, nothing, "no rank", router_world),
    ],
    "library-path": [
        Case(ERROR, both(rank(environment={"LD_LIBRARY_PATH": "/opt/n"}), file("/opt/n/libnccl.so.2", "")), "whose NCCL is loaded instead"),
        Case(
            WARNING, both(answer(MANAGER, 0, "LD_LIBRARY_PATH=/opt/hpcx/ucx/lib\n"), file("/opt/hpcx/ucx/lib/libucp.so.0", "")),
            "whose UCX is loaded",
        ),
        Case(
            ERROR, both(answer(MANAGER, 0, "LD_LIBRARY_PATH=/opt/hpcx/ucx/lib\n"), file("/opt/hpcx/ucx/lib/libucp.so.0", ""),
                        rank(arguments={"disaggregation-transfer-backend": "nixl"})), "whose UCX is loaded",
        ),
        Case(
            ERROR, both(answer(MANAGER, 0, "LD_LIBRARY_PATH=/opt/hpcx/ucx/lib\n"), file("/opt/hpcx/ucx/lib/libucp.so.0", "")),
            "whose UCX is loaded", functools.partial(new_world, backend="nixl"),
        ),
        Case(
            OK,
            both(
                rank(environment={"LD_LIBRARY_PATH": "/opt/sglang/sglang-0.5.8-cu12/lib"}),
                file("/opt/sglang/sglang-0.5.8-cu12/lib/libnccl.so.2", ""),
            ),
            "",
        ),
        Case(OK, rank(environment={"LD_LIBRARY_PATH": "/opt/none:relative:"}), ""),
        Case(NEEDLESS, rank(environment={"LD_LIBRARY_PATH": "/opt/n"}), "neither", cpu_world),
    ],
    "preload": [
        Case(WARNING, file("/etc/ld.so.preload", "/opt/nsight/libstdc++.so.6"), "/etc/ld.so.preload loads /opt/nsight/libstdc++.so.6"),
        Case(WARNING, answer(MANAGER, 0, "LD_PRELOAD=/x.so\n"), "service manager's environment loads /x.so"),
        Case(OK, rank(environment={"LD_PRELOAD": "/x.so"}), ""),
        Case(NEEDLESS, nothing, "no rank", router_world),
    ],
    "system-libraries": [
        Case(NOTE, file("/etc/ld.so.cache", b"cache\0/opt/mellanox/ucx/lib/libucp.so.0\0"), "/opt/mellanox/ucx/lib/libucp.so.0"),
        Case(NOTE, file("/etc/ld.so.conf.d/hpcx.conf", "/opt/hpcx"), "hpcx.conf"),
        Case(UNKNOWN, gone("/etc/ld.so.cache"), "cannot be read"),
        Case(NEEDLESS, nothing, "neither", cpu_world),
    ],
    "nccl-file": [
        Case(
            WARNING, file("/etc/nccl.conf", "# old\nNCCL_IB_DISABLE=1\nNCCL_IB_HCA==mlx5_0\n"),
            "/etc/nccl.conf sets NCCL_IB_DISABLE, which",
        ),
        Case(WARNING, file("/var/lib/sglang/.nccl.conf", "NCCL_DEBUG=INFO\n"), "NCCL_DEBUG"),
        Case(OK, file("/etc/nccl.conf", "NCCL_IB_HCA==mlx5_0\n"), ""),
        Case(NEEDLESS, nothing, "no GPU rank", cpu_world),
    ],
}
