"""The peer under torchrun: a paced MLP that saves every 50 steps and restarts from what was saved. Logs every step.

`peer_elastic.py launch ...` is torchrun itself, with a repair for version 1.13 under Python 3.11.
"""
import os
import sys
import time


def train():
    import torch
    import torch.distributed as dist
    import torch.nn as nn
    import torch.nn.functional as F

    folder, steps = sys.argv[1], int(sys.argv[2])
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    saved, start = f"{folder}/saved.pt", 0
    if os.path.exists(saved):
        found = torch.load(saved)
        model.load_state_dict(found["model"])
        start = found["step"]
    model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = torch.randn(128, 784), torch.randint(0, 10, (128,))
    with open(f"{folder}/steps-{rank}", "a", buffering=1) as log:
        log.write(f"pid {os.getpid()}\n")
        for step in range(start, steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            log.write(f"step {step} {time.time() * 1000:.3f}\n")
            time.sleep(0.005)
            if rank == 0 and (step + 1) % 50 == 0:
                torch.save({"model": model.module.state_dict(), "step": step + 1}, saved + ".new")
                os.replace(saved + ".new", saved)
    dist.destroy_process_group()


def launch():
    from torch.distributed.elastic.multiprocessing.api import Std

    # Iterating a Flag skips its 0 member since Python 3.11, on which 1.13 relies.
    if sys.version_info >= (3, 11):
        Std.from_str = classmethod(lambda cls, text: Std.NONE)
    from torch.distributed.run import main

    main(sys.argv[2:])


if __name__ == "__main__":
    launch() if sys.argv[1] == "launch" else train()
