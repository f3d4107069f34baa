"""An interrupt waits for the end of what must not be cut, and is not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from products.interrupts import held_back, interrupt


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR2, interrupt)
    yield
    signal.signal(signal.SIGUSR2, before)


def test_an_interrupt_that_nothing_holds_back_comes_at_once():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGUSR2)


def test_an_interrupt_comes_once_at_the_end_of_the_outermost_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with held_back():
            with held_back():
                signal.raise_signal(signal.SIGUSR2)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]
    with held_back():
        done.append("next")
    assert done[-1] == "next"


def test_an_interrupt_is_not_lost_where_the_block_fails():
    with pytest.raises(KeyboardInterrupt) as caught, held_back():
        signal.raise_signal(signal.SIGUSR2)
        raise ValueError("of the block")
    assert isinstance(caught.value.__context__, ValueError)


def test_another_thread_holds_nothing_back():
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with held_back():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGUSR2)
    finally:
        leave.set()
        thread.join()
