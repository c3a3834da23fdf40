# SPDX-License-Identifier: Apache-2.0
"""The table of what runs."""

import textwrap
from dataclasses import dataclass

from privileges import Privileges
from progress import WIDTH

HEADER = ("ID", "MODULE", "PID", "USER", "GROUPS", "CAPABILITIES", "NNP", "SECCOMP", "READY")
RIGHT_ALIGNED = {"PID", "READY"}


@dataclass
class Row:
    id: str
    module: str
    privileges: Privileges
    ready_ms: float = None  # from its fork


def some(names, most=1):
    """The first names, and how many there are beside them."""
    return ",".join(names[:most]) + (f" +{len(names) - most}" if len(names) > most else "") if names else "-"


def cells(row):
    privileges = row.privileges
    return (row.id, row.module, str(privileges.pid), privileges.user, some(privileges.groups),
            some(privileges.capabilities) if privileges.exact or not privileges.capabilities else
            f"{len(privileges.capabilities)}, below",
            "yes" if privileges.no_new_privs else "no", privileges.seccomp,
            "-" if row.ready_ms is None else f"{row.ready_ms:.0f} ms")


def paragraph(text):
    return textwrap.wrap(text, WIDTH)


def format_table(rows, paint):
    """Lines of at most 80 columns, as long as names are of a usual length."""
    table = [HEADER] + [cells(row) for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADER))]

    def text_of(line):
        return " ".join(cell.rjust(width) if title in RIGHT_ALIGNED else cell.ljust(width)
                        for cell, width, title in zip(line, widths, HEADER)).rstrip()

    yield paint(text_of(HEADER), "1")
    for row, line in zip(rows, table[1:]):
        yield paint(text_of(line), "33") if row.privileges.capabilities else text_of(line)


def legend(launcher):
    yield from paragraph("CAPABILITIES: the effective ones; the permitted, inheritable, bounding and ambient set were "
                         "read, too, and are the same. NNP: no_new_privs. READY: from fork to ready.")
    yield from paragraph(f"The launcher keeps {', '.join(launcher.capabilities)}: it starts the others, and neither "
                         "reads YAML nor hears the network.")


def legend_without_root():
    yield from paragraph("CAPABILITIES: the effective ones; nobody has any. NNP: no_new_privs. READY: from fork to ready.")
    yield from paragraph("Without root no module becomes another user, and slac has no raw packet socket; what confines a "
                         "module (Landlock, seccomp) does so here, too.")
