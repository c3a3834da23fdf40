# SPDX-License-Identifier: Apache-2.0
"""What the attempts came to: one row each, and what is known not to be prevented."""

import sys
import textwrap

# What gets through today, and why that is so. One that is refused makes the test fail as well: its line is to go.
OWN_CODE = ("code in control of a module needs no file to run, and gains nothing by one; Landlock sees neither a memfd "
            "nor what ld.so maps")
SCHEDULING = "the kernel lets one user do this to its own processes; a user of its own for the module ends it"
NUMBERS = "the kernel shows the numbers of a process's descriptors to its user; to follow one is refused"
BUS = "EVerest's bus does not say who speaks; an access list of the broker, with a login for each module, would"
CONCEDED = {
    "execution: a program of ours by ld.so": OWN_CODE,
    "execution: a program of ours in a memfd": OWN_CODE,
    "scheduling: sched_setscheduler of neighbours": SCHEDULING,
    "scheduling: setpriority of neighbours": SCHEDULING,
    "scheduling: ioprio_set of neighbours": SCHEDULING,
    "scheduling: sched_setaffinity of neighbours": SCHEDULING,
    "scheduling: any of these of the manager": SCHEDULING,
    "/proc: oom_score_adj, neighbours": SCHEDULING,
    "/proc: coredump_filter, …, neighbours": SCHEDULING,
    "/proc: fd: list, neighbours": NUMBERS,
    "inheritance: truncate the log": "whoever starts the manager by hand gives the modules the file of the log as "
                                     "their standard error; under systemd it is the journal's socket",
    "resources: System V memory": "it counts against no process; a cgroup or an IPC namespace would bound it",
    "survivors: System V memory": "the kernel keeps it until somebody removes it; an IPC namespace would end it",
    "bus: read in another's name": BUS,
    "bus only: ready of a module that is not": BUS,
    "bus only: shutdown": BUS,
}

# Granted to a module with CAP_NET_RAW: there they must succeed.
OF_NET_RAW = {"network: packet socket", "network: raw IP socket", "network: SO_PRIORITY 7"}

# Attempts without a success of their own where nothing protects, and why.
NO_CONTROL = {
    "read in nobody's name": "nobody has no configuration",
    "set a parameter of another": "this version changes no parameter at run time",
    "set in another's name": "this version changes no parameter at run time",
    "/proc/sysrq-trigger": "not every kernel has it",
    "kexec_load": "not every kernel has it",
    "init_module": "not every kernel has it",
    "delete_module": "not every kernel has it",
    "iopl": "not every kernel has it",
    "/dev/mem, /proc/kcore": "not every kernel has it",
    "its own binary, by /proc": "a program that runs cannot be written by anybody",
    "netlink: audit": "not every kernel has it",
    "/etc/ld.so.preload": "it would be in every program of the machine",
    "truncate the log": "conceded, so it does succeed",
}

WIDTHS = (13, 36, 11, 9)
tables = []


class Row:
    def __init__(self, group, attempt, outcome, errno="", note="", control="-"):
        self.key = f"{group}: {attempt}"
        self.group, self.attempt, self.outcome, self.errno, self.note = group, attempt, outcome, errno, note
        self.control = control

    def __str__(self):
        cells = (self.group, self.attempt, self.outcome, self.errno)
        return "".join(f"{cell[:width - 1]:{width}}" for cell, width in zip(cells, WIDTHS)) + self.control


class Table:
    def __init__(self, title):
        self.title = title
        self.rows = []
        tables.append(self)

    def add(self, row, granted=()):
        """`row` as it is reported; what is conceded or granted is called so."""
        if row.outcome == "escaped" and row.key in granted:
            row.outcome = "granted"
        elif row.outcome == "escaped":
            row.outcome = "conceded" if row.key in CONCEDED else "ESCAPED"
        elif row.outcome not in ("refused", "no effect"):
            row.outcome = "UNJUDGED"
        elif row.key in granted:
            row.outcome, row.note = "UNJUDGED", "granted, but it does not work"
        elif row.key in CONCEDED:
            row.outcome, row.note = "UNJUDGED", "not conceded any more: remove its line from CONCEDED"
        self.rows.append(row)
        return row

    def problems(self):
        return [f"{row.key}: {row.outcome} {row.errno}: {row.note}" for row in self.rows
                if row.outcome in ("ESCAPED", "UNJUDGED")]

    def count(self, outcome):
        return sum(row.outcome == outcome for row in self.rows)

    def unproven(self):
        """An attempt that succeeds nowhere proves nothing."""
        return [row.key for row in self.rows
                if row.control == "-" and row.attempt not in NO_CONTROL and row.outcome != "conceded"]

    def print(self):
        header = "".join(f"{name:{width}}" for name, width in zip(("GROUP", "ATTEMPT", "OUTCOME", "ERRNO"), WIDTHS))
        lines = ["", self.title, "", header + "CONTROL", *map(str, self.rows), ""]
        reasons = {}
        for row in self.rows:
            if row.outcome == "conceded":
                reasons.setdefault(CONCEDED[row.key], []).append(row.key)
        for reason, keys in reasons.items():
            lines += textwrap.wrap(f"conceded: {reason}:", 79, subsequent_indent="    ")
            lines += [f"    {key}" for key in keys]
        lines += ["", f"granted {self.count('granted')}, conceded {self.count('conceded')}, "
                      f"not judged {self.count('UNJUDGED')}",
                  f"escapes {self.count('ESCAPED')} / attempts {len(self.rows)}"]
        print("\n".join(lines), file=sys.stderr)


def print_total():
    """Of all tables, at the end."""
    print(f"\nAll {len(tables)} tables: conceded {sum(table.count('conceded') for table in tables)}\n"
          f"escapes {sum(table.count('ESCAPED') for table in tables)} / "
          f"attempts {sum(len(table.rows) for table in tables)}", file=sys.stderr)
