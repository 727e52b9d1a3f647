"""Tests of stats.py: make python-test."""

import math
import unittest

import stats


def sample(load="l", side="a", ns=100.0, ping=90, alu=1000, waited=0.0, lost=0.0, **more):
    return {"load": load, "side": side, "ns": ns, "cpu": ns, "pings": [ping, more.pop("after", ping)], "alus": [1000, alu], "waited": waited,
            "lost": lost, "more": {"kicks": 0.5}} | more


class Numbers(unittest.TestCase):
    def test_quartiles(self):
        self.assertEqual(stats.quartiles([3]), (3, 3))
        self.assertEqual(stats.quartiles([5, 1, 3, 2, 4]), (2, 4))

    def test_geomean(self):
        self.assertAlmostEqual(stats.geomean([0.5, 2.0]), 1)

    def test_noise(self):
        self.assertEqual(stats.noise([7, 7, 7, 7]), 0)
        self.assertAlmostEqual(stats.noise([100, 110] * 5), math.log(1.1))

    def test_histogram(self):
        self.assertEqual(stats.histogram([30, 40, 41, None, 10 ** 6]), {40: 2, 50: 1, max(stats.histogram([10 ** 6])): 1})


class Boundary(unittest.TestCase):
    def test_two_places(self):
        self.assertTrue(110 < stats.boundary([63, 90, 95, 110] * 20 + [400, 420, 480] * 20) < 400)

    def test_elsewhere(self):
        # A machine whose near is what another's far is.
        self.assertTrue(220 < stats.boundary([200, 210, 220] * 10 + [600, 610] * 10) < 600)

    def test_one_place(self):
        self.assertEqual(stats.boundary([90, 95, 110] * 20), stats.NEAR)
        self.assertEqual(stats.boundary([400, 450] * 20), stats.NEAR)

    def test_few_are_no_place(self):
        self.assertEqual(stats.boundary([90, 95, 110] * 40 + [900, 2000]), stats.NEAR)
        self.assertEqual(stats.boundary([]), stats.NEAR)
        self.assertEqual(stats.boundary([None, 90]), stats.NEAR)


class Judge(unittest.TestCase):
    def judge(self, **kw):
        return stats.Gates([sample() for _ in range(40)]).judge(sample(**kw))

    def test_classes(self):
        self.assertEqual(self.judge(), ("near", None))
        self.assertEqual(self.judge(ping=400), ("far", None))

    def test_reasons(self):
        self.assertEqual(self.judge(after=400), (None, "ping"))
        self.assertEqual(self.judge(after=None), (None, "ping"))
        self.assertEqual(self.judge(alu=1060), (None, "alu"))
        self.assertEqual(self.judge(waited=0.02), (None, "waited"))
        self.assertEqual(self.judge(lost=0.5), (None, "lost"))
        self.assertEqual(self.judge(alu=1040, waited=0.005, lost=0.001), ("near", None))

    def test_none(self):
        self.assertEqual(stats.sort([], stats.Gates([])), ({}, {}))


class Summary(unittest.TestCase):
    def samples(self, n, load="l", ping=90, ours=80.0):
        return [sample(load, side, 100.0 + i % 2 if side == "a" else ours, ping) for i in range(n) for side in stats.SIDES]

    def test_ratio(self):
        s = stats.summary(self.samples(10), ["l"])
        row = s["rows"]["near"]["l"]
        self.assertAlmostEqual(row["ratio"], 80 / 100.5)
        self.assertAlmostEqual(row["noise"], math.log(1.01))
        self.assertEqual((s["classes"]["near"]["n"], s["classes"]["near"]["worst"], s["lacking"]), (1, "l", []))
        self.assertNotIn("far", s["classes"])

    def test_too_few(self):
        s = stats.summary(self.samples(9) + [sample()] * 5, ["l", "m"])
        self.assertIsNone(s["rows"]["near"]["l"]["ratio"])
        self.assertEqual((s["classes"], s["lacking"]), ({}, ["m", "l"]))

    def test_classes_are_apart(self):
        s = stats.summary(self.samples(10) + self.samples(10, ping=400, ours=120.0) + self.samples(12, "m", ours=50.0), ["l", "m"])
        self.assertEqual(s["classes"]["near"]["n"], 2)
        self.assertAlmostEqual(s["classes"]["near"]["geomean"], stats.geomean([80 / 100.5, 50 / 100.5]))
        self.assertEqual((s["classes"]["far"]["n"], s["classes"]["far"]["over"]), (1, ["l"]))
        self.assertEqual(s["classes"]["near"]["over"], [])

    def test_above_within_noise(self):
        s = stats.summary([sample("l", side, 100.0 + 10 * (i % 2) + (3 if side == "b" else 0)) for i in range(10) for side in stats.SIDES], ["l"])
        self.assertGreater(s["rows"]["near"]["l"]["ratio"], 1)
        self.assertEqual(s["classes"]["near"]["over"], [])


if __name__ == "__main__":
    unittest.main()
