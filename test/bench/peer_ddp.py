"""The peer: the same network, global batch and data in PyTorch, with DistributedDataParallel over gloo for two processes.

Started by peer.ts, once a rank. Rank 0 prints one JSON document.
"""
import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

path, samples, global_batch, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
torch.set_num_threads(1)
torch.manual_seed(0)

raw = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.uint8)
pixels = raw[: samples * 784].reshape(samples, 784)
labels = raw[samples * 784 :].long()

model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
if world > 1:
    dist.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

first_step_at = None
speeds = []
per_rank = global_batch // world
for epoch in range(epochs):
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(epoch))
    steps = samples // global_batch
    started = time.perf_counter()
    for step in range(steps):
        begin = step * global_batch + rank * per_rank
        index = order[begin : begin + per_rank]
        optimizer.zero_grad()
        F.cross_entropy(model(pixels[index].float() / 255), labels[index]).backward()
        optimizer.step()
        if first_step_at is None:
            first_step_at = time.time()
    if world > 1:
        dist.barrier()
    speeds.append(steps / (time.perf_counter() - started))
if rank == 0:
    # The first epoch warms up.
    print(json.dumps({"torch": torch.__version__, "firstStepAtMs": first_step_at * 1000, "stepsPerSecond": speeds[1:]}))
if world > 1:
    dist.destroy_process_group()
