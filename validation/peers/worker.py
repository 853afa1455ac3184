"""Loop of a peer's process: one JSON request a line on standard input, one JSON answer a line on standard output.

Runs in the peer's own environment: only the standard library and numpy may be imported here.
Request: {"problem": path of an .npz, "result": path to write or null, "work": name}.
Answer: {"seconds": CPU seconds} or {"error": sentence}. Short work is repeated until 20 ms have passed, and averaged.
"""

import json
import sys
import time
import traceback

SHORTEST = 0.02  # seconds; as in validation/engines/timing.py


def peak_bytes():
    """Largest resident memory of this process; what the kernel reports to getrusage includes its parent's."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status has no VmHWM")


def serve(load, evaluate, info):
    """load(path) -> state; evaluate(state, work) -> arrays to keep; info: dict with name and version."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what the peer prints must not disturb the answers
    states = {}
    print(json.dumps(info), file=out, flush=True)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            path = request["problem"]
            if path not in states:
                states[path] = load(path)
            start, count, seconds = time.process_time(), 0, 0.0
            while seconds < SHORTEST:
                result = evaluate(states[path], request["work"])
                count, seconds = count + 1, time.process_time() - start
            seconds /= count
            if request.get("result"):
                import numpy as np

                np.savez(request["result"], **result)
            print(json.dumps({"seconds": seconds}), file=out, flush=True)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=out, flush=True)
