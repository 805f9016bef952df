import re

import numpy as np
import pytest

from tinyface import Function, Tensor, ops
from tinyface.gradcheck import EXAMPLES, GradcheckError, check_example, gradcheck


class Square(Function):
    op = "square"

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * x * y

    def backward(self, g):
        return 2 * g * self.x * self.y, g * self.x * self.x


class WrongSign(Square):
    def backward(self, g):
        dx, dy = super().backward(g)
        return dx, -dy


class MissingFactor(Square):
    def backward(self, g):
        dx, dy = super().backward(g)
        return dx / 2, dy


class OneWrongElement(Square):
    def backward(self, g):
        dx, dy = super().backward(g)
        dx[1, 2] *= 1.001
        return dx, dy


class Forgotten(Square):
    def backward(self, g):
        return super().backward(g)[0], None


X, Y = np.random.default_rng(0).uniform(0.5, 1.5, (2, 2, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_gradients_pass(dtype):
    assert gradcheck(lambda x, y: Square()(x, y), X.astype(dtype), Y.astype(dtype)) is True


@pytest.mark.parametrize(
    "function, where, factor",
    [
        (WrongSign, "input 1 at (0, 0)", -1),
        (MissingFactor, "input 0 at (0, 0)", 2),
        (OneWrongElement, "input 0 at (1, 2)", 1 / 1.001),
        (Forgotten, "input 1 at (0, 0)", None),
    ],
)
def test_a_wrong_gradient_is_caught(function, where, factor):
    """The text names op, input, index and both numbers."""
    with pytest.raises(GradcheckError, match=f"square: gradient of {re.escape(where)} is ") as error:
        gradcheck(lambda x, y: function()(x, y), X, Y)
    analytic, numeric = map(
        float, re.findall(r"(?:is|say) (-?[\d.e+-]+)", str(error.value).replace(",", " "))
    )
    if factor is None:
        assert analytic == 0
    else:
        assert numeric == pytest.approx(factor * analytic, rel=1e-5)
    v = np.random.default_rng(0).standard_normal(X.shape)  # the weights that gradcheck draws from seed 0
    i = eval(where[where.index("(") :])
    assert numeric == pytest.approx((2 * X * Y * v)[i] if "input 0" in where else (X * X * v)[i], rel=1e-5)


def test_an_output_that_depends_on_what_gradients_dont_know():
    with pytest.raises(GradcheckError, match=r"mul: gradient of input 0 at \(0,\)"):
        gradcheck(lambda x: x * x.data, np.array([2.0]))


def test_nan_is_caught():
    class NotANumber(Square):
        def backward(self, g):
            return g * np.nan, g

    with pytest.raises(GradcheckError, match="is nan"):
        gradcheck(lambda x, y: NotANumber()(x, y), X, Y)


@pytest.mark.parametrize(
    "slope, accepted", [(-1, False), (-0.1, False), (0, True), (0.3, True), (1, True), (1.1, False)]
)
def test_at_a_kink_any_slope_between_the_two_sides_is_accepted(slope, accepted):
    class Ramp(Function):
        def forward(self, x):
            self.x = x
            return np.maximum(x, 0)

        def backward(self, g):
            return g * np.where(self.x == 0, slope, self.x > 0)

    x = np.array([-1.0, 0.0, 2.0])
    if accepted:
        assert gradcheck(lambda x: Ramp()(x), x)
    else:
        with pytest.raises(
            GradcheckError, match=r"ramp: gradient of input 0 at \(1,\) .* at a kink between "
        ):
            gradcheck(lambda x: Ramp()(x), x)


def test_curvature_is_no_kink():
    gradcheck(lambda x: x * x * x * 100.0, np.array([3.0, -2.0]))
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x * x.data * 150.0, np.array([3.0]))  # 900 instead of 1350 per x²


def test_samples_check_that_many_elements():
    calls = []

    def fn(x):
        calls.append(1)
        return x * 2

    gradcheck(fn, np.ones((10, 10)), samples=7)
    assert len(calls) == 2 + 2 * 7
    calls.clear()
    gradcheck(fn, np.ones(5), samples=7)
    assert len(calls) == 2 + 2 * 5


def test_samples_follow_the_seed():
    def elements(seed):
        seen = []
        gradcheck(lambda x: (seen.append(x.data.copy()), x * 2)[1], np.zeros(50), samples=5, seed=seed)
        return {int(np.flatnonzero(x)[0]) for x in seen if x.any()}

    assert len(elements(0)) == 5
    assert elements(0) == elements(0) != elements(1)


def test_integers_and_other_things_are_handed_on():
    seen = []

    def fn(x, labels, tensor, options):
        seen.append((labels, tensor, options, tensor.item()))
        return ops.softmax_cross_entropy(x, labels) * tensor * options["factor"]

    labels, tensor, options = np.array([0, 2]), Tensor(np.array(3)), {"factor": 2.0}
    gradcheck(fn, X, labels, tensor, options)
    assert all(a is labels and b is tensor and c is options and value == 3 for a, b, c, value in seen)
    assert tensor.grad is None


def test_inputs_are_not_changed():
    x = Tensor(X.copy(), requires_grad=True)
    gradcheck(lambda x, y: Square()(x, y), x, Y)
    assert x.grad is None and (x.data == X).all()


def test_tensors_that_ask_for_no_gradient_are_checked_too():
    with pytest.raises(GradcheckError):
        gradcheck(lambda x, y: WrongSign()(x, y), Tensor(X), Tensor(Y))


def test_scalars():
    gradcheck(lambda x: x * x, np.array(3.0))
    gradcheck(lambda x: x * x, np.float64(3.0))


# ---------------------------------------------------------------- the examples


def test_every_op_has_an_example():
    assert set(EXAMPLES) == set(ops.__all__) - {"conv_norm_prelu"}  # it has no gradient


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("seed", [0, 1])
def test_examples_pass(name, seed):
    assert check_example(name, seed) > 0
