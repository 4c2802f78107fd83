"""What the processes of one training share. With two real processes: test_self_training_loss.py."""

from types import SimpleNamespace

import torch
import torch.distributed as dist

from closedform_wsss.training.ranks import gathered, mean_of_ranks, rank, total, world


class OnGpu(torch.Tensor):
    """Says that it is on the second GPU."""

    device = torch.device("cuda:1")
    is_cuda = True

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_tensors_of_all_ranks_come_to_the_gpu_of_this_one(monkeypatch):
    """Pickled, a tensor of a GPU goes back to the GPU that it came from, where the other ranks have no business."""
    sent = []

    def all_gather_object(parts, own):
        sent.append(own)
        parts[:] = [SimpleNamespace(to=lambda device, rank=rank: (rank, device)) for rank in range(len(parts))]

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", all_gather_object)
    assert gathered(torch.ones(3).as_subclass(OnGpu)) == [(0, OnGpu.device), (1, OnGpu.device)]
    assert type(sent[0]) is torch.Tensor and sent[0].device.type == "cpu"


def test_a_torch_without_groups_of_processes(monkeypatch):
    """Built with USE_DISTRIBUTED=0, ``torch.distributed`` has this one function."""
    monkeypatch.setattr(dist, "is_available", lambda: False)
    for name in ("is_initialized", "get_rank", "get_world_size", "all_gather_object", "all_reduce"):
        monkeypatch.delattr(dist, name)
    counts = torch.ones(3)
    assert (rank(), world()) == (0, 1) and gathered(counts) == [counts]
    assert total(counts).equal(counts) and mean_of_ranks(counts) is counts
