"""For mypy --strict, which tests/install.sh runs: a program whose every result has a type, and none is Any."""

import numpy as np
from typing_extensions import assert_type

from tinyface import Parameter, Tensor, nn, no_grad, ops, optim
from tinyface.gradcheck import gradcheck


class Network(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.rest = nn.Sequential(nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.conv(x))


x = Tensor(np.zeros((2, 1, 5, 5), np.float32))
network = Network().to("cpu").train()
assert_type(network, Network)
assert_type(network(x), Tensor)
assert_type(network.conv(x), Tensor)
assert_type(network.conv.weight, Parameter)
assert_type(1 - 2 * x + x.mean() * np.ones(5), Tensor)
assert_type(-x[:, 0, ..., 1:].reshape((2, -1)).sum(axis=1), Tensor)

optimizer = optim.Adam(network.parameters(), lr=0.01)
schedule = optim.schedule("cosine", total_steps=3, warmup=1)
for step in range(3):
    optimizer.lr = 0.01 * schedule(step)
    optimizer.zero_grad()
    loss = ops.softmax_cross_entropy(network(x), np.array([0, 1]))
    assert_type(loss, Tensor)
    loss.backward()
    optimizer.step()
with no_grad():
    assert_type(network.eval()(x).shape, tuple[int, ...])
assert_type(gradcheck(ops.relu, x), bool)
