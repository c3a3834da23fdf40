# SPDX-License-Identifier: Apache-2.0
"""The broker as it is met in the field: late, absent, closed to the modules' user, shared, and full of old topics."""

import json
import os
import pwd
import signal
import socket

import harness
from harness import START, STOP, Prefix, group_name
from mqtt import Broker, free_port
from observer import envelope

GIVEN_UP = ["MANAGER_INITIALIZING", "MANAGER_EXITING"]


class BrokerCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")

    def configure(self, broker, modules=None, **more):
        return self.prefix.configure(modules or {"one": "Thing", "two": "Thing"}, run_as_user="everest",
                                     **{**broker.settings, **more})

    def impatient(self):
        self.prefix.write("etc/everest/belay.yaml", "broker: {connect_timeout: 1}\n")


class Absent(BrokerCase):
    def comes_late(self, broker):
        manager = self.start(self.prefix, self.configure(broker))
        manager.wait_for_log("waiting for the MQTT broker")
        self.assertEqual(manager.status(), ["MANAGER_INITIALIZING"])
        self.assertEqual(manager.module_pids(), {})
        broker.start()
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(manager.status(), START + STOP)
        self.assert_nothing_left(manager, broker)

    def test_socket_comes_late(self):
        self.comes_late(Broker(self, start=False))

    def test_port_comes_late(self):
        self.comes_late(Broker(self, tcp=True, start=False))

    def test_socket_never_comes(self):
        broker = Broker(self, start=False)
        self.impatient()
        manager = self.start(self.prefix, self.configure(broker))
        self.assert_refused(manager, broker.socket, "No such file or directory", "1 s")
        self.assertEqual(manager.status(), GIVEN_UP)

    def test_accepts_and_is_silent(self):
        """It says that we are connected, and then nothing."""
        path = self.scratch / "silent.sock"
        self.impatient()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o777)
            listener.listen()
            config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", mqtt_broker_socket_path=str(path))
            manager = self.start(self.prefix, config)
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.send(bytes([0x20, 3, 0, 0, 0]))  # CONNACK of MQTT 5: success, no properties
                self.assert_refused(manager, path, "no answer", "1 s")
        self.assertEqual(manager.status(), GIVEN_UP)

    def test_left_over_socket(self):
        """The file is there, nobody listens."""
        broker = Broker(self)
        broker.kill()
        self.assertTrue(broker.socket.exists())
        self.impatient()
        manager = self.start(self.prefix, self.configure(broker))
        self.assert_refused(manager, broker.socket, "Connection refused")

    def test_nobody_at_the_port(self):
        port = free_port()
        self.impatient()
        config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", mqtt_broker_host="127.0.0.1",
                                       mqtt_broker_port=port)
        manager = self.start(self.prefix, config)
        self.assert_refused(manager, f"127.0.0.1, TCP port {port}", "Connection refused")
        self.assertEqual(manager.status(), GIVEN_UP)

    def test_something_else_at_the_port(self):
        """It accepts and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.impatient()
            config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", mqtt_broker_host="127.0.0.1",
                                           mqtt_broker_port=server.getsockname()[1])
            manager = self.start(self.prefix, config)
            self.assert_refused(manager, "no answer")

    def test_name_that_does_not_resolve(self):
        self.impatient()
        config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", mqtt_broker_host="no-such-host.invalid")
        manager = self.start(self.prefix, config)
        self.assert_refused(manager, "no-such-host.invalid", "the name cannot be resolved")


class Denied(BrokerCase):
    """A Mosquitto as delivered: the socket is for its own user and group."""

    def refuse(self, broker, *texts):
        manager = self.start(self.prefix, self.configure(broker))
        self.assert_refused(manager, broker.socket, *texts)
        self.assertEqual(manager.status(), GIVEN_UP)
        # Waiting would not help, so it does not wait the 30 s.
        self.assertNotIn("waiting for", manager.log)
        return manager

    def test_closed_to_the_group(self):
        user = pwd.getpwnam("mosquitto")
        group = group_name(user.pw_gid)
        broker = Broker(self, group=user.pw_gid)
        broker.socket.chmod(0o755)  # as builds of Mosquitto make it that leave the mode to the unit's UMask=
        self.refuse(broker, "has mode 0755 srwxr-xr-x", f"belongs to mosquitto:{group}", "the user everest",
                    "UMask=0007", f"usermod -aG {group} everest")

    def test_not_in_the_group(self):
        user = pwd.getpwnam("mosquitto")
        group = group_name(user.pw_gid)
        broker = Broker(self, group=user.pw_gid)
        manager = self.refuse(broker, "has mode 0770", f"Add the user everest to the group {group}",
                              f"usermod -aG {group} everest")
        self.assertNotIn("UMask", manager.log)

    def test_closed_directory(self):
        broker = Broker(self)
        broker.directory.chmod(0o700)
        self.refuse(broker, f"the directory {broker.directory} has mode 0700 drwx------")


class Tcp(BrokerCase):
    def test_address(self):
        self.start_and_stop("127.0.0.1")

    def test_name_with_several_addresses(self):
        """Nobody listens at ::1, which `localhost` may name first."""
        self.start_and_stop("localhost")

    def start_and_stop(self, host):
        broker = Broker(self, tcp=True)
        observer = broker.observe()
        manager = self.start(self.prefix, self.configure(broker, mqtt_broker_host=host))
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(observer.report("one")["argv"][-4:],
                         ["--mqtt_broker_host", host, "--mqtt_broker_port", str(broker.port)])
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(manager.status(), START + STOP)
        self.assert_nothing_left(manager, broker)


class Retained(BrokerCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def test_topics_of_a_crashed_predecessor(self):
        """It died between publishing and clearing, and had more modules, interfaces and a longer list than we."""
        prefix = Prefix.small(self.scratch / "predecessor", ["Thing", "Old"])
        prefix.behave(one={"never_ready": True})
        config = prefix.configure({"one": "Thing", "old": "Old"}, run_as_user="everest", **self.broker.settings)
        predecessor = self.start(prefix, config)
        self.observer.wait("everest/modules/old/ready")
        os.kill(predecessor.manager_pid(), signal.SIGKILL)
        self.assertEqual(predecessor.wait(), 1, predecessor)
        others = {"everest/interface_definitions/gone": envelope("ConfigurationResponse", {}),
                  "everest/type_definitions/gone": "not even JSON"}
        foreign = {"everest/elsewhere": "1", "other/manifests/Old": "2", "everestmanifests/Old": "3"}
        for topic, payload in {**others, **foreign}.items():
            self.observer.publish(topic, payload, retain=True)
        self.observer.fence()
        left = self.broker.retained()
        self.assertIn("everest/manifests/Old", left)
        self.assertLessEqual(set(others), set(left))

        self.prefix.behave(two={"never_ready": True})
        manager = self.start(self.prefix, self.configure(self.broker))
        self.observer.report("two", "answered")
        while_starting = self.broker.retained()
        self.assertNotIn("everest/manifests/Old", while_starting)
        self.assertEqual(json.loads(while_starting["everest/module_names"])["data"], {"one": "Thing", "two": "Thing"})
        self.observer.publish("everest/modules/two/ready", envelope("ModuleReady", True))
        manager.wait_for("ALL_MODULES_STARTED")
        self.observer.report("one")
        self.assertEqual(self.broker.retained(), foreign)
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(self.broker.retained(), foreign)

    def test_retained_messages_are_not_obeyed(self):
        """A retained readiness or request is from an earlier time."""
        self.observer.publish("everest/modules/two/ready", envelope("ModuleReady", True), retain=True)
        self.observer.publish("everest/config/request", envelope("ConfigurationRequest", {
            "type": "Get", "origin": "two", "request": {"type": "All"}}), retain=True)
        self.prefix.behave(two={"never_ready": True})
        manager = self.start(self.prefix, self.configure(self.broker))
        self.observer.wait("everest/modules/one/ready")
        self.observer.report("two", "answered")
        self.assertEqual(self.observer.count("everest/modules/two/response"), 1)
        self.assertEqual(manager.status(), START[:2])
        self.assertEqual(manager.stop(), 0, manager)

    def test_retain_topics(self):
        manager = self.start(self.prefix, self.configure(self.broker), "--retain-topics")
        manager.wait_for("ALL_MODULES_STARTED")
        self.observer.report("one")
        kept = self.broker.retained()
        self.assertEqual(set(kept), {f"everest/{name}" for name in (
            "interfaces", "interface_definitions/thing", "types", "settings", "manifests/Thing", "module_names")})
        for payload in kept.values():
            self.assertEqual(json.loads(payload)["msg_type"], "ConfigurationResponse")
        self.assertEqual(manager.stop(), 0, manager)
        self.assert_nothing_left(manager, self.broker)


class Shared(BrokerCase):
    def test_two_managers(self):
        """Two chargers on one broker, each below a prefix of its own, do not hear each other."""
        broker = Broker(self)
        observer = broker.observe()
        config = self.configure(broker, {"one": "Thing"})
        other_prefix = Prefix.small(self.scratch / "other")
        other_config = other_prefix.configure({"one": "Thing"}, run_as_user="everest",
                                              mqtt_everest_prefix="second", **broker.settings)
        first = self.start(self.prefix, config, "--mqtt_everest_prefix", "first")
        second = self.start(other_prefix, other_config)
        first.wait_for("ALL_MODULES_STARTED")
        second.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(first.stop(), 0, first)
        self.assert_nothing_left(first, broker)
        for line in ("starting 1 module\n", "terminating 1 of 1 module\n"):
            self.assertIn(line, first.log)
        request = {"type": "Get", "origin": "one", "request": {"type": "AllMappings"}}
        self.assertEqual(observer.ask(request, "second/")["status"], "Ok")
        self.assertEqual(second.status(), START)
        self.assertEqual(second.stop(), 0, second)
        self.assertEqual([one["topic"] for one in observer.messages() if one["topic"].startswith("everest/")], [])
        self.assert_nothing_left(second, broker)


if __name__ == "__main__":
    harness.main()
