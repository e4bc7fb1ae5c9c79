"""Which requests go together, and that each gets its own answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.serving.batching import Job, choose, joined, parted
from hubkit.serving.pool import Closed, Full, Pool
from hubkit.serving.probing import probe
from tests.serving.tiny_onnx import PAD, inputs_of

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs, Outputs


def _job(length: int, rows: int = 1) -> Job:
    return Job(inputs_of(*[[1] * length] * rows), lambda job, result: None)


def _lengths(jobs: list[Job]) -> list[int]:
    return [job.length for job in jobs]


def test_the_oldest_goes_with_those_like_it() -> None:
    waiting = [_job(n) for n in (20, 5, 21, 50, 19, 20)]
    assert sorted(_lengths(choose(waiting, 4, 10))) == [19, 20, 20, 21]
    assert choose(waiting, 4, 10)[0] is waiting[0]


def test_padding_is_not_worth_more_than_a_call() -> None:
    waiting = [_job(n) for n in (20, 5, 21, 50)]
    assert sorted(_lengths(choose(waiting, 8, 10))) == [20, 21]
    assert sorted(_lengths(choose(waiting, 8, 0))) == [20]
    assert sorted(_lengths(choose(waiting, 8, float("inf")))) == [5, 20, 21, 50]


def test_a_batch_has_no_more_rows_than_allowed() -> None:
    waiting = [_job(9, rows=3) for _ in range(4)]
    assert len(choose(waiting, 8, 10)) == 2
    assert len(choose([_job(9, rows=12), _job(9)], 8, 10)) == 1


def test_answers_are_cut_back_to_their_own_length() -> None:
    jobs = [Job(inputs_of([5, 6, 7]), _ignore), Job(inputs_of([8], [9]), _ignore)]
    inputs = joined(jobs, {"input_ids": PAD})
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [8, PAD, PAD], [9, PAD, PAD]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    tokens = inputs["input_ids"][:, :, None].astype(np.float32)
    outputs = {"tokens": tokens, "rows": np.array([[0], [1], [2]], np.float32)}
    own = parted(outputs, jobs, {"tokens": 1, "rows": None})
    assert own[0]["tokens"].ravel().tolist() == [5, 6, 7]
    assert own[1]["tokens"].tolist() == [[[8]], [[9]]]
    assert own[1]["rows"].tolist() == [[1], [2]]


def _ignore(job: Job, result: object) -> None:
    pass


class _Slow:
    """A model that adds ids up, holds its breath, and notes what it was given."""

    input_names = ("input_ids", "attention_mask")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.shapes: list[tuple[int, ...]] = []
        self.began = threading.Event()

    def run(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.shapes.append(arrays["input_ids"].shape)
        self.began.set()
        time.sleep(self.seconds)
        if (arrays["input_ids"] == 99).any():
            raise RuntimeError("99")
        kept = arrays["input_ids"] * arrays["attention_mask"]
        return {"sum": kept.sum(1, keepdims=True).astype(np.float32)}

    def close(self) -> None:
        pass


class _Answers:
    """What came back, by number."""

    def __init__(self, wanted: int) -> None:
        self.found: dict[int, object] = {}
        self._left = threading.Semaphore(0)
        self._wanted = wanted

    def job(self, number: int, *ids: int) -> Job:
        def done(job: Job, result: object) -> None:
            self.found[number] = result
            self._left.release()

        return Job(inputs_of(list(ids)), done)

    def wait(self) -> dict[int, object]:
        for _ in range(self._wanted):
            assert self._left.acquire(timeout=5)
        return self.found


def _sum(result: object) -> float:
    assert isinstance(result, dict)
    return float(result["sum"][0, 0])


def test_those_who_waited_go_together_and_each_hears_its_own() -> None:
    model, answers = _Slow(0.05), _Answers(5)
    pool = Pool([model], max_batch=8, padding={"input_ids": PAD}, spare_tokens=100)
    pool.submit(answers.job(0, 7))
    assert model.began.wait(5)
    for number in range(1, 5):
        pool.submit(answers.job(number, *[number] * number))
    found = answers.wait()
    pool.close()
    assert model.shapes == [(1, 1), (4, 4)]
    assert [_sum(found[n]) for n in range(5)] == [7, 1, 4, 9, 16]


def test_a_free_instance_does_not_wait() -> None:
    pool, answers = Pool([_Slow()], max_batch=8, padding={}), _Answers(1)
    start = time.perf_counter()
    pool.submit(answers.job(0, 1))
    answers.wait()
    assert time.perf_counter() - start < 0.2
    pool.close()


def test_a_delay_waits_for_a_full_batch_and_no_longer() -> None:
    model, answers = _Slow(), _Answers(3)
    pool = Pool([model], max_batch=2, max_delay_us=300_000, padding={"input_ids": PAD})
    start = time.perf_counter()
    for number in range(3):
        pool.submit(answers.job(number, 1))
    answers.wait()
    assert 0.25 < time.perf_counter() - start < 2  # the third waited in vain
    pool.close()
    assert model.shapes == [(2, 1), (1, 1)]


def test_an_error_reaches_those_of_its_call_alone() -> None:
    answers = _Answers(2)
    pool = Pool([_Slow()], max_batch=1)
    pool.submit(answers.job(0, 99))
    pool.submit(answers.job(1, 5))
    found = answers.wait()
    assert isinstance(found[0], RuntimeError)
    assert _sum(found[1]) == 5
    pool.close()


def test_a_cancelled_job_is_never_computed() -> None:
    model, answers = _Slow(0.1), _Answers(2)
    pool = Pool([model], max_batch=1)
    jobs = [answers.job(n, n + 1) for n in range(3)]
    for job in jobs:
        pool.submit(job)
    assert model.began.wait(5)
    pool.cancel(jobs[1])
    assert set(answers.wait()) == {0, 2}
    pool.close()
    assert len(model.shapes) == 2


def test_a_full_queue_refuses_and_a_closed_one_answers_what_it_has() -> None:
    model, answers = _Slow(0.1), _Answers(3)
    pool = Pool([model], max_batch=1, max_queue=2)
    pool.submit(answers.job(0, 1))
    assert model.began.wait(5)
    pool.submit(answers.job(1, 1))
    pool.submit(answers.job(2, 1))
    with pytest.raises(Full):
        pool.submit(answers.job(3, 1))
    pool.close()
    assert len(answers.found) == 3
    with pytest.raises(Closed):
        pool.submit(answers.job(4, 1))


class Short:
    """Takes at most so many tokens, as a model with few positions does."""

    input_names = ("input_ids", "attention_mask")

    def __init__(self, most: int) -> None:
        self.most = most

    def run(self, inputs: Inputs) -> Outputs:
        ids = inputs["input_ids"]
        if ids.shape[1] > self.most:
            raise ValueError("more tokens than positions")
        return {"tokens": np.zeros((*ids.shape, 8), np.float32), "pooled": np.zeros((1, 8))}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("most", [2, 5, 7, 23, 512])
def test_a_model_is_asked_for_no_more_tokens_than_it_takes(most: int) -> None:
    facts = probe(Short(most), token=1, longest=most)
    assert facts.length_axes == {"tokens": 1, "pooled": None}
    assert facts.shapes == {"tokens": (-1, -1, 8), "pooled": (-1, 8)}
