"""The peer: the same networks, batches and data in PyTorch, with DistributedDataParallel over gloo for several processes.

Started by peer.ts, once a rank: data, samples, global batch, epochs, network. Rank 0 prints one JSON document.
"""
import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

path, samples, global_batch, epochs, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
torch.set_num_threads(1)
torch.manual_seed(0)

raw = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.uint8)
pixels = raw[: samples * 784].reshape(samples, 784)
labels = raw[samples * 784 :].long()


def dense(*sizes):
    pairs = list(zip(sizes, sizes[1:]))
    return [part for i, (m, n) in enumerate(pairs) for part in ([nn.ReLU()] if i > 0 else []) + [nn.Linear(m, n)]]


networks = {
    "mlp": lambda: dense(784, 128, 128, 10),
    "wide": lambda: dense(784, 512, 512, 10),
    "large": lambda: dense(784, 1024, 1024, 10),
    "lenet": lambda: [
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *dense(400, 120, 84, 10),
    ],
}
model = nn.Sequential(*networks[name]())
if world > 1:
    dist.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

first_step_at = None
# Of each epoch, between the ends of its first and its last step: seconds a step, and processor seconds a step.
epochs_seconds, epochs_processor = [], []
per_rank = global_batch // world
for epoch in range(epochs):
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(epoch))
    for step in range(samples // global_batch):
        begin = step * global_batch + rank * per_rank
        index = order[begin : begin + per_rank]
        optimizer.zero_grad()
        F.cross_entropy(model(pixels[index].float() / 255), labels[index]).backward()
        optimizer.step()
        if step == 0:
            begun, spent = time.perf_counter(), time.process_time()
        if first_step_at is None:
            first_step_at = time.time()
    epochs_seconds.append((time.perf_counter() - begun) / step)
    epochs_processor.append((time.process_time() - spent) / step)
if rank == 0:
    # The first epoch warms up; it counts only when there is no other.
    warm = slice(1 if epochs > 1 else 0, None)
    times = {"secondsPerStep": epochs_seconds[warm], "processorSecondsPerStep": epochs_processor[warm]}
    print(json.dumps({"torch": torch.__version__, "firstStepAtMs": first_step_at * 1000, **times}))
if world > 1:
    dist.destroy_process_group()
