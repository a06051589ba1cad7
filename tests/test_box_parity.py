"""Losses of boxes beside the libraries that have them, each by its own definition."""

import math

import numpy as np
import pytest
from boxes import box_operands

import lossfast as lf


def torchvisions(torch, kind, pred, true, eps=1e-7):
    """torchvision.ops.{generalized,distance,complete}_box_iou_loss of each pair, from its documentation and paper."""
    x1, y1, x2, y2 = pred.unbind(-1)
    a1, b1, a2, b2 = true.unbind(-1)
    both = (torch.minimum(x2, a2) - torch.maximum(x1, a1)).clamp(min=0)
    both = both * (torch.minimum(y2, b2) - torch.maximum(y1, b1)).clamp(min=0)
    union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - both
    iou = both / (union + eps)
    cw, ch = torch.maximum(x2, a2) - torch.minimum(x1, a1), torch.maximum(y2, b2) - torch.minimum(y1, b1)
    if kind == "giou":
        return 1 - (iou - (cw * ch - union) / (cw * ch + eps))
    centres = ((x1 + x2) / 2 - (a1 + a2) / 2) ** 2 + ((y1 + y2) / 2 - (b1 + b2) / 2) ** 2
    loss = 1 - iou + centres / (cw**2 + ch**2 + eps)
    if kind == "diou":
        return loss
    v = 4 / math.pi**2 * (torch.atan((a2 - a1) / (b2 - b1)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return loss + alpha * v


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_are_torchvisions(kind, reduction, dtype):
    torch = pytest.importorskip("torch")
    loss = lf.get(kind, eps=1e-7)
    true, pred = box_operands(loss, 300, dtype)
    boxes = torch.tensor(pred, requires_grad=True)
    want = torchvisions(torch, kind, boxes, torch.tensor(true))
    if reduction != "none":
        want = getattr(want, reduction)()
    [slopes] = torch.autograd.grad(want.sum(), boxes)
    value, grad = loss.value_and_grad(true, pred, reduction=reduction)
    rtol, atol = (1e-12, 1e-13) if dtype == np.float64 else (2e-5, 2e-6)
    np.testing.assert_allclose(value, want.detach().numpy(), rtol=rtol, atol=atol)
    np.testing.assert_allclose(grad, slopes.numpy(), rtol=100 * rtol, atol=100 * atol * np.abs(grad).max())


def test_giou_is_monais():
    torch, monai = pytest.importorskip("torch"), pytest.importorskip("monai.losses")
    true, pred = box_operands(lf.giou, 200, np.float32)
    boxes = torch.tensor(pred, requires_grad=True)
    for ours, theirs in (("mean", "mean"), ("sum", "sum")):
        want = monai.BoxGIoULoss(reduction=theirs)(boxes, torch.tensor(true))
        [slopes] = torch.autograd.grad(want, boxes)
        value, grad = lf.giou.value_and_grad(true, pred, reduction=ours)
        assert value == pytest.approx(want.item(), rel=1e-5)
        np.testing.assert_allclose(grad, slopes.numpy(), rtol=1e-3, atol=1e-5 * np.abs(grad).max())


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_pairs_are_torchvisions(kind):
    """box_iou and its kin of all pairs."""
    torch = pytest.importorskip("torch")
    a, b = box_operands(lf.iou, 40)
    first, second = torch.tensor(a)[:, None], torch.tensor(b)[None]
    eps = 1e-7 if kind in ("diou", "ciou") else 0.0
    if kind == "iou":
        low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
        both = (high - low).clamp(min=0).prod(-1)
        areas = [(x[..., 2:] - x[..., :2]).prod(-1) for x in (first, second)]
        want = both / (areas[0] + areas[1] - both)
    else:
        want = 1 - torchvisions(torch, kind, second, first, eps)
    np.testing.assert_allclose(lf.pairwise_iou(a, b, kind=kind, eps=eps), want.numpy(), rtol=1e-12, atol=1e-13)
