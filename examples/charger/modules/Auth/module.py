# SPDX-License-Identifier: Apache-2.0
"""Decides who may charge. Where there is a backend, it is asked."""

from everest_kit import Module

module = Module()
accepted = {token.strip() for token in module.config["accepted_tokens"].split(",")}


@module.variable("readers", "token")
def on_token(token):
    if token not in accepted:
        module.log(f"{token}: unknown, may not charge")
    elif module.call("evse", "authorise", token=token):
        module.log(f"{token}: may charge")
    else:
        module.log(f"{token}: known, but no vehicle waits for it")


module.run()
