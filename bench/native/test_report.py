"""Tests of report.py: make python-test."""

import unittest

import report


def result(rounds=2, **more):
    return {"versions": {"driver": "x"}, "titles": ["C", "ours"], "loads": {"l": {}}, "features": {}, "repeats": 10, "seconds": 5, "failures": [],
            "machine": {"load": [1, 2], "realtime": True, "steal": 0.0},
            "samples": [{"load": "l", "round": r + 1} for r in range(rounds)]} | more


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
