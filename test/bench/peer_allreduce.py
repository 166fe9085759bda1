"""The peer: all-reduce over gloo. Started by peer.ts, once a rank, with sizes in MB and rounds. Rank 0 prints one JSON document."""
import json
import statistics
import sys
import time

import torch
import torch.distributed as dist

torch.set_num_threads(1)
dist.init_process_group("gloo")
found = {}
for size, rounds in zip(sys.argv[1].split(","), sys.argv[2].split(",")):
    vector = torch.zeros(round(float(size) * 1e6 / 4))
    times = []
    for step in range(5 + int(rounds)):
        begin = time.perf_counter()
        dist.all_reduce(vector)
        # The first rounds warm up.
        if step >= 5:
            times.append((time.perf_counter() - begin) * 1000)
    dist.barrier()
    found[size] = statistics.median(times)
if dist.get_rank() == 0:
    print(json.dumps(found))
dist.destroy_process_group()
