"""Compares what the WebSocket suite saw through Portico with what it saw without.

Prints a line for each case that differs; the last line is the number of cases that agree and that differ.
"""

import json
import sys

with open(sys.argv[1]) as report:
    agents = json.load(report)
direct = agents.pop("direct")
good = bad = 0
for agent, cases in sorted(agents.items()):
    for case, alone in sorted(direct.items()):
        through = cases.get(case, {})
        if all(through.get(key) == alone[key] for key in ("behavior", "behaviorClose")):
            good += 1
        else:
            bad += 1
            print(f"{agent} {case}: {through.get('behavior')}/{through.get('behaviorClose')} instead of "
                  f"{alone['behavior']}/{alone['behaviorClose']}")
print(good, bad)
