# SPDX-License-Identifier: Apache-2.0
"""The smallest library with which a Python program is a module of EVerest.

    from everest_kit import Module

    module = Module()

    @module.command("main", "switch")
    def switch(on):
        module.publish("main", "lit", on)

    module.run()

Everything happens in one thread: no handler runs while another does, and nothing needs a lock. Whatever arrives during
call() waits until its caller has returned; so two modules must not call each other from their handlers.
"""

import collections
import datetime
import json
import os
import sys
import time
import uuid

from .broker import BrokerLost, Connection

__all__ = ["BrokerLost", "CommandError", "Module"]

LOOK_UP_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 300
LONGEST_WAIT_S = 1.0


class CommandError(Exception):
    """The other module's handler failed or did not answer, or we are stopping."""


class Module:
    """One module's place in the charger. The constructor returns when the manager has sent the configuration and
    everything that a module reads before it begins."""

    def __init__(self, environment=os.environ):
        self.id = environment["EV_MODULE"]
        self._prefix = environment.get("EV_MQTT_EVEREST_PREFIX", "everest/")
        self._configuration_responses = {}  # by topic
        self._results = {}  # by the id of the call
        self._inbox = collections.deque()  # variables and commands that wait for their handler
        self._command_handlers, self._variable_handlers = {}, {}  # by topic
        self._ready_actions, self._shutdown_actions, self._timers = [], [], []
        self._ready = self._stopping = False
        self._broker = Connection(environment)
        self._request_configuration()
        self._read_metadata()
        self._broker.subscribe(self._prefix + "ready", self._prefix + "shutdown", *self._result_topics())

    # ---- What the manager gives us ----

    def _request_configuration(self):
        topic = self._topic(self.id, "response")
        self._broker.subscribe(topic)
        for _ in range(2):
            self._send(self._prefix + "config/request", "ConfigurationRequest",
                       {"type": "Get", "origin": self.id, "request": {"type": "Module"}})
            if self._await(lambda: topic in self._configuration_responses, LOOK_UP_TIMEOUT_S):
                break
        response = self._configuration_responses.pop(topic, {"status": "no answer"})
        if response["status"] != "Ok":
            raise RuntimeError(f"the manager refused the configuration: {response}")
        config = response["response"]["data"]["module_config"]
        self.name = config["module_name"]
        parameters = {implementation: {parameter["name"]: parameter["value"] for parameter in values}
                      for implementation, values in config["configuration_parameters"].items()}
        #: The parameters of the module, and of each of its implementations, as the manifest declares them.
        self.config = parameters.pop("!module", {})
        self.implementation_config = parameters
        self._connections = {
            requirement: [(connection["module_id"], connection["implementation_id"]) for connection in connections]
            for requirement, connections in config["connections"].items()}

    def _read_metadata(self):
        """In the order of a module of EVerest, one after the other: that is what the manager keeps retained until all
        are ready."""
        self._interfaces = {name: self._look_up(f"interface_definitions/{name}") for name in self._look_up("interfaces")}
        for path in self._look_up("types"):
            self._look_up("type_definitions" + path)
        if self._look_up("settings")["validate_schema"]:
            self._look_up("schemas")
        self._module_names = self._look_up("module_names")
        self._manifests = {name: self._look_up(f"manifests/{name}") for name in self._module_names.values()}

    def _look_up(self, topic):
        whole = self._prefix + topic
        for _ in range(2):
            self._broker.subscribe(whole)
            found = self._await(lambda: whole in self._configuration_responses, LOOK_UP_TIMEOUT_S)
            self._broker.unsubscribe(whole)
            if found:
                return self._configuration_responses.pop(whole)
        raise RuntimeError(f"nothing is retained at {whole}")

    def _result_topics(self):
        """Where the answers to all that we may call arrive."""
        for connections in self._connections.values():
            for module_id, implementation in connections:
                provides = self._manifests[self._module_names[module_id]]["provides"]
                for command in self._interfaces[provides[implementation]["interface"]]["cmds"]:
                    yield self._topic(module_id, f"impl/{implementation}/cmd/{command}/response/{self.id}")

    # ---- What a module says ----

    def command(self, implementation, name):
        """Decorates the handler of a command; it gets the arguments by name, and what it returns is the result."""
        topic = self._implementation_topic(implementation, "cmds", name, f"cmd/{name}")
        return lambda handler: self._handle(self._command_handlers, topic, handler)

    def variable(self, requirement, name):
        """Decorates the handler of another module's variable; it gets the value."""
        topics = [self._topic(module_id, f"impl/{implementation}/var/{name}")
                  for module_id, implementation in self._connections_of(requirement)]

        def register(handler):
            for topic in topics:
                self._handle(self._variable_handlers, topic, handler)
            return handler

        return register

    def ready(self, action):
        """Decorates what is done when all modules are there: the time to call them has come."""
        self._ready_actions.append(action)
        return action

    def shutdown(self, action):
        """Decorates what is done when the charger stops."""
        self._shutdown_actions.append(action)
        return action

    def every(self, seconds):
        """Decorates what is done again and again, from the global ready on."""
        def register(action):
            self._timers.append({"interval": seconds, "action": action, "due": time.monotonic() + seconds})
            return action

        return register

    def publish(self, implementation, variable, value):
        self._send(self._implementation_topic(implementation, "vars", variable, f"var/{variable}"), "Var",
                   {"data": value})

    def call(self, requirement, command, **arguments):
        """The result of a command of the (first) module that is connected to `requirement`; CommandError if there is
        none within EVerest's 300 s."""
        what = f"{requirement}.{command}"
        connections = self._connections_of(requirement)
        if not connections:
            raise CommandError(f"{what}: nothing is connected to it")
        (module_id, implementation), call_id = connections[0], str(uuid.uuid4())
        self._send(self._topic(module_id, f"impl/{implementation}/cmd/{command}"), "Cmd",
                   {"id": call_id, "args": arguments, "origin": self.id})
        if not self._await(lambda: self._stopping or call_id in self._results, COMMAND_TIMEOUT_S):
            raise CommandError(f"{what}: no answer from {module_id}")
        if call_id not in self._results:
            raise CommandError(f"{what}: we are shutting down")
        result = self._results.pop(call_id)
        if "error" in result:
            raise CommandError(f"{what}: {result['error'].get('__everest__error_msg', 'failed')}")
        return result.get("retval")

    def raise_error(self, implementation, error_type, message):
        """`error_type` as in "generic/CommunicationFault", one of those the implementation's interface refers to."""
        topic = self._implementation_topic(implementation, "errors", error_type.split("/")[0], f"error/{error_type}")
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._send(topic, "RaiseError", {
            "type": error_type, "sub_type": "", "message": message, "description": message, "severity": "High",
            "origin": {"module_id": self.id, "implementation_id": implementation}, "state": "Active",
            "timestamp": now, "uuid": str(uuid.uuid4()), "vendor_id": "EVerest"})

    @staticmethod
    def log(text):
        """One line of the log; the manager writes our id in front."""
        print(text, file=sys.stderr, flush=True)

    # ---- The loop ----

    def run(self):
        """Tells the manager that we are ready, handles what comes, and ends the program: with 0 when we are asked to
        shut down, with 1 when the broker is lost, as every module of EVerest."""
        try:
            self._run()
        except BrokerLost as lost:
            sys.exit(str(lost))

    def _run(self):
        provides = self._manifests[self.name]["provides"]
        self._send(self._topic(self.id, "metadata"), "ConfigurationResponse", {
            "module": self.name, "provides": {key: {"interface": one["interface"]} for key, one in provides.items()}})
        self._send(self._topic(self.id, "ready"), "ModuleReady", True)
        while not self._ready and not self._stopping:
            self._pump(LONGEST_WAIT_S)
        if self._ready:
            for action in self._ready_actions:
                action()
        while not self._stopping:
            self._pump(0 if self._inbox else self._until_next_timer())
            if self._inbox:
                self._dispatch(*self._inbox.popleft())
            self._run_timers()
        for action in self._shutdown_actions:
            action()
        self._broker.disconnect()

    def _await(self, condition, limit_s):
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            self._pump(LONGEST_WAIT_S)
        return condition()

    def _pump(self, longest_s):
        """One round of the network; then everything that came is where it is waited for."""
        for topic, payload in self._broker.receive(longest_s):
            try:
                self._sort(topic, payload)
            except (ValueError, KeyError, TypeError) as error:
                self.log(f"ignored a message on {topic}: {error!r}")

    def _sort(self, topic, payload):
        if topic == self._prefix + "shutdown":
            self._stopping = True
            return
        message = json.loads(payload)
        kind, data = message["msg_type"], message["data"]
        if kind == "ConfigurationResponse":
            self._configuration_responses[topic] = data
        elif kind == "GlobalReady":
            self._ready = self._ready or data is True
        elif kind == "CmdResult":
            self._results[data["data"]["id"]] = data["data"]
        elif kind in ("Var", "Cmd"):
            self._inbox.append((topic, data))

    def _dispatch(self, topic, data):
        if topic in self._variable_handlers:
            self._variable_handlers[topic](data["data"])
        elif topic in self._command_handlers:
            self._answer(topic, data, self._command_handlers[topic])

    def _answer(self, topic, command, handler):
        result = {"id": command["id"], "origin": self.id}
        try:
            result["retval"] = handler(**command["args"])
        except Exception as error:  # pylint: disable=broad-except
            result["error"] = {"__everest__error_type": "HandlerException", "__everest__error_msg": str(error)}
        self._send(f"{topic}/response/{command['origin']}", "CmdResult", {"type": "result", "data": result})

    def _until_next_timer(self):
        due = min((timer["due"] for timer in self._timers), default=float("inf"))
        return min(max(due - time.monotonic(), 0), LONGEST_WAIT_S)

    def _run_timers(self):
        for timer in self._timers:
            if time.monotonic() >= timer["due"]:
                timer["action"]()
                timer["due"] = time.monotonic() + timer["interval"]

    # ---- Topics ----

    def _handle(self, handlers, topic, handler):
        handlers[topic] = handler
        self._broker.subscribe(topic)
        return handler

    def _send(self, topic, kind, data):
        self._broker.publish(topic, json.dumps({"msg_type": kind, "data": data}))

    def _connections_of(self, requirement):
        if requirement not in self._manifests[self.name]["requires"]:
            raise LookupError(f"our manifest requires no `{requirement}`")
        return self._connections.get(requirement, [])

    def _implementation_topic(self, implementation, group, name, rest):
        """Checks that the interface of `implementation` declares `name` in its `group`."""
        provides = self._manifests[self.name]["provides"]
        if implementation not in provides:
            raise LookupError(f"our manifest provides no `{implementation}`")
        interface = provides[implementation]["interface"]
        if name not in self._interfaces[interface][group]:
            raise LookupError(f"the interface `{interface}` has no `{name}` among its {group}")
        return self._topic(self.id, f"impl/{implementation}/{rest}")

    def _topic(self, module_id, rest):
        return f"{self._prefix}modules/{module_id}/{rest}"
