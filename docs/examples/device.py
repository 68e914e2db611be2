"""Signed messages in Python: the protocol of ../device-protocol.md with the standard library; paho-mqtt only to connect.

    python3 device.py sign <secret hex> <topic> <ts> <nonce> '<body json>'        prints the signature
    python3 device.py sign-challenge <secret hex> <topic> <challenge> <nonce> '<body json>'   as well, in the challenge form
    python3 device.py run <host> <port> <device id> <client secret> <secret hex>  says ONLINE, answers commands
"""
import hashlib
import hmac
import json
import math
import secrets
import sys
import time


def number(value):
    """A number as ECMAScript writes it (RFC 8785, section 3.2.2.3)."""
    if isinstance(value, int):
        value = float(value)
    if not math.isfinite(value):
        raise ValueError("no number of JSON")
    if value == 0:
        return "0"
    sign, value = ("-", -value) if value < 0 else ("", value)
    digits, _, exponent = repr(value).partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return "%s%se%+d" % (sign, mantissa, point - 1)


def canonical(value):
    """RFC 8785."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"


def sign(secret, topic, fresh, nonce, body, tag="v1"):
    """`fresh` is the time in milliseconds; with the tag `v1c` a challenge."""
    text = "\n".join([tag, topic, str(fresh), nonce, canonical(body)])
    return hmac.new(bytes.fromhex(secret), text.encode("utf-8"), hashlib.sha256).hexdigest()


def message(secret, topic, body):
    ts, nonce = int(time.time() * 1000), secrets.token_urlsafe(16)
    return json.dumps({"ts": ts, "nonce": nonce, **body, "sig": sign(secret, topic, ts, nonce, body)})


def challenge_message(secret, topic, challenge, body):
    """Of a device without a clock: signs a challenge, once, in place of the time."""
    nonce = secrets.token_urlsafe(16)
    return json.dumps({"challenge": challenge, "nonce": nonce, **body, "sig": sign(secret, topic, challenge, nonce, body, "v1c")})


def verify(secret, topic, payload):
    """The body, or None if it is not to be believed. Remember each nonce for six minutes, and each cmdId."""
    given = json.loads(payload)
    ts, nonce, sig = given.pop("ts"), given.pop("nonce"), given.pop("sig")
    now = time.time() * 1000
    fresh = isinstance(ts, int) and now - 300_000 <= ts <= now + 60_000
    return given if fresh and hmac.compare_digest(sig, sign(secret, topic, ts, nonce, given)) else None


def run(host, port, device, password, secret):
    import paho.mqtt.client as mqtt

    # paho-mqtt 2 wants to be told which callbacks it is given; 1.6, as in Debian 12, does not know of it.
    version = getattr(mqtt, "CallbackAPIVersion", None)
    client = mqtt.Client(version.VERSION2, client_id=device) if version else mqtt.Client(client_id=device)
    client.username_pw_set(device, password)
    root, done = "devices/" + device, set()

    def say(channel, body):
        topic = root + "/" + channel
        client.publish(topic, message(secret, topic, body), qos=1)

    def connected(*_):
        client.subscribe(root + "/commands", qos=1)
        say("status", {"status": "ONLINE"})

    def heard(_client, _userdata, packet):
        command = verify(secret, packet.topic, packet.payload)
        if command is None:
            return
        if command["cmdId"] not in done:
            done.add(command["cmdId"])
            print(command["type"], command["payload"])
        say("ack", {"cmdId": command["cmdId"], "status": "ACKED"})

    client.on_connect, client.on_message = connected, heard
    client.connect(host, int(port))
    client.loop_forever()


if __name__ == "__main__":
    verb, words = (sys.argv + ["", ""])[1], sys.argv[2:]
    if verb == "sign":
        print(sign(words[0], words[1], words[2], words[3], json.loads(words[4])))
    elif verb == "sign-challenge":
        print(sign(words[0], words[1], words[2], words[3], json.loads(words[4]), "v1c"))
    elif verb == "run":
        run(*words)
    else:
        sys.exit(__doc__)
