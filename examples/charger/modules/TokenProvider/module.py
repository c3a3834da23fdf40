# SPDX-License-Identifier: Apache-2.0
"""A driver who plugs in and then presents a card."""

import time

from everest_kit import Module

module = Module()
plug = {"state": "A", "in_since": None}


@module.variable("board", "state")
def on_state(state):
    if state == "B" and plug["state"] == "A":
        plug["in_since"] = time.monotonic()
    plug["state"] = state


@module.every(0.1)
def present_card():
    if plug["in_since"] is None or time.monotonic() - plug["in_since"] < module.config["delay_s"]:
        return
    plug["in_since"] = None
    module.log(f"card {module.config['token']} presented")
    module.publish("main", "token", module.config["token"])


module.run()
