# SPDX-License-Identifier: Apache-2.0
"""A blocking MQTT 5 connection over a Unix socket or TCP, with whichever paho there is."""

import collections
import select
import socket
import sys

try:
    import paho.mqtt.client as paho
except ModuleNotFoundError:  # another Python than Debian's is first in PATH; Debian's package works there, too
    sys.path.append("/usr/lib/python3/dist-packages")
    import paho.mqtt.client as paho

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5
EXACTLY_ONCE = 2  # MQTT's quality of service


class BrokerLost(Exception):
    """The connection ended. A module of EVerest then ends, too."""


class _UnixClient(paho.Client):
    """paho 1 knows only TCP; what it does with the socket is the same."""

    def _create_socket_connection(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(self._host)
        return connection


def _make_client(unix):
    if hasattr(paho, "CallbackAPIVersion"):  # paho 2
        return paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5,
                           transport="unix" if unix else "tcp")
    return (_UnixClient if unix else paho.Client)(protocol=paho.MQTTv5)


class Connection:
    """Connected when constructed. `environment`: where the manager tells a script module of the broker."""

    def __init__(self, environment):
        self._received = collections.deque()
        path = environment.get("EV_MQTT_BROKER_SOCKET_PATH")
        address = path or environment["EV_MQTT_BROKER_HOST"]
        self._client = _make_client(unix=bool(path))
        self._client.on_message = lambda client, userdata, message: self._received.append(
            (message.topic, message.payload))
        connected = []
        self._client.on_connect = lambda client, userdata, flags, reason, *more: connected.append(reason)
        try:
            if path:
                self._client.connect(path, keepalive=KEEPALIVE_S)
            else:
                self._client.connect(address, int(environment["EV_MQTT_BROKER_PORT"]), KEEPALIVE_S)
        except OSError as error:
            raise BrokerLost(f"could not connect to the MQTT broker at {address}: {error}") from error
        while not connected:
            self._loop(CONNECT_TIMEOUT_S)
        if connected[0] != 0:
            raise BrokerLost(f"the MQTT broker at {address} refused us: {connected[0]}")

    def subscribe(self, *topics):
        for topic in topics:
            self._client.subscribe(topic, EXACTLY_ONCE)

    def unsubscribe(self, topic):
        self._client.unsubscribe(topic)

    def publish(self, topic, payload):
        self._client.publish(topic, payload, EXACTLY_ONCE)

    def receive(self, longest_s):
        """What came, as (topic, payload), after one round of the network of at most `longest_s`."""
        self._loop(longest_s)
        while self._received:
            yield self._received.popleft()

    def disconnect(self):
        self._client.disconnect()

    def _loop(self, longest_s):
        """paho's own loop() would open a TCP port on the loopback, which a sandbox forbids."""
        connection = self._client.socket()
        result = paho.MQTT_ERR_NO_CONN
        if connection is not None:
            writers = [connection] if self._client.want_write() else []
            readable, writable, _ = select.select([connection], writers, [], longest_s)
            result = self._client.loop_read() if readable else paho.MQTT_ERR_SUCCESS
            if result == paho.MQTT_ERR_SUCCESS and writable:
                result = self._client.loop_write()
        if result == paho.MQTT_ERR_SUCCESS:
            result = self._client.loop_misc()
        if result != paho.MQTT_ERR_SUCCESS:
            raise BrokerLost(f"the connection to the broker is lost: {paho.error_string(result)}")
