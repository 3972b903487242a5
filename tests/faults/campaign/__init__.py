"""Random fault schedules: does a transfer ever end in anything but one of its two endings?

A schedule is drawn from a seed: one push or pull of a small file, and up to
twelve things that go wrong with it. It is played against the strict store, and
afterwards everything that must hold is looked at. What failed once is kept in
`tests/faults/corpus` and played in every run.

    python -m tests.faults.campaign --count 50000 --seed 1
    python -m tests.faults.campaign --plants
    python -m tests.faults.campaign --replay tests/faults/corpus/NAME.json
"""
