"""Check of NCCL on one GPU: a process group of size one, a sum and a broadcast on the device."""

from __future__ import annotations

import os
import socket
import sys

import torch
import torch.distributed as dist


def main() -> int:
    """Print one line; return 1 if a result is wrong, 3 without a GPU."""
    if not torch.cuda.is_available():
        print("no NVIDIA GPU that torch can use", file=sys.stderr)
        return 3
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    dist.init_process_group("nccl", rank=0, world_size=1)
    try:
        numbers = torch.arange(1 << 20, device="cuda", dtype=torch.float32)
        expected = numbers.clone()
        dist.all_reduce(numbers)
        dist.broadcast(numbers, 0)
        torch.cuda.synchronize()
        right = torch.equal(numbers, expected)
    finally:
        dist.destroy_process_group()
    version = ".".join(map(str, torch.cuda.nccl.version()))
    print(f"NCCL {version} on {torch.cuda.get_device_name()}: {'sums are right' if right else 'SUMS ARE WRONG'}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
