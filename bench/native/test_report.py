"""Tests of report.py: make python-test."""

import unittest

import native
import report
import stats


def result(rounds=2, **more):
    return {"versions": {"driver": "x"}, "titles": ["C", "ours"], "loads": {"l": {}}, "features": {}, "repeats": 10, "seconds": 5, "failures": [],
            "machine": {"load": [1, 2], "realtime": True, "steal": 0.0},
            "samples": [{"load": "l", "round": r + 1} for r in range(rounds)]} | more


def enough(side, n=stats.ENOUGH):
    return [{"load": "l", "side": side, "ns": 100.0, "cpu": 100.0, "pings": [90, 90], "alus": [1000, 1000], "waited": 0, "lost": 0, "more": {}}] * n


class Tells(unittest.TestCase):
    def test_ratio(self):
        self.assertTrue(report.tells(result(samples=enough("a") + enough("b"))))

    def test_too_busy(self):
        self.assertFalse(report.tells(result(samples=[])))
        self.assertFalse(report.tells(result(samples=enough("a") + enough("b", stats.ENOUGH - 1))))

    def test_place(self):
        self.assertEqual(native.place(result(samples=enough("a") + enough("b")), False), native.REPO / "bench/results/native.json")
        self.assertEqual(native.place(result(samples=enough("a") + enough("b")), True).parent, native.OUT.parent)
        # What a quiet machine has told isn't lost to a busy one.
        self.assertEqual(native.place(result(samples=[]), False).parent, native.OUT.parent)


class Together(unittest.TestCase):
    def test_one(self):
        self.assertEqual(report.together([result()]), result())

    def test_rounds_go_on(self):
        data = report.together([result(2), result(3, failures=["f"], machine={"load": [3, 4], "realtime": False, "steal": 0.5})])
        self.assertEqual([x["round"] for x in data["samples"]], [1, 2, 3, 4, 5])
        self.assertEqual((data["seconds"], data["failures"]), (10, ["f"]))
        self.assertEqual(data["machine"], {"load": [1, 4], "realtime": False, "steal": 0.5})

    def test_of_different_drivers(self):
        for key, value in (("versions", {"driver": "y"}), ("titles", ["C", "new"]), ("loads", {"m": {}}), ("features", {"split": {}})):
            with self.assertRaisesRegex(ValueError, key):
                report.together([result(), result(**{key: value})])


if __name__ == "__main__":
    unittest.main()
