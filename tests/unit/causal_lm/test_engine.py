"""Continuous batching with a real network: who joins, leaves and waits, and what stays equal."""

import dataclasses
import json
import random
import time
from typing import Any

import jsonschema
import numpy as np
import pytest

from predictors.causal_lm.guide import Grammars
from predictors.causal_lm.prompts import Prompt
from predictors.runtime.dataplane.job import Job
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InvalidRequest,
    NotReady,
    Overloaded,
)
from tests.support.tiny_lm import VOCABULARY, Asked, Bench, network, objects, tokenizer

LONG = "the quick brown fox " * 9  # some 180 tokens or fewer, several chunks


def test_a_prompt_joins_while_another_is_answered() -> None:
    """Both get a token in each turn from then on."""
    bench = Bench()
    first = bench.ask("the quick", max_tokens=30)
    bench.turn(5)
    second = bench.ask("lazy dog", max_tokens=30)
    bench.turn(3)

    assert first.pieces[-1].result()["completion_tokens"].tolist() == [8]
    assert second.pieces[-1].result()["completion_tokens"].tolist() == [3]


def test_a_short_answer_leaves_before_a_long_one_that_came_first() -> None:
    """Its place is free in the same turn."""
    bench = Bench(max_rows=2)
    long = bench.ask("the quick", max_tokens=40)
    short = bench.ask("lazy", max_tokens=3)
    waiting = bench.ask("dog", max_tokens=2)
    bench.turn(3)

    assert short.over
    assert not long.over
    assert not waiting.pieces
    bench.turn()
    assert waiting.pieces
    bench.finish(long, waiting)


def test_a_client_that_leaves_frees_its_place_within_a_token() -> None:
    """A turn later the one who waits has it, and nothing more is computed for the other."""
    bench = Bench(max_rows=1)
    leaving = bench.ask("the quick", max_tokens=100)
    waiting = bench.ask("dog", max_tokens=2)
    bench.turn(3)
    came = len(leaving.pieces)
    leaving.gone = True
    bench.turn()

    assert len(waiting.pieces) == 1
    assert isinstance(leaving.pieces[-1].error, ClientGone)
    assert len(leaving.pieces) == came + 1


def test_a_client_that_leaves_the_queue_is_never_computed() -> None:
    """Its request ends with ClientGone, the others go on."""
    bench = Bench(max_rows=1)
    running = bench.ask("the", max_tokens=5)
    leaving = bench.ask("dog", max_tokens=5)
    bench.turn()
    leaving.gone = True
    bench.finish(running)

    assert [type(piece.error) for piece in leaving.pieces] == [ClientGone]


def test_a_short_prompt_behind_16_long_ones_has_its_first_token_in_the_next_turn() -> None:
    """Whether the long ones are being answered or their prompts are still being read."""
    bench = Bench(max_rows=32)
    long = [bench.ask(LONG + str(number), max_tokens=60) for number in range(16)]
    bench.turn(2)
    reading = bench.ask("dog", max_tokens=3)
    bench.turn()
    assert reading.pieces
    while not all(job.pieces for job in long):
        bench.turn()
    answering = bench.ask("dog", max_tokens=3)
    bench.turn()

    assert answering.pieces


def test_a_long_prompt_is_not_overtaken_for_ever() -> None:
    """It gets its chunk in every turn, however many short ones come."""
    bench = Bench(max_rows=8)
    long = bench.ask(LONG, max_tokens=2)
    for number in range(6):
        bench.ask(f"dog {number}", max_tokens=1)
        bench.turn()

    assert long.pieces


def test_the_prompt_that_came_first_is_read_as_fast_as_alone() -> None:
    """Short ones that come and go, and a long one behind it, cost it no turn."""

    def turns(*, company: bool) -> int:
        bench = Bench(max_rows=8)
        first = bench.ask(LONG * 2, max_tokens=1)
        for number in range(1, 100):
            if company:
                bench.ask(LONG + str(number), max_tokens=1)
                bench.ask("dog", max_tokens=2)
            bench.turn()
            if first.pieces:
                return number
        raise AssertionError("no token in 99 turns")

    assert turns(company=True) == turns(company=False) > 1


def test_many_prompts_in_one_request_leave_room_for_others() -> None:
    """One request has at most half of the places."""
    bench = Bench(max_rows=4)
    bench.ask(*["the"] * 20, max_tokens=50)
    bench.turn()
    other = bench.ask("dog", max_tokens=1)
    bench.turn()

    assert other.over


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 11, "top_k": 20}])
def test_an_answer_does_not_depend_on_what_shares_the_batch(settings: dict[str, float]) -> None:
    """Random company, joining and leaving at random, and the same text to the last byte."""
    rng = random.Random(1)
    prompts = ["the quick", LONG, "größe and 日本", "d"]
    alone = {text: Bench().alone(text, max_tokens=24, **settings).text for text in prompts}

    bench = Bench(max_rows=8)
    asked = []
    for number in range(40):
        text = rng.choice(prompts)
        asked.append((text, bench.ask(text, max_tokens=24, **settings)))
        other = bench.ask(f"noise {number}", max_tokens=rng.randint(1, 20), temperature=1.5)
        other.gone = rng.random() < 0.2
        bench.turn(rng.randint(0, 4))
    bench.finish(*(job for _, job in asked))

    assert len(set(alone.values())) == len(prompts)
    assert all(job.text == alone[text] for text, job in asked)


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    """Of sampled answers; three in a row differ by chance less than once in a million runs."""
    bench = Bench()
    seeded = {bench.alone("the", temperature=1.0, seed=-3, max_tokens=20).text for _ in range(3)}
    free = {bench.alone("the", temperature=2.0, max_tokens=20).text for _ in range(3)}

    assert len(seeded) == 1
    assert len(free) == 3


def test_a_whole_answer_is_the_pieces_together() -> None:
    """Counts and reason are those of the last piece."""
    bench = Bench()
    streamed = bench.alone("the quick", max_tokens=20)
    done: list[bool] = []
    whole = Job(streamed.arrays, 1, lambda: done.append(True))
    bench.submit(whole)
    while not done:
        bench.turn()

    assert len(streamed.pieces) > 5
    outputs, last = whole.result(), streamed.pieces[-1].result()
    assert outputs["text_output"][0].decode() == streamed.text
    assert outputs["completion_tokens"] == last["completion_tokens"]
    assert outputs["finish_reason"].tolist() == last["finish_reason"].tolist() == [b"length"]


def test_what_waits_past_its_deadline_is_not_begun() -> None:
    """It ends with DeadlineExceeded once its turn would come."""
    bench = Bench(max_rows=1)
    running = bench.ask("the", max_tokens=2)
    late = bench.ask("dog", deadline=time.perf_counter() - 1)
    bench.finish(running, late)

    assert [type(piece.error) for piece in late.pieces] == [DeadlineExceeded]


def test_a_full_queue_refuses_and_a_closed_engine_too() -> None:
    """With errors that become 429 and 503."""
    bench = Bench(max_rows=1, queue_size=2)
    bench.ask("a")
    bench.ask("b")
    with pytest.raises(Overloaded, match="2 requests are waiting"):
        bench.ask("c")
    bench.engine.start()
    bench.engine.close()

    with pytest.raises(NotReady):
        bench.ask("d")


def test_a_request_of_more_prompts_than_the_queue_is_refused() -> None:
    """Even where nobody waits, and whatever it would cost."""
    bench = Bench(max_rows=2, queue_size=4)
    with pytest.raises(InvalidRequest, match="5 prompts in one request: at most 4"):
        bench.engine.check_rows(5)

    bench.finish(bench.ask(*"abcd", max_tokens=2))


def test_many_prompts_of_one_request_keep_nobody_out() -> None:
    """The queue counts requests, and rows of others take turns with theirs."""
    bench = Bench(max_rows=2, queue_size=8)
    large = bench.ask(*"abcdefgh", max_tokens=20)
    bench.turn()
    small = bench.ask("dog", max_tokens=4)
    bench.finish(small)

    assert not large.over


def test_tokens_are_scored_by_their_own_logits() -> None:
    """Prompt and answer, in chunks as in one; the text is the same as without scores."""
    bench = Bench()
    prompts = bench.reader.read({"text_input": objects([b"the quick brown fox" * 3])}, 1)
    plain = bench.alone("the quick brown fox" * 3, max_tokens=6)
    prompt = dataclasses.replace(prompts[0], max_tokens=6, alternatives=3, scored=True)
    job = Asked({}, 1)
    job.in_pieces = False
    bench.engine.submit(job, [prompt])
    bench.finish(job)
    outputs = job.pieces[-1].result()
    scores = outputs["scores"][0]

    assert outputs["text_output"][0].decode() == plain.text
    assert [one.token for one in scores[: len(prompt.tokens)]] == prompt.tokens
    assert len(scores) == len(prompt.tokens) + 6
    assert scores[0].logprob is None
    generated = scores[len(prompt.tokens) :]
    assert all(one.best[0] == (one.token, one.logprob) for one in generated)  # greedy
    logits = network(1).fill(0, prompt.tokens[:2], 0)[0].astype(np.float64)
    expected = logits[prompt.tokens[2]] - np.logaddexp.reduce(logits)
    assert scores[2].logprob == pytest.approx(expected, abs=1e-4)


def test_a_prompt_of_no_new_tokens_is_only_scored() -> None:
    """It ends by its length, with nothing added."""
    bench = Bench()
    (prompt,) = bench.reader.read({"text_input": objects([b"the dog"])}, 1)
    job = Asked({}, 1)
    bench.engine.submit(
        job, [dataclasses.replace(prompt, max_tokens=0, alternatives=0, scored=True)]
    )
    bench.finish(job)
    outputs = job.pieces[-1].result()

    assert outputs["completion_tokens"].tolist() == [0]
    assert outputs["finish_reason"].tolist() == [b"length"]
    assert job.text == ""


@pytest.mark.parametrize("schema", [{"enum": ["yes", "no"]}, {"type": "integer", "maximum": 99}])
def test_an_answer_is_held_to_a_schema(schema: dict[str, Any]) -> None:
    """Random weights write JSON that fits, in a stream as alone, beside others that are free."""
    bench = Bench()
    text = json.dumps(schema).encode()
    free = bench.ask("the fox", max_tokens=24)
    held = bench.ask("dog", max_tokens=24, json_schema=text)
    bench.finish(free, held)

    jsonschema.validate(json.loads(held.text), schema)
    assert held.pieces[-1].result()["finish_reason"].tolist() == [b"stop"]
    assert free.text == Bench().alone("the fox", max_tokens=24).text


def test_penalties_change_what_repeats() -> None:
    """Greedy text that goes in circles has more tokens of other kinds with a penalty."""
    circles = Bench().alone("the", max_tokens=60).text
    varied = Bench().alone("the", max_tokens=60, frequency_penalty=np.float32(2)).text

    assert len(set(varied)) > len(set(circles))


def test_a_prompt_that_begins_as_another_did_is_not_read_again() -> None:
    """The same text as where it is, and the count of tokens that were there already."""
    bench, alone = Bench(), Bench(prefix_bytes=0)
    first, second = LONG + "dog", LONG + "fox jumps"
    bench.alone(first, max_tokens=12)
    again = bench.alone(second, max_tokens=12)
    plain = alone.alone(second, max_tokens=12)

    assert again.text == plain.text
    reused = int(again.pieces[-1].result()["reused_tokens"][0])
    assert reused >= 32
    assert reused % 32 == 0
    assert plain.pieces[-1].result()["reused_tokens"].tolist() == [0]
    assert len(again.pieces) == len(plain.pieces)


def test_a_prompt_of_kept_chunks_alone_still_has_its_last_one_computed() -> None:
    """Its first token follows from that; beside other rows as alone."""
    bench = Bench()
    tokens = bench.reader.read({"text_input": objects([LONG.encode()])}, 1)[0].tokens[:64]
    prompts = [Prompt(list(tokens), 8) for _ in range(3)]
    jobs = [Asked({}, 1) for _ in prompts]
    for job, prompt in zip(jobs, prompts, strict=True):
        bench.engine.submit(job, [prompt])
        bench.finish(job) if job is jobs[0] else None
    bench.finish(*jobs)

    assert len({job.text for job in jobs}) == 1
    assert [int(job.pieces[-1].result()["reused_tokens"][0]) for job in jobs] == [0, 32, 32]


def test_kept_prefixes_are_bounded_and_the_oldest_go() -> None:
    """Whatever comes; a chunk is some kilobytes of this model."""
    bench = Bench(prefix_bytes=100_000)
    for letter in "abcdefgh":
        bench.alone(letter * 200, max_tokens=1)

    assert 0 < bench.prefixes.bytes <= 100_000
    before = counted(bench)
    recent = bench.alone("h" * 200 + "x", max_tokens=1)
    oldest = bench.alone("a" * 200 + "x", max_tokens=1)
    assert recent.pieces[-1].result()["reused_tokens"][0] > 0
    assert oldest.pieces[-1].result()["reused_tokens"][0] == 0
    after = counted(bench)
    hits, tokens = (
        after[name] - before[name]
        for name in (
            "predictor_prefix_cache_hits_total",
            "predictor_prefix_cache_hit_tokens_total",
        )
    )
    assert (hits, tokens) == (1, recent.pieces[-1].result()["reused_tokens"][0])
    assert after["predictor_prefix_cache_bytes"] == bench.prefixes.bytes
    assert after["predictor_prefix_cache_evictions_total"] > 0


def counted(bench: Bench) -> dict[str, float]:
    """What is counted in tokens, by metric."""
    families = bench.metrics.collect()
    return {one.name: one.value for family in families for one in family.samples}


def test_tokens_are_counted() -> None:
    """Those of prompts and those that were generated, from zero on."""
    bench = Bench()
    assert counted(bench)["predictor_generated_tokens_total"] == 0
    bench.alone("the fox", max_tokens=5)
    other = bench.alone("dog", max_tokens=3)
    prompts = sum(
        len(bench.reader.read({"text_input": objects([text])}, 1)[0].tokens)
        for text in (b"the fox", b"dog")
    )

    assert counted(bench)["predictor_generated_tokens_total"] == 8
    assert counted(bench)["predictor_prompt_tokens_total"] == prompts
    assert other.pieces[-1].result()["completion_tokens"].tolist() == [3]


def test_logprobs_are_told_of_the_rows_that_ask() -> None:
    """Greedy tokens are the likeliest; the pieces of a stream add up to the text."""
    bench = Bench()
    asking = bench.ask("the fox", max_tokens=5, logprobs=np.int32(2))
    silent = bench.ask("the fox", max_tokens=5)
    bench.finish(asking, silent)
    told = [one for piece in asking.pieces for one in json.loads(piece.result()["logprobs"][0])]

    assert "".join(one["text"] for one in told) == asking.text == silent.text
    assert len(told) == 5
    for one in told:
        assert one["logprob"] < 0
        assert len(one["top"]) == 2
        assert one["top"][0] == {key: one[key] for key in ("id", "text", "logprob")}
    assert {piece.result()["logprobs"][0] for piece in silent.pieces} == {b"[]"}
    with pytest.raises(InvalidRequest, match="'logprobs': expected 0 … 20"):
        bench.ask("the fox", logprobs=np.int32(21))


def test_choices_of_one_request_share_their_grammar_and_not_its_state() -> None:
    """A grammar costs more than a copy of it; a token that one answer takes is no other's."""
    guide = Grammars(tokenizer(), [0]).of_schema({"enum": ["yes", "no"]})
    other = guide.copy()
    before = other.allowed(VOCABULARY)
    guide.take(int(guide.allowed(VOCABULARY).nonzero()[0][0]))

    assert (other.allowed(VOCABULARY) == before).all()
    assert (guide.allowed(VOCABULARY) != before).any()


def test_a_prompt_of_two_chunks_overtakes_long_ones() -> None:
    """It gets its first token in the second turn, while the others are still read."""
    bench = Bench(max_rows=8, prefix_bytes=0)
    long = [bench.ask(LONG + str(number), max_tokens=4) for number in range(4)]
    bench.turn()
    tokens = bench.reader.read({"text_input": objects([LONG.encode()])}, 1)[0].tokens[:40]
    short = Asked({}, 1)
    bench.engine.submit(short, [Prompt(list(tokens), 4)])
    bench.turn(2)

    assert short.pieces
    assert not any(job.pieces for job in long[1:])
    bench.finish(short, *long)
