# SPDX-License-Identifier: Apache-2.0
"""Tries what a module without capabilities must not be able to do."""

import errno
import os
import socket
import sys

from everest_kit import Module

HOMEPLUG_AV = 0x88E1  # the ethertype of SLAC

module = Module()


def open_raw_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(HOMEPLUG_AV)).close()


def become_root():
    os.setresuid(0, 0, 0)


def read_passwords():
    with open("/etc/shadow", encoding="utf-8"):
        pass


@module.ready
def attack():
    for name, attempt in (("raw packet socket", open_raw_socket), ("becoming root", become_root),
                          ("reading /etc/shadow", read_passwords)):
        try:
            attempt()
        except OSError as error:
            expected = error.errno in (errno.EPERM, errno.EACCES)
            module.log(f"{name}: {'refused' if expected else 'failed'} ({errno.errorcode[error.errno]})"
                       f"{', as it should be' if expected else ''}")
        else:
            module.log(f"{name}: ALLOWED; this must not happen")
            sys.exit(1)


module.run()
