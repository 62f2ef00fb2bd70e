"""What a model card says of the weights of a run."""

import json

import numpy as np
from helpers.results import results_of, with_settings, write_scores

from xmdpt.metrics.labels import FEW
from xmdpt.paper import origin
from xmdpt.paper.origin import origin_of


def test_it_says_what_the_run_was(results, monkeypatch):
    monkeypatch.setattr(origin, "commit_of", lambda *paths, folder: "12ab-dirty")
    text = origin_of("base_b", "main", results.params)
    for words in (
        "`base_b` (X-MDPT-B), checkpoint `main`",
        "rendered people (no DeepFashion), profile synthetic",
        "from scratch, 20,000 steps of 32 pairs, 640,000 samples in all, seed 0",
        "a velocity (flow matching)",
        "20 steps of DPM-Solver++, guidance scale 3, power 0.01",
        "commit 12ab and changes",
    ):
        assert words in text
    assert "Scores" not in text, "there are none"
    monkeypatch.setattr(origin, "commit_of", lambda *paths, folder: "unknown")
    assert "| code |" not in origin_of("base_b", "main", results.params)


def test_a_start_from_other_weights_or_settings_is_told(results):
    results = with_settings(results, train={"init": "some/weights", "seed": 7})
    assert "from the weights in `some/weights`" in (
        text := origin_of("base_b", "ablation", results.params)
    )
    assert "seed 7" in text
    results = with_settings(results, train={"resume": "state.pt"})
    text = origin_of("base_b", "ablation", results.params)
    assert "in part with other settings" in text and "samples" not in text


def test_weights_that_nobody_trained_here_are_the_authors(tmp_path):
    text = origin_of("size_l", "ablation", results_of(tmp_path, "released").params)
    assert "300,000 steps by the authors, who published `size_l.pt`" in text and "seed" not in text


def test_scores_are_those_of_the_checkpoint_under_the_protocols_names(results):
    write_scores(results, "base_b", np.full(40, 0.2))
    assert "Scores" not in origin_of("base_b", "main", results.params)
    text = origin_of("base_b", "ablation", results.params)
    assert "Of 40 test pairs, by the protocol `synthetic`" in text
    assert "| st_lpips ↓ | 0.200 | " in text and "it is not LPIPS" in text
    assert "| SSIM ↑ | 0.700 | " in text and "PSNR" not in text and FEW not in text
    path = results.root / "reports/scores/base_b.json"
    rows = json.loads(path.read_text())
    rows["ablation"] |= {"fd_effnet": 97.24, "few": {"fd_effnet": 1280}}
    path.write_text(json.dumps(rows))
    text = origin_of("base_b", "ablation", results.params)
    assert f"97.2 {FEW}" in text and text.count(FEW) == 2, "which is explained"
