# SPDX-License-Identifier: Apache-2.0
"""Makes the table of planned and measured peaks in docs/memory.md.

    EFT_PEAKS=peaks.tsv swift test -c release --filter 'VerbMemoryTests|PeakMemoryTests'
    python3 scripts/bench/peaks.py peaks.tsv
"""
import collections
import re
import sys

MIB = 1 << 20


def main(path):
    groups = collections.defaultdict(list)
    with open(path) as file:
        for line in file:
            planned, measured, command = line.rstrip("\n").split("\t")
            shape = re.search(r"eft-test-([a-z]+(?:-[a-z]+)*)-\w{6}/", command)
            if shape:
                verb = command.split()[0]
                groups[shape[1], verb].append((int(planned), int(measured)))
    print("| shape | verb | runs | largest peak, MiB | its plan, MiB | least room, MiB | median room, MiB |")
    print("|---|---|---|---|---|---|---|")
    for (shape, verb), runs in sorted(groups.items()):
        planned, measured = max(runs, key=lambda run: run[1])
        room = sorted(plan - peak for plan, peak in runs)
        print(
            f"| {shape} | {verb} | {len(runs)} | {measured / MIB:.1f} | {planned / MIB:.1f} "
            f"| {room[0] / MIB:.1f} | {room[len(room) // 2] / MIB:.1f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1])
