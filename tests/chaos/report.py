# SPDX-License-Identifier: Apache-2.0
"""The figures, 80 columns wide, when all is done."""

import chaos_case

rows = []


def add(what, done, seconds, found):
    rows.append((what, done, seconds, found))


def show():
    if not rows:
        return
    form = "full" if chaos_case.FULL else "short"
    print(f"\nchaos, {form} form, BELAY_CHAOS_SEED={chaos_case.SEED}\n")
    print(f"{'WHAT':32}{'DONE':>6}{'SECONDS':>8}  FOUND")
    for what, done, seconds, found in rows:
        print(f"{what:32}{done:>6}{seconds:>8.1f}  {found}")
    print("\nLeft would be processes, zombies, mounts, sockets, keyrings, control groups,\n"
          "files, retained topics, and descriptors of the broker. PSS: growth after a fifth.")
