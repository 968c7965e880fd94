"""Predictors of the planner, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.predictive.dynamo import DynamoPlanner
from services.simulator.policies.predictive.dynamo_predictors import (
    fit_autoregressions,
    predict_next,
)
from tests.unit.simulator.policies.predictive.dynamo_views import predicted, see

NAN = float("nan")


class TestPoints:
    @pytest.mark.parametrize("predictor", ["constant", "kalman", "arima"])
    def test_few_points_repeat_the_last(self, predictor):
        assert predicted(predictor, [1, 2, 3, 7]) == 7

    @pytest.mark.parametrize("predictor", ["kalman", "arima"])
    def test_leading_zeros_are_no_points(self, predictor):
        plain = [5, 6, 8, 7, 9, 11, 10, 12, 14, 13]
        assert predicted(predictor, [0, 0, NAN, 0, *plain]) == predicted(predictor, plain)
        assert predicted(predictor, [0, 0, 0, 1, 2, 3, 7]) == 7

    @pytest.mark.parametrize("predictor", ["constant", "kalman", "arima"])
    def test_an_unknown_step_is_a_zero_as_described(self, predictor):
        # the zero inside counts as a point
        assert predicted(predictor, [5, NAN, 7, 8, 6, 9, 7]) == predicted(
            predictor, [5, 0, 7, 8, 6, 9, 7]
        )

    def test_never_observed_is_unknown_but_zeros_are_known(self):
        assert np.isnan(predicted("kalman", [NAN, NAN]))
        assert predicted("kalman", [0, 0, 0]) == 0

    @pytest.mark.parametrize("predictor", ["kalman", "arima"])
    def test_predictions_are_not_negative(self, predictor):
        assert predicted(predictor, [50, 40, 30, 20, 10, 0]) == 0


class TestKalman:
    def test_two_updates_by_hand(self):
        # first point 10: gain 1000/1010, P = diag(9.90099, 1000); after the time update
        # P = [[1010.90099, 1000], [1000, 1000.1]] and the prediction is 10. Second point 12:
        # gain 1010.90099/1020.90099 = 0.990205 and 1000/1020.90099 = 0.979527, innovation 2,
        # level 11.980409, slope 1.959054: 13.939464
        _, state = predict_next(see([10, 12]), "kalman", 1, None)
        assert state.kalman.slope[0] == pytest.approx(1.959054, abs=1e-6)
        assert state.kalman.level[0] == pytest.approx(13.939464, abs=1e-6)

    def test_agrees_with_the_filter_in_matrices(self):
        y = np.array([12.0, 15.0, 11.0, 18.0, 25.0, 22.0, 30.0, 28.0])
        F, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
        x, P = np.array([y[0], 0.0]), 1000.0 * np.eye(2)
        for point in y:
            K = P @ H.T / (H @ P @ H.T + 10.0)
            x = x + K[:, 0] * (point - x[0])
            P = (np.eye(2) - K @ H) @ P
            x, P = F @ x, F @ P @ F.T + np.diag([1.0, 0.1])
        assert predicted("kalman", y) == pytest.approx(x[0], rel=1e-12)

    def test_workloads_do_not_mix(self):
        demand = np.array([[0, 0, 0, 5, 7, 9, 8, 6, 9], [4, 4, 5, 6, 7, 7, 8, 9, 9]])
        together = predict_next(see(demand), "kalman", 1, None)[0]
        assert together[0] == predicted("kalman", demand[0])
        assert together[1] == predicted("kalman", demand[1])

    def test_a_line_is_followed(self):
        assert predicted("kalman", np.arange(10.0, 300.0, 5.0)) == pytest.approx(300.0, abs=0.1)


class TestArima:
    def test_an_alternation_is_continued(self):
        # y' = 12 - y, an autoregression with coefficient -1 and intercept 12
        assert predicted("arima", [10.0, 2.0] * 10) == pytest.approx(10.0, abs=1e-3)
        assert predicted("arima", [*[10.0, 2.0] * 10, 10.0]) == pytest.approx(2.0, abs=1e-3)

    @pytest.mark.parametrize("n_more", range(6))
    def test_a_wave_is_continued(self, n_more):
        # 12 + 8 cos(pi t / 3) obeys y'' = 12 + y' - y: the lags differ, and their order counts
        wave = [20.0, 16.0, 8.0, 4.0, 8.0, 16.0] * 7
        assert predicted("arima", wave[: 30 + n_more]) == pytest.approx(wave[30 + n_more], abs=1e-3)

    def test_a_line_is_continued(self):
        assert predicted("arima", np.arange(10.0, 40.0)) == pytest.approx(40.0, abs=1e-3)

    def test_a_constant_stays(self):
        assert predicted("arima", np.full(30, 8.0)) == pytest.approx(8.0)

    def test_coefficients_of_a_noisy_autoregression(self):
        # y = 20 + 0.6 (y - 20) + noise: intercept 8, coefficient 0.6; 50 points place the
        # coefficient within about sqrt((1 - 0.36) / 46) = 0.12
        rng = np.random.default_rng(5)
        y = np.zeros((200, 300))
        noise = rng.normal(size=y.shape)
        for t in range(1, 300):
            y[:, t] = 0.6 * y[:, t - 1] + noise[:, t]
        fit = fit_autoregressions(20.0 + y[:, -50:], np.full(200, 50))
        is_ar1 = ~fit.is_differenced & ~fit.is_log & (fit.coefficient[:, 2] == 0)
        found = fit.coefficient[is_ar1]
        assert is_ar1.mean() > 0.4
        # least squares is biased downwards by (1 + 3 * 0.6) / 46 = 0.06
        assert found[:, 1].mean() == pytest.approx(0.54, abs=0.06)
        mean = found[:, 0] / (1 - found[:, 1])
        assert np.median(mean) == pytest.approx(20.0, abs=0.2)

    def test_without_lags_the_fit_is_one_of_logs(self):
        # noise around 20: the mean, in logs, which lies below the mean of the points
        rng = np.random.default_rng(1)
        y = np.exp(3.0 + 0.5 * rng.normal(size=(1, 50))) - 1.0
        fit = fit_autoregressions(y, np.array([50]))
        assert fit.is_log[0]
        assert fit.coefficient[0, 1:] == pytest.approx(np.zeros(3))
        # targets are the last 46 points: four lags come before
        assert fit.coefficient[0, 0] == pytest.approx(np.log1p(y[0, 4:]).mean(), rel=1e-6)
        assert predicted("arima", y[0]) == pytest.approx(
            np.expm1(np.log1p(y[0, 4:]).mean()), rel=1e-6
        )

    def test_only_the_last_fifty_points_count(self):
        y = np.random.default_rng(2).uniform(5, 9, 50)
        assert predicted("arima", [*np.full(100, 90.0), *y]) == predicted("arima", y)

    def test_refits_wait_but_new_points_count_at_once(self):
        policy = DynamoPlanner(target_ratio=1.0, predictor="arima", refit_steps=3)
        y = [10.0, 2.0] * 10
        _, state = policy.decide(see(y), policy.initial_state())
        fit = state.fit
        # 2 and 10 follow: 1 and 3 replicas of capacity 4
        for n, following in ((1, 1), (2, 3)):
            view = see([*y, 10.0, 2.0][: 20 + n], capacity=4.0)
            wanted, state = policy.decide(view, state)
            assert state.fit.coefficient is fit.coefficient
            assert wanted == following
        _, state = policy.decide(see([*y, 10.0, 2.0, 10.0]), state)
        assert state.fit.coefficient is not fit.coefficient
        assert state.fit.age_steps == 0
