"""The owner of a sandbox, in a process and under a user of its own: told on standard input what to do, a line of JSON each.

Run as `python driver.py SETTINGS DESCRIPTORS` (JSON; 0 leaves the limit of open files alone). First says {"described": [...],
"optional": {...}} or {"refused": why}.
"""

import json
import resource
import sys

from scdpo.errors import SandboxError
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings


def say(message):
    print(json.dumps(message), flush=True)


def main(settings, descriptors):
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    sandbox = Sandbox(SandboxSettings(**settings))
    try:
        isolation = sandbox.start()
    except SandboxError as error:
        return say({"refused": str(error)})
    say({"described": isolation.described(), "optional": isolation.optional})
    for line in sys.stdin:
        name, *words = json.loads(line)
        if name == "poll":
            say([(ticket, output.text, output.status) for ticket, output in sandbox.poll(*words)])
        else:
            say(getattr(sandbox, name)(*words))
    return sandbox.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
